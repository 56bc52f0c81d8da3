"""Known answers worked out by hand, and the formulas written out naively."""

import math
import random
from pathlib import Path
from statistics import fmean, stdev

import pytest
from scipy.integrate import quad

from study.analysis.comparison import (
    Comparison,
    PairedDifference,
    correct,
    detectable_difference,
    hedges_g,
    paired_difference,
    welch,
)
from study.analysis.stage_usage import StageUsage, stage_usage
from study.analysis.study_results import best_rows, compare, study_results, summarise, values_by_seed
from study.report.sections.provenance import packs_text, work
from study.storage.groups import collect_groups
from study.storage.store import Proposal, StudyStore
from tests.helpers.example_store import example_study, fill, write_result
from trainables.common.types import TrialResult


def student_two_sided(t: float, freedom: float) -> float:
    """P(|T| > t) by integrating Student's density."""
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    inside, _ = quad(lambda x: scale * (1 + x * x / freedom) ** (-(freedom + 1) / 2), -abs(t), abs(t), epsabs=1e-13)
    return 1 - inside


def naive_welch(ours: list[float], theirs: list[float]) -> float:
    a, b = stdev(ours) ** 2 / len(ours), stdev(theirs) ** 2 / len(theirs)
    freedom = (a + b) ** 2 / (a**2 / (len(ours) - 1) + b**2 / (len(theirs) - 1))
    return student_two_sided((fmean(ours) - fmean(theirs)) / math.sqrt(a + b), freedom)


def test_welch_by_hand() -> None:
    """1,2,3 against 3,4,5: variances 1, t = -2 / sqrt(2/3), 4 degrees of freedom; P(|T4| > t) has a closed form."""
    t = 2 / math.sqrt(2 / 3)
    u = t / math.sqrt(4 + t * t)
    assert welch([1, 2, 3], [3, 4, 5]) == (pytest.approx(1 - u * (3 - u * u) / 2, rel=1e-12), "")


@pytest.mark.parametrize("sizes", [(3, 3), (2, 5), (7, 4)])
def test_welch_against_the_formula(sizes: tuple[int, int]) -> None:
    rng = random.Random(sizes[0])
    ours = [rng.gauss(0.7, 0.01) for _ in range(sizes[0])]
    theirs = [rng.gauss(0.72, 0.05) for _ in range(sizes[1])]
    p, reason = welch(ours, theirs)
    assert p == pytest.approx(naive_welch(ours, theirs), rel=1e-8)
    assert reason == ""
    assert welch(theirs, ours)[0] == pytest.approx(p, rel=1e-12), "two-sided: the order does not matter"


