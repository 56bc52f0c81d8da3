"""The skip rule: skips what the criterion predicts will not pay, except for the explored share, and reports it."""

from pathlib import Path

import pytest

from study.config.resolved_study import ResolvedStudy
from study.config.study_config import StudyConfig
from study.console.live_table import describe
from study.console.progress import Progress
from study.console.status import configurations, unfinished
from study.execution.events import ConfigurationSkipped
from study.planning.criterion import assess
from study.planning.criterion_table import plan_lines
from study.planning.resolve import resolve
from study.search.search import Search
from study.search.skip_rule import explored
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from tests.helpers.criterion_studies import TEXT, cells, study_in, write_estimates
from tests.helpers.example_store import write_result
from trainables.common.types import TrialResult
from trainables.stages.artifacts import StageStore

GAPS = {"kd-pix-fou": (0.5, 0.1), "kd-pix-mor": (-0.5, 0.1), "kd-fou-mor": (-0.1, 0.1)}
"""Pays, does not, undecided."""


def gated(folder: Path, text: str = TEXT) -> ResolvedStudy:
    study = study_in(folder, text)
    write_estimates(study, GAPS)
    return resolve(study, compute=False)


def proposed(study: ResolvedStudy) -> Search:
    """A search that has handed out everything; each trial is complete at once."""
    search = Search(study, StudyStore(study.directory))
    while job := search.next():
        search.complete(job.trial.trial_id, TrialResult("complete", {"val/accuracy": 0.5}))
    return search


def skipped(study: StudyConfig) -> dict[str, int]:
    store = StudyStore(study.directory)
    return {arm.name: sum(bool(p.skipped) for p in store.proposals(arm.name)) for arm in study.arms}


def test_only_what_does_not_pay_is_skipped_and_never_a_baseline(tmp_path: Path) -> None:
    study = gated(tmp_path, TEXT.replace("gate}", "gate, explore: 0}"))
    search = proposed(study)
    assert skipped(study) == {"none-fou": 0, "none-mor": 0, "kd-pix-fou": 0, "kd-pix-mor": 5, "kd-fou-mor": 0}
    assert search.finished() and search.counts.skipped == 5
    assert search.counts.planned == 3 * (1 + 1 + 5 + 5) == search.counts.complete
    (reason,) = {p.skipped for p in StudyStore(study.directory).proposals("kd-pix-mor")}
    assert "does not pay: G = -0.50 [-0.71, -0.29] nats (ksg, 3 seeds)" in reason and "0% that are run" in reason


def test_the_share_that_is_explored_counted_over_seeds(tmp_path: Path) -> None:
    """100 configurations x 20 seeds of the study; the share of each is a binomial draw, their mean is near 0.2."""
    values = [round(0.001 * n, 3) for n in range(1, 101)]
    text = TEXT.replace("[0.1, 0.2, 0.3, 0.4, 0.5]", str(values)).replace("trials: 5", "trials: 100")
    study = study_in(tmp_path, text)
    groups = [study.arm("kd-pix-mor").trial({"lambda_kd": value}, 0).group_id for value in values]
    shares = []
    for seed in range(20):
        seeded = study.model_copy(update={"search": study.search.model_copy(update={"sampler_seed": seed})})
        shares.append(sum(explored(seeded, group) for group in groups) / 100)
    assert sum(shares) / 20 == pytest.approx(0.2, abs=3 * (0.16 / 2000) ** 0.5)
    assert all(0.05 < share < 0.4 for share in shares) and len(set(shares)) > 3
    write_estimates(study, GAPS)
    one = resolve(study.model_copy(update={"arms": (study.arm("kd-pix-mor"),)}), compute=False)
    proposed(one)
    assert 100 - skipped(one)["kd-pix-mor"] == round(100 * shares[0])


def test_a_resumed_study_and_a_fresh_one_decide_as_before(tmp_path: Path) -> None:
    study = gated(tmp_path)
    proposed(study)
    before = {p.number: p.skipped for p in StudyStore(study.directory).proposals("kd-pix-mor")}
    assert 0 < sum(map(bool, before.values())) < 5, "the seed explores some of the five"
    resumed = Search(study, StudyStore(study.directory))
    assert {c.number: c.skipped for _, c in resumed.take_skipped()} == {n: why for n, why in before.items() if why}
    study.directory.rename(tmp_path / "aside")
    proposed(study)
    assert {p.number: p.skipped for p in StudyStore(study.directory).proposals("kd-pix-mor")} == before


