"""The cost of a trial must not depend on the number of trials: counted in files read and candidates evaluated."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces.domains import Choice
from study.config.study_config import Arm, StudyConfig
from study.report.format import figure_files
from study.report.write import write_report
from study.search import arm_search
from study.search.arm_search import Configuration
from study.search.samplers import Sampler
from study.search.search import Counts, Search
from study.storage import store
from study.storage.store import StudyStore
from study.tracking import tags
from tests.helpers.example_store import example_study, trial_config, write_result
from tests.helpers.fake_trials import finite_arm, run, store_of, train, two_arms
from trainables.worker import trial_directory
from trainables.worker.trial_directory import TrialDirectory


class Calls:
    """Counts the calls of the functions that it wraps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch, self.counts = monkeypatch, Counter[str]()

    def count(self, place: Any, name: str, note: Callable[..., str] = lambda *arguments: "") -> None:
        """Count the calls of `place.name`, by what `note` says of their arguments."""
        original = getattr(place, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.counts[note(*arguments) or name] += 1
            return original(*arguments, **named)

        self.monkeypatch.setattr(place, name, counted)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def wide(root: Path, configurations: int, **search: object) -> StudyConfig:
    """One arm with as many configurations as one likes."""
    study = two_arms(root, trials=configurations, pruner="none", **search)
    space = {"batch_size": Choice(tuple(range(2, 2 + configurations)))}
    return study.model_copy(update={"arms": (Arm(name="none", base=trial_config("none"), space=space),)})


def count_reads(calls: Calls) -> None:
    """Every JSON file that is read, by its folder and name."""
    for place in (store, trial_directory, tags):
        calls.count(place, "read_json", lambda path: "proposal" if "proposals" in path.parts else path.name)
    calls.count(trial_directory, "read_lines", lambda path: path.name)


def test_a_grid_is_walked_through_once(tmp_path: Path, calls: Calls) -> None:
    study = wide(tmp_path, 30, sampler="grid", seeds=(0,))
    calls.count(arm_search, "grid_point")
    assert len(run(study)) == 30
    assert calls.counts["grid_point"] == 30


def test_a_point_of_a_grid_that_does_not_fit_is_looked_at_once(tmp_path: Path, calls: Calls) -> None:
    study = two_arms(tmp_path, sampler="grid", trials=15, seeds=(0,), pruner="none")
    arm = finite_arm()
    unfit = arm.model_copy(update={"space": {**arm.space, "bottleneck_dim": Choice((2, 256, 4, 8))}})
    study = study.model_copy(update={"arms": (unfit,)})
    calls.count(arm_search, "grid_point")
    assert {job.trial.params["bottleneck_dim"] for job in run(study)} == {2, 4, 8}
    assert calls.counts["grid_point"] == 12


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_a_sampler_that_learns_nothing_is_told_nothing(tmp_path: Path, calls: Calls, sampler: str) -> None:
    calls.count(Sampler, "suggest", lambda own, earlier, *others: f"told {len(earlier)}")
    run(two_arms(tmp_path, sampler=sampler, pruner="none", seeds=(0,)))
    assert set(calls.counts) == {"told 0"}


def test_the_counts_that_are_kept_are_those_of_all_configurations(tmp_path: Path) -> None:
    study, fails = two_arms(tmp_path, sampler="random", pruner="asha"), {("none", 0, 1), ("kd", 0, 0)}
    search, kept = Search(study, store_of(study)), store_of(study)
    while job := search.next():
        train(search, kept, job, lambda job: (job.trial.arm, job.trial.number, job.trial.seed) in fails)
        configurations = [one for arm in search.arms for one in arm.configurations]
        ended = Counter(result.status for one in configurations for result in one.results.values())
        to_come = sum(arm.budget - len(arm.configurations) for arm in search.arms)
        whole = [len(one.trials if one.state in ("running", "complete") else one.results) for one in configurations]
        expected = (ended["complete"], ended["pruned"], ended["failed"])
        assert search.counts == Counts(sum(whole) + 2 * to_come, *expected, reused=0)
    assert min(expected) > 0
    assert search.counts == Search(study, kept).counts._replace(reused=0)


def test_the_next_of_many_open_configurations_is_found_at_once(tmp_path: Path, calls: Calls) -> None:
    """As after a study got one more seed: each of its configurations is open again."""
    run(wide(tmp_path, 30, sampler="grid", seeds=(0,)))
    search = Search(wide(tmp_path, 30, sampler="grid", seeds=(0, 1)), store_of(wide(tmp_path, 30)))
    assert len(search.arms[0].open) == 30
    calls.count(Configuration, "startable")
    jobs = []
    for expected in (1, 2, 3):  # those that run are stepped over
        calls.counts.clear()
        jobs.append(search.next())
        assert calls.counts["startable"] == expected
    assert [(job.trial.number, job.trial.seed) for job in jobs if job] == [(0, 1), (1, 1), (2, 1)]
    calls.counts.clear()
    assert search.next_ahead() and calls.counts["startable"] == 4


def test_a_start_reads_two_files_for_each_finished_trial(tmp_path: Path, calls: Calls) -> None:
    study = wide(tmp_path, 20, sampler="random", seeds=(0,))
    run(study)
    count_reads(calls)
    search = Search(study, store_of(study))
    assert search.next() is None and search.finished()
    assert calls.counts == {"proposal": 20, "result.json": 20}


def test_a_trial_reads_nothing_of_the_others(tmp_path: Path, calls: Calls) -> None:
    study = wide(tmp_path, 20, sampler="random", seeds=(0,))
    search, kept = Search(study, store_of(study)), store_of(study)
    count_reads(calls)
    while job := search.next():
        train(search, kept, job)
    assert calls.counts == {"result.json": 20, "history.jsonl": 40}


def test_a_report_reads_few_histories(tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    calls.count(TrialDirectory, "history")
    monkeypatch.setattr(figure_files, "render", lambda figure, form: b"")
    read = {}
    for number in (3, 9):
        study = example_study(tmp_path / str(number), trials=20)
        kept = StudyStore(study.directory)
        for k in range(number):
            params = {"lambda_kd": 0.2 + 0.01 * k, "temperature": 2.0, "batch_size": 32}
            write_result(study, kept, "kd", k, params, [(0.5 + 0.01 * k, 0.5)] * 3)
        calls.counts.clear()
        write_report(study, kept)
        read[number] = calls.counts["history"]
    assert read[3] == read[9] > 0
