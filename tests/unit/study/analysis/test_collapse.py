"""Statistics and sentences about spectra, H, and CIBA against plain distillation, on numbers made for the purpose."""

import math
from pathlib import Path

import numpy as np
import pytest

from search_spaces.domains import Choice
from study.analysis.collapse import bottleneck_pairs, counterpart, direction, log_level, peak, spectrum_shift
from study.analysis.comparison import PairedDifference
from study.analysis.study_results import study_results
from study.config.study_config import Arm, StudyConfig
from study.report.sections.collapse import collapse_findings, pairs_table
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from tests.helpers.example_store import example_study, write_result
from trainables.config import TrialConfig

Accuracies = list[tuple[float, float]]


def base(method: str, **fields: object) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "data": {"dataset": "mfeat"},
            "teacher": {"model": "mlp"},
            "student": {"model": "mlp"},
            "method": {"method": method, **fields},
        }
    )


def study_of(root: Path) -> tuple[StudyConfig, StudyStore]:
    """Arms none, mse, ciba (mse, over H) and clip_ciba, which has no counterpart."""
    sizes = {"bottleneck_dim": Choice((2, 8, 64))}
    arms = (
        Arm(name="none", base=base("none"), space={"batch_size": Choice((64, 32))}),
        Arm(name="mse", base=base("feature_kd"), space={"batch_size": Choice((64, 32))}),
        Arm(name="ciba", base=base("ciba"), space=sizes),
        Arm(name="clip_ciba", base=base("ciba", loss="clip"), space=sizes),
    )
    study = example_study(root).model_copy(update={"arms": arms})
    return study, StudyStore(study.directory)


def write(
    study: StudyConfig, store: StudyStore, arm: str, accuracies: Accuracies, scale: tuple[float, float, float], **p: int
) -> None:
    """One group with these (validation, test) accuracies; the seeds' spectra are [4, 2, 1] times their scale."""
    params = p or {"batch_size": 64}
    number = len(store.proposals(arm))
    write_result(study, store, arm, number, params, accuracies)
    for seed, factor in zip(study.search.seeds, scale, strict=True):
        trial = store.trial(study.arm(arm).trial(params, seed).trial_id)
        trial.write_diagnostics({"features/train": factor * np.array([4.0, 2.0, 1.0])})


def level(*values: float) -> Accuracies:
    return [(value, value) for value in values]


def said(study: StudyConfig, store: StudyStore) -> str:
    return "\n".join(collapse_findings(study, study_results(study, collect_groups(study, store)), store))


def test_log_level_by_hand_with_a_floor() -> None:
    assert log_level(np.array([4.0, 1.0])) == pytest.approx(math.log(4) / 2)
    assert log_level(np.array([1.0, 0.0])) == pytest.approx(math.log(1e-12) / 2)
    assert log_level(np.zeros(3)) is None


def test_shift_is_the_mean_log_ratio_and_scale_leaves_the_rank() -> None:
    theirs = {0: np.array([4.0, 2.0, 1.0]), 1: np.array([4.0, 2.0, 1.0])}
    found = spectrum_shift("a", {0: theirs[0] * 2, 1: theirs[1] * 8, 9: theirs[0]}, theirs)
    assert found is not None and found.level.n == 2
    assert found.level.mean == pytest.approx((math.log(2) + math.log(8)) / 2)
    assert found.rank.mean == pytest.approx(0, abs=1e-12)
    flat = spectrum_shift("a", dict.fromkeys((0, 1), np.ones(3)), theirs)
    shares = np.array([4, 2, 1]) / 7
    assert flat is not None and flat.rank.mean == pytest.approx(3 - math.exp(-(shares * np.log(shares)).sum()))


def test_spectra_of_other_widths_or_seeds_are_not_compared() -> None:
    assert spectrum_shift("a", {0: np.ones(3)}, {0: np.ones(4)}) is None
    assert spectrum_shift("a", {0: np.ones(3)}, {1: np.ones(3)}) is None


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(-2, -1, "lower"), (1, 2, "higher"), (-1, 1, "unclear"), (0, 1, "unclear"), (None, None, "unclear")],
)
def test_direction_needs_the_whole_interval(low: float | None, high: float | None, word: str) -> None:
    assert direction(PairedDifference(0.5, low, high, 3)) == word


