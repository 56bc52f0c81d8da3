"""Calibration of the criterion against values that are known, and the report's section on a store without training."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from scipy.stats import t

from study.analysis.comparison import PairedDifference
from study.analysis.correlation import spearman
from study.analysis.study_results import study_results
from study.config.study_config import StudyConfig
from study.planning.criterion import Assessment, Term, combine
from study.planning.criterion_agreement import (
    PairOutcome,
    agreement,
    calibration_curve,
    failures,
    gap_against_gain,
    saving,
    share,
    two_by_two,
    verdicts,
)
from study.planning.criterion_cost import criterion_seconds
from study.planning.criterion_gains import flipped, gain_of, pair_outcomes
from study.report.format.document import Table
from study.report.sections.criterion import net_of
from study.report.sections.teacher_choice import by_student, mean_rank, teacher_choice
from study.report.write import write_report
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from tests.helpers.criterion_studies import TEXT, cells, study_in, write_estimates
from tests.helpers.example_store import write_result
from trainables.common.atomic_files import write_json
from trainables.stages.artifacts import StageStore


def outcome(gap: float, gain: float, half: float = 0.1, seconds: float = 2.0) -> PairOutcome:
    term = Term(gap, gap - half, gap + half)
    expected = Assessment(Term(1 + gap, 0.0, 2.0), Term(1.0, 0.9, 1.1), term, 3, 300, ())
    return PairOutcome(f"{gap:+g}", "kd", expected, PairedDifference(gain, gain - 0.01, gain + 0.01, 3), seconds, 5)


FIVE = [outcome(0.5, 0.05), outcome(0.3, -0.02), outcome(0.05, 0.04), outcome(-0.4, 0.03), outcome(-0.6, -0.05)]


def test_signs_verdicts_and_failures_of_five_pairs() -> None:
    assert (agreement(FIVE).k, agreement(FIVE).n) == (3, 5)
    assert two_by_two(FIVE) == {(True, True): 2, (True, False): 1, (False, True): 1, (False, False): 1}
    assert {verdict: (found.k, found.n) for verdict, found in verdicts(FIVE).items()} == {
        "pays": (1, 2),
        "undecided": (1, 1),
        "does not pay": (1, 2),
    }
    assert [one.name for one in failures(FIVE)] == ["-0.4", "+0.3"]
    assert [one.clear for one in FIVE] == [True, True, False, True, True]


def test_what_skipping_saves_and_loses() -> None:
    found = saving(FIVE)
    assert (found.cells, found.trainings, found.seconds, found.of_seconds) == (2, 10, 4.0, 10.0)
    assert [one.name for one in found.lost] == ["-0.4"]


def test_wilsons_interval() -> None:
    """(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n) at k = 8, n = 10 is 0.490 ... 0.943."""
    found = share(8, 10)
    assert (found.low, found.high) == (pytest.approx(0.4902, abs=5e-5), pytest.approx(0.9433, abs=5e-5))
    assert share(0, 5).low == pytest.approx(0, abs=1e-12) and share(0, 5).high == pytest.approx(0.4345, abs=5e-5)
    assert share(0, 0).high == 1


def test_spearman_and_its_interval() -> None:
    """Ranks 1 2 3 4 5 against 2 1 4 3 5: ρ = 1 - 6 · 4 / 120 = 0.8; half of the interval of z: 1.96 sqrt(1.32 / 2)."""
    found = spearman([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 5.0])
    assert found is not None and found.rho == pytest.approx(0.8)
    assert found.low == pytest.approx(-0.4571, abs=2e-4) and found.high == pytest.approx(0.9908, abs=2e-4)
    assert spearman([1.0, 2.0], [1.0, 2.0]) is None and spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    order = gap_against_gain(FIVE)
    assert order is not None and order.rho == pytest.approx(0.7)


def test_the_calibration_curve_has_bins_of_equal_number() -> None:
    bins = calibration_curve([outcome(gap / 10, 1.0 if gap > 5 else -1.0) for gap in range(10)])
    assert [(one.helped.k, one.helped.n) for one in bins] == [(0, 2), (0, 2), (0, 2), (2, 2), (2, 2)]
    assert [one.gap for one in bins] == pytest.approx([0.05, 0.25, 0.45, 0.65, 0.85])
    assert calibration_curve(FIVE[:3]) == []


def test_seeds_share_the_held_out_pairs() -> None:
    """Five seeds with equal values keep one seed's error; with spread s the interval adds t s / sqrt(n)."""
    same = combine([0.3] * 5, [0.1] * 5, 20)
    assert same.mean == pytest.approx(0.3) and same.high - same.mean == pytest.approx(2.0930 * 0.1, abs=1e-4)
    spread = combine([0.1, 0.2, 0.3, 0.4, 0.5], [0.0] * 5, 20)
    assert spread.high - spread.mean == pytest.approx(2.7764 * 0.158114 / 5**0.5, abs=1e-4)
    assert combine([0.3], [0.1], 20).low == pytest.approx(0.3 - 0.2093, abs=1e-4)