def test_a_gate_that_is_taken_away_runs_what_it_skipped(tmp_path: Path) -> None:
    study = gated(tmp_path, TEXT.replace("gate}", "gate, explore: 0}"))
    proposed(study)
    opened = gated(tmp_path, TEXT.replace("gate}", "report}"))
    search = Search(opened, StudyStore(opened.directory))
    assert search.counts.skipped == 0 and sum(skipped(opened).values()) == 0
    assert {job.trial.arm for job in iter(search.next, None)} >= {"kd-pix-mor"}


def test_what_has_begun_is_not_skipped(tmp_path: Path) -> None:
    study = gated(tmp_path, TEXT.replace("gate}", "gate, explore: 0}"))
    store = StudyStore(study.directory)
    write_result(study, store, "kd-pix-mor", 0, {"lambda_kd": 0.1}, [(0.5, 0.5)] * 3)
    proposed(study)
    assert skipped(study)["kd-pix-mor"] == 4 and not store.proposals("kd-pix-mor")[0].skipped


def test_without_estimates_nothing_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise FloatingPointError("no features")

    monkeypatch.setattr(StageStore, "get", broken)
    lines: list[str] = []
    study = resolve(study_in(tmp_path), compute=True, say=lines.append)
    proposed(study)
    assert sum(skipped(study).values()) == 0
    assert "  pix → mor: no estimate, FloatingPointError: no features" in lines


def test_a_swept_degradation_is_judged_value_by_value(tmp_path: Path) -> None:
    """The networks depend on the swept noise, so each of its values is a separate cell."""
    text = TEXT.replace("pairs: {teacher: [pix, fou], student: [fou, mor]}\n", "")
    text = text.replace("{lambda: [0.1, 0.2, 0.3, 0.4, 0.5]}", "{data.teacher_noise: [0, 4], lambda: [0.1, 0.2]}")
    study = study_in(tmp_path, text.replace("gate}", "gate, explore: 0}"))
    from study.planning.criterion import study_cells

    found = study_cells(study, StudyStore(study.directory))
    assert [(cell.name, cell.params) for cell in found] == [
        ("pix → fou", {"data.teacher_noise": 0}),
        ("pix, teacher_noise = 4 → fou", {"data.teacher_noise": 4}),
    ]


def test_a_pair_that_a_range_proposes_is_run_without_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its networks are known only inside the search, where nothing is trained."""
    text = TEXT.replace("pairs: {teacher: [pix, fou], student: [fou, mor]}\n", "").replace("grid", "random")
    text = text.replace("{lambda: [0.1, 0.2, 0.3, 0.4, 0.5]}", "{data.teacher_noise: {low: 0, high: 4}}")
    lines: list[str] = []
    monkeypatch.setattr(StageStore, "get", lambda *_: pytest.fail("an estimate was computed"))
    study = resolve(study_in(tmp_path, text), compute=True, say=lines.append)
    search = proposed(study)
    assert study.skip_reasons == {} and lines == [] and search.counts.skipped == 0
    assert search.counts.complete == search.counts.planned > 0
    assert "the networks of kd depend on a range" in plan_lines(study)[-1]


def test_skipped_configurations_are_shown(tmp_path: Path) -> None:
    study = gated(tmp_path, TEXT.replace("gate}", "gate, explore: 0}"))
    search = proposed(study)
    groups = [group for group in collect_groups(study, StudyStore(study.directory)) if group.arm == "kd-pix-mor"]
    assert {group.status for group in groups} == {"skipped"}
    assert configurations(study, study.arm("kd-pix-mor"), groups) == "5 of 5, 5 skipped"
    assert len([line for line in unfinished(study, groups) if "skipped, the criterion says" in line]) == 5
    progress = Progress(study)
    events = [ConfigurationSkipped(arm, c.number, c.params, c.skipped) for arm, c in search.take_skipped()]
    for event in events:
        progress.observe(event)
    assert progress.planned == study.planned_trials - 5 * 3 and progress.skipped == 5
    assert describe(events[0], progress).startswith("kd-pix-mor #0  skipped, the criterion says")


def test_verdicts_by_the_interval_of_the_gap(tmp_path: Path) -> None:
    study = gated(tmp_path)
    assert study.criterion is not None
    stages = StageStore(study.stages_directory)
    found = {name: assess(cell, study.criterion.settings, stages) for name, cell in cells(study).items()}
    assert {name: one and one.verdict for name, one in found.items()} == {
        "kd-pix-fou": "pays",
        "kd-pix-mor": "does not pay",
        "kd-fou-mor": "undecided",
    }