@pytest.mark.slow
def test_the_papers_finding_is_said_where_it_holds(tmp_path: Path) -> None:
    study, store = study_of(tmp_path)
    write(study, store, "none", level(0.7, 0.71, 0.72), (1, 1.1, 0.9))
    write(study, store, "mse", level(0.7, 0.71, 0.72), (0.5, 0.54, 0.46))
    write(study, store, "ciba", level(0.8, 0.81, 0.82), (2, 2.3, 1.7), bottleneck_dim=8)
    text = said(study, store)
    assert "plain feature distillation against `none`: lower in 1 of 1 arms" in text
    assert "through a bottleneck (CIBA) against `none`: higher in 1 of 1 arms" in text
    logs = [math.log(a / b) for a, b in ((0.5, 1), (0.54, 1.1), (0.46, 0.9))]
    assert f"`mse` {np.mean(logs):+.2f} [" in text and "effective rank" in text


@pytest.mark.slow
def test_nothing_is_claimed_where_the_interval_holds_0(tmp_path: Path) -> None:
    study, store = study_of(tmp_path)
    write(study, store, "none", level(0.7, 0.71, 0.72), (1, 1, 1))
    write(study, store, "mse", level(0.7, 0.71, 0.72), (0.4, 1.5, 0.9))
    text = said(study, store)
    assert "no shift shown in 1 of 1 arms" in text and "lower in" not in text and "CIBA" not in text


def h_curve(root: Path, small: Accuracies, middle: Accuracies, large: Accuracies) -> str:
    study, store = study_of(root)
    write(study, store, "none", level(0.7, 0.71, 0.72), (1, 1, 1))
    for size, accuracies in zip((2, 8, 64), (small, middle, large), strict=True):
        write(study, store, "ciba", accuracies, (1, 1, 1), bottleneck_dim=size)
    return said(study, store)


@pytest.mark.slow
def test_an_inverted_u_needs_both_ends_clearly_below(tmp_path: Path) -> None:
    low, top = level(0.70, 0.71, 0.72), level(0.80, 0.82, 0.81)
    text = h_curve(tmp_path / "a", low, top, low)
    assert "`ciba`: an inverted U in H is shown: H = 8" in text
    assert "than H = 2 (+10.00 points [" in text and "than H = 64" in text
    text = h_curve(tmp_path / "b", low, top, [(0.70, 0.82), (0.7, 0.80), (0.7, 0.81)])
    assert "no inverted U in H is shown. H = 8 is the best on validation, but" in text
    assert "H = 64, the largest value tried, is the best" in h_curve(tmp_path / "c", low, low, top)
    assert "H = 2, the smallest value tried, is the best" in h_curve(tmp_path / "d", top, low, low)


@pytest.mark.slow
def test_a_best_h_that_validation_flatters_is_no_inverted_u(tmp_path: Path) -> None:
    """The choice is validation's, the comparison the test metric's."""
    low = level(0.70, 0.71, 0.72)
    text = h_curve(tmp_path, low, [(0.9, 0.69), (0.9, 0.705), (0.9, 0.71)], low)
    assert "no inverted U in H is shown. H = 8" in text


def test_two_values_of_h_make_no_curve(tmp_path: Path) -> None:
    study, store = study_of(tmp_path)
    for size in (2, 8):
        write(study, store, "ciba", level(0.7, 0.7, 0.7), (1, 1, 1), bottleneck_dim=size)
    results = study_results(study, collect_groups(study, store))
    assert peak(results.arm("ciba").groups, "bottleneck_dim", results) is None


@pytest.mark.slow
def test_ciba_is_paired_with_the_same_loss_without_it(tmp_path: Path) -> None:
    study, store = study_of(tmp_path)
    assert counterpart(study.arm("ciba"), study) == study.arm("mse")
    assert counterpart(study.arm("clip_ciba"), study) is None
    write(study, store, "none", level(0.7, 0.71, 0.72), (1, 1, 1))
    write(study, store, "mse", level(0.70, 0.71, 0.72), (1, 1, 1))
    write(study, store, "ciba", level(0.80, 0.81, 0.82), (1, 1, 1), bottleneck_dim=8)
    results = study_results(study, collect_groups(study, store))
    (pair,) = bottleneck_pairs(study, results)
    assert (pair.ciba, pair.plain) == ("ciba", "mse") and pair.comparison.difference == pytest.approx(0.1)
    t = 0.1 / (0.01 * (2 / 3) ** 0.5)
    u = t / (4 + t * t) ** 0.5
    assert pair.comparison.p == pytest.approx(1 - u * (3 - u * u) / 2) == pair.comparison.holm
    (table,) = pairs_table(study, results)
    assert table.rows[0][:4] == ("`ciba`", "`mse`", "71.00 ± 1.00", "81.00 ± 1.00")


def test_a_study_without_such_arms_says_nothing(tmp_path: Path) -> None:
    study, store = study_of(tmp_path)
    study = study.model_copy(update={"arms": study.arms[:2]})
    write(study, store, "none", level(0.7, 0.71, 0.72), (1, 1, 1))
    assert said(study, store) == "" and pairs_table(study, study_results(study, collect_groups(study, store))) == []