def test_one_constant_arm_still_has_a_p() -> None:
    p, _ = welch([0.5, 0.5, 0.5], [0.6, 0.7, 0.8])
    assert p == pytest.approx(student_two_sided(0.2 / math.sqrt(0.01 / 3), 2), rel=1e-8)


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        ([0.5], [0.6, 0.7], "n = 1"),
        ([0.5, 0.6], [0.6], "n = 1"),
        ([0.5, 0.5], [0.6, 0.6], "constant"),
        ([0.1 + 0.2, 0.3], [0.3, 0.3], "constant"),
        ([0.0, 0.0], [0.0, 0.0], "constant"),
    ],
)
def test_where_there_is_no_p_it_says_why(ours: list[float], theirs: list[float], reason: str) -> None:
    p, why = welch(ours, theirs)
    assert p is None
    assert reason in why


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.03, 0.04: times 3, 2, 1 and never falling gives 0.03, 0.06, 0.06."""
    raw = [0.04, None, 0.01, 0.03]
    corrected = correct([Comparison(0.0, p, None, None, None) for p in raw])
    assert [comparison.holm for comparison in corrected] == [
        pytest.approx(0.06),
        None,
        pytest.approx(0.03),
        pytest.approx(0.06),
    ]
    assert [comparison.p for comparison in corrected] == raw


def test_holm_never_exceeds_one_and_copes_with_nothing_to_correct() -> None:
    assert [c.holm for c in correct([Comparison(0.0, p, None, None, None) for p in (0.6, 0.7)])] == [1.0, 1.0]
    untested = [Comparison(None, None, None, None, None, "why")]
    assert correct(untested) == untested


def test_hedges_by_hand() -> None:
    """Means 2 and 4, pooled deviation 1, 4 degrees of freedom: J = 1 - 3/15, g = -1.6."""
    assert hedges_g([1, 2, 3], [3, 4, 5]) == pytest.approx(-1.6)


def test_paired_difference_by_hand() -> None:
    """Differences 1, 2, 3 over seeds 1, 2, 3: mean 2, t(0.975; 2) = 4.302653, half width 4.302653 / sqrt(3)."""
    found = paired_difference({1: 5.0, 2: 7.0, 3: 9.0, 9: 100.0}, {0: 50.0, 3: 6.0, 2: 5.0, 1: 4.0})
    half = 4.302652729911275 / math.sqrt(3)
    assert found == PairedDifference(pytest.approx(2), pytest.approx(2 - half), pytest.approx(2 + half), 3)


def test_paired_difference_without_spread_has_no_interval() -> None:
    assert paired_difference({0: 1.0}, {0: 3.0}) == PairedDifference(-2.0, None, None, 1)
    assert paired_difference({0: 1.0, 1: 2.0}, {0: 0.5, 1: 1.5}) == PairedDifference(0.5, None, None, 2)
    assert paired_difference({0: 1.0}, {1: 3.0}) is None


def test_summary() -> None:
    assert summarise({0: 1.0, 1: 3.0}) == (2.0, pytest.approx(math.sqrt(2)), 2)
    assert summarise({5: 1.0}) == (1.0, None, 1)
    assert summarise({}) is None


def test_detectable_difference() -> None:
    """n = 3: t(0.975; 4) = 2.776445, times sqrt(2/3)."""
    assert detectable_difference(3) == pytest.approx(2.7764451051977987 * math.sqrt(2 / 3))


def test_study_results_choose_by_validation_and_compare_on_test(tmp_path: Path) -> None:
    """The group that is best on test is not the best on validation: it must not be chosen."""
    study = example_study(tmp_path)
    store = StudyStore(study.directory)
    write_result(study, store, "none", 0, {"batch_size": 32}, [(0.70, 0.71), (0.72, 0.70), (0.71, 0.72)])
    write_result(
        study, store, "ciba", 0, {"bottleneck_dim": 2, "batch_size": 32}, [(0.80, 0.60), (0.82, 0.62), (0.81, 0.67)]
    )
    write_result(
        study, store, "ciba", 1, {"bottleneck_dim": 4, "batch_size": 32}, [(0.79, 0.90), (0.79, 0.90), (0.79, 0.91)]
    )
    results = study_results(study, collect_groups(study, store))
    ciba = results.arm("ciba")
    assert ciba.best is not None and ciba.best.params["bottleneck_dim"] == 2
    assert ciba.objective == (pytest.approx(0.81), pytest.approx(0.01), 3)
    assert ciba.test == (pytest.approx(0.63), pytest.approx(stdev([0.60, 0.62, 0.67])), 3)
    assert ciba.comparison is not None
    assert ciba.comparison.difference == pytest.approx(-0.08)
    assert ciba.comparison.p == pytest.approx(naive_welch([0.60, 0.62, 0.67], [0.71, 0.70, 0.72]), rel=1e-8)
    assert ciba.comparison.holm == ciba.comparison.p, "kd has no complete group, so one comparison is left"
    assert not results.better(ciba.comparison.difference)
    assert results.arm("none").comparison is None
    kd = results.arm("kd")
    assert kd.best is None and kd.comparison is not None and "this arm has no complete" in kd.comparison.reason


def test_minimised_objective_chooses_the_smallest(tmp_path: Path) -> None:
    study = example_study(tmp_path, objectives=({"metric": "val/loss", "direction": "minimize"},))
    store = StudyStore(study.directory)
    fill(study, store)
    results = study_results(study, collect_groups(study, store))
    chosen = results.arm("ciba")
    means = [group.mean("val/loss") for group in chosen.groups if group.status == "complete"]
    assert chosen.objective is not None and chosen.objective.mean == min(mean for mean in means if mean is not None)
    assert results.test_metric == "test/loss"
    assert results.better(-0.1) and not results.better(0.1)


def test_baseline_without_results(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    store = StudyStore(study.directory)
    write_result(study, store, "ciba", 0, {"bottleneck_dim": 2, "batch_size": 32}, [(0.8, 0.8)] * 3)
    comparison = study_results(study, collect_groups(study, store)).arm("ciba").comparison
    assert comparison is not None and comparison.p is None and "baseline arm has no complete" in comparison.reason


def test_missing_test_metric(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    store = StudyStore(study.directory)
    fill(study, store)
    groups = [group for group in collect_groups(study, store) if group.status == "complete"]
    comparison = compare(groups[0], groups[-1], "test/nothing")
    assert comparison.difference is None and comparison.reason == "this arm has no test/nothing"
    assert values_by_seed(None, "test/accuracy") == {}


def test_stage_usage_by_hand(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    store = StudyStore(study.directory)
    for seed, (computed, reused, saved) in enumerate(
        [
            (("prepared/a", "teacher/x"), (), 0.0),
            (("teacher/y",), ("prepared/a",), 2.0),
            ((), ("prepared/a", "teacher/z"), 2.0 + 30.0),
        ]
    ):
        trial = study.arm("none").trial({"batch_size": 32}, seed)
        store.trial(trial.trial_id).begin(trial, 0)
        stages = {"stages_computed": computed, "stages_reused": reused, "seconds_saved": saved}
        store.trial(trial.trial_id).finish(TrialResult("complete", {"val/accuracy": 0.5}, 1, 1, 1.0, **stages))
    first = study.arm("none").trial({"batch_size": 32}, 0)
    store.propose(Proposal("none", 0, first.group_id, {"batch_size": 32}))
    groups = collect_groups(study, store)
    assert stage_usage(groups) == StageUsage(computed=3, reused=3, elsewhere=1, seconds_saved=34.0)
    assert stage_usage([*groups, *groups]) == stage_usage(groups), "a trial that two arms share"
    [_, line, *_] = work(study_results(study, groups), None)
    assert str(line).count("Shared stages: 3 computed, 3 times reused, 34 s (0.0094 h) saved; 1 of the reused") == 1


def test_best_rows(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    store = StudyStore(study.directory)
    assert best_rows(study, collect_groups(study, store)) == []
    write_result(study, store, "none", 0, {"batch_size": 32}, [(0.70, 0.5), (0.72, 0.5), (0.71, 0.5)])
    (row,) = best_rows(study, collect_groups(study, store))
    assert row == {
        "arm": "none",
        "group_id": store.proposals("none")[0].group_id,
        "params": {"batch_size": 32},
        "metric": "val/accuracy",
        "mean": pytest.approx(0.71),
        "std": pytest.approx(0.01),
        "n": 3,
    }


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ((1, 1), ""),
        ((1, 4, 4), ", 2 of them in packs of 4 (the seconds of a pack are shared among its trials)"),
        ((3, 12, 1), ", 2 of them in packs of 3 to 12 (the seconds of a pack are shared among its trials)"),
    ],
)
def test_the_report_says_how_many_trials_were_trained_together(sizes: tuple[int, ...], text: str) -> None:
    assert packs_text([TrialResult("complete", trained_together=size) for size in sizes]) == text