LEVELS = {"none-fou": 0.50, "none-mor": 0.40, "kd-pix-fou": 0.56, "kd-pix-mor": 0.43, "kd-fou-mor": 0.38}


def measured(folder: Path, text: str) -> StudyConfig:
    study = study_in(folder, text)
    write_estimates(study, {"kd-pix-fou": (0.5, 0.1), "kd-pix-mor": (-0.5, 0.1), "kd-fou-mor": (-0.1, 0.1)})
    store = StudyStore(study.directory)
    for name, level in LEVELS.items():
        for number, value in enumerate([0.1, 0.2] if name.startswith("kd") else [None]):
            params = {} if value is None else {"lambda_kd": value}
            rows = [(level - 0.1 * number, level - 0.1 * number + 0.01 * seed) for seed in range(3)]
            write_result(study, store, name, number, params, rows)
    return study


@pytest.mark.slow
def test_each_gain_is_over_the_baseline_with_the_same_student(tmp_path: Path) -> None:
    study = measured(tmp_path, TEXT.replace("gate}", "report}"))
    assert study.criterion is not None
    results = study_results(study, collect_groups(study, StudyStore(study.directory)))
    found = {one.name: one for one in pair_outcomes(study, results, study.criterion.settings)}
    assert {name: round(one.gain.mean, 9) for name, one in found.items()} == {
        "pix → fou": 0.06,
        "pix → mor": 0.03,
        "fou → mor": -0.02,
    }
    assert [one.trainings for one in found.values()] == [6, 6, 6] and found["pix → fou"].seconds == 6.0


@pytest.mark.slow
def test_where_less_is_better_a_gain_is_what_was_taken_off(tmp_path: Path) -> None:
    study = measured(tmp_path, TEXT.replace("gate}", "report}"))
    results = study_results(study, collect_groups(study, StudyStore(study.directory)))
    better, worse = (results.arm(name).groups[0] for name in ("kd-pix-fou", "none-fou"))
    up = gain_of(better, worse, results)
    down = gain_of(better, worse, results._replace(direction="minimize"))
    assert up and down and up.mean > 0 and down.mean == -up.mean
    row = PairedDifference(0.03, 0.01, 0.06, 3)
    assert flipped(row) == PairedDifference(-0.03, -0.06, -0.01, 3)


@pytest.mark.slow
def test_the_report_says_what_was_foretold_and_where_it_failed(tmp_path: Path) -> None:
    study = measured(tmp_path, TEXT.replace("gate}", "report, compare: [{estimator: ksg, k: 5}]}"))
    page = write_report(study, StudyStore(study.directory)).with_name("report.md").read_text()
    assert "## Does distillation pay: the criterion and the gains" in page
    assert "Gap and gain (test accuracy) have the same sign in 2 of 3 (67 % [21, 94]) of the pairs." in page
    assert "Spearman(G, gain) = +0.50 over 3 pairs." in page
    assert (
        'Skipping the 1 pair with the verdict "does not pay" would have saved 6 trainings, 0:00:06 of 0:00:18' in page
    )
    assert "would have lost gains in 1 of these pairs, up to +3.00 points (pix → mor)" in page
    assert "| G > 0 | 1 | 0 |" in page and "| G <= 0 | 1 | 1 |" in page
    assert "Where the criterion failed: 1 of 3 pairs" in page
    assert "| pix → mor | -0.50 [-0.71, -0.29] | does not pay | +3.00 |" in page
    assert "| ksg, k = 5 |" in page and "figures/criterion.png" in page


def test_within_a_student_the_gap_chooses_its_teacher() -> None:
    pairs = [(0.5, 0.02, "pix", "fou"), (0.2, 0.05, "fac", "fou"), (-0.3, 0.01, "mor", "fou"),
             (0.9, 0.03, "pix", "zer"), (0.4, 0.02, "fac", "zer"), (0.1, -0.01, "mor", "zer"),
             (0.7, 0.03, "pix", "kar"), (0.6, 0.01, "fac", "kar")]  # fmt: skip
    found = [
        outcome(gap, gain)._replace(method="kd", teacher=teacher, student=student)
        for gap, gain, teacher, student in pairs
    ]
    assert set(by_student(found)) == {("kd", "fou"), ("kd", "zer")}, "two teachers are no ranking"
    ranks = (0.5, 1.0)
    half = float(t.ppf(0.975, 1)) * 0.5 / 2  # stdev(ranks) / sqrt(2) = 0.25
    assert mean_rank(found) == f"+0.75 [{max(-1, 0.75 - half):+.2f}, +1.00] on average over 2 students"
    assert sum(ranks) / 2 == 0.75
    results = SimpleNamespace(test_metric="test/accuracy")
    [line, table] = teacher_choice(found, results)  # pyright: ignore[reportArgumentType]
    assert isinstance(table, Table)
    assert "the best one for 1 of 2 students." in str(line)
    assert ("fou", "3", "+0.50", "pix (+2.00)", "fac (+5.00)", "3.00") in table.rows
    assert ("zer", "3", "+1.00", "pix (+3.00)", "pix (+3.00)", "0.00") in table.rows
    assert teacher_choice(found[:2], results) == []  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_a_report_of_a_gate_says_what_it_skipped(tmp_path: Path) -> None:
    study = measured(tmp_path, TEXT)
    store = StudyStore(study.directory)
    for proposal in store.proposals("kd-pix-mor")[1:]:
        (store.trial(study.arm("kd-pix-mor").trial(proposal.params, 0).trial_id).path / "result.json").unlink()
        store.propose(proposal._replace(skipped="the criterion says that it does not pay"))
    page = write_report(study, store).with_name("report.md").read_text()
    assert "The gate skipped 1 configuration, 3 trainings, about 0:00:03 of training at 1 s each; " in page
    assert "the criterion itself (its estimates, and students trained for them alone) cost 0:00:18, more than" in page
    assert "1 skipped" in page


def test_the_criterions_cost_leaves_out_what_distillation_needs_anyway(tmp_path: Path) -> None:
    study = measured(tmp_path, TEXT)
    stages, criterion = StageStore(study.stages_directory), study.criterion
    assert criterion is not None
    assert criterion_seconds(study) == 3 * 3 * 2.0, "three pairs, three seeds, two seconds each"
    estimate = cells(study)["kd-pix-fou"].stages(criterion.settings)[0]
    for network, seconds in ((estimate.teacher, 100.0), (estimate.student, 7.0)):
        path = stages.path(network)
        path.mkdir(parents=True)
        write_json(path / "stage.json", {"seconds": seconds})
    assert criterion_seconds(study) == 18.0 + 7.0, "the teacher is trained whether or not there is a criterion"
    assert criterion_seconds(study.model_copy(update={"criterion": None})) == 0.0
    assert net_of(60.0, 3600.0).endswith("cost 0:01:00, so 0:59:00 net")


def test_a_study_without_a_criterion_has_no_such_section(tmp_path: Path) -> None:
    study = study_in(tmp_path, TEXT.replace("criterion: {action: gate}\n", ""))
    page = write_report(study, StudyStore(study.directory)).with_name("report.md").read_text()
    assert "criterion" not in page
