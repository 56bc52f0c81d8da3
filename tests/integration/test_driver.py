"""Whole studies through real Ray Tune and Ray Train, in this process and on one shared cluster."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from study.config.study_config import StudyConfig
from study.execution import events
from study.parsing.loader import load
from study.planning.resolve import resolve
from study.search.search import Search
from study.storage.store import StudyStore
from tests.helpers.stored_trials import stored_records
from tests.helpers.waiting import wait_until
from trainables.fitting import fit
from trainables.stages.artifacts import StageStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

STUDY = """
study: driven
data: {dataset: mfeat, train: 200, val: 100, labels: 50}
teacher: {model: mlp, hidden: [16], feature_dim: 16}
student: {model: mlp, hidden: [16], feature_dim: 16}
training: {epochs: EPOCHS, batch_size: 32, precision: float64}
pretraining: {epochs: 2}
arms:
  none: {method: none}
  ARM
search: {sampler: grid, pruner: none, trials: 4, seeds: 2}
resources: {RESOURCES}
studies: STUDIES
"""

EPOCHS = 150
"""Long enough to be killed on the way."""

CIBA = "ciba: {method: ciba, bottleneck_epochs: 3, space: {H: [2, 4]}}"


def study_of(folder: Path, resources: str, arm: str = CIBA, epochs: int = 3) -> StudyConfig:
    folder.mkdir(exist_ok=True)
    resources = resources if "pack" in resources else f"{resources}, pack: 1"
    text = STUDY.replace("RESOURCES", resources).replace("STUDIES", str(folder)).replace("ARM", arm)
    file = folder / "sweep.yaml"
    file.write_text(text.replace("EPOCHS", str(epochs)))
    return resolve(load(file), compute=False)


def driven(study: StudyConfig, watch: Any = None) -> tuple[StudyStore, list[events.Event], Search]:
    """Run the study to its end; its store, what was emitted, and the search."""
    from study.execution.driver import drive

    store = StudyStore(study.directory)
    search = Search(study, store)
    seen: list[events.Event] = []

    def emit(event: events.Event) -> None:
        seen.append(event)
        if watch:
            watch(event)

    assert drive(study, store, search, emit) == "complete"
    return store, seen, search


@pytest.fixture(scope="module")
def alone(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyConfig, StudyStore, list]:
    """The study with one worker and two slots."""
    study = study_of(tmp_path_factory.mktemp("alone"), "concurrency: 2")
    store, seen, _ = driven(study)
    return study, store, seen


def pids(*words: str) -> list[int]:
    """Live descendants of this process whose title contains one of the words."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.cmdline() and any(word in process.cmdline()[0] for word in words):
                found.append(process.pid)
    return found


def results(store: StudyStore) -> dict[str, dict[str, float]]:
    return {record.trial_id: record.result.metrics for record in stored_records(store) if record.result}


def test_every_trial_equals_fit_without_ray(alone: tuple[StudyConfig, StudyStore, list]) -> None:
    study, store, _ = alone
    records = stored_records(store)
    assert len(records) == 6
    for record in records:
        assert record.result is not None and record.result.status == "complete"
        fitted = fit(record.config, stages=StageStore(study.stages_directory))
        assert record.result.metrics == fitted.result.metrics
        assert record.history == fitted.history


def test_events_tell_the_story(alone: tuple[StudyConfig, StudyStore, list]) -> None:
    _, store, seen = alone
    kinds = [type(event).__name__ for event in seen]
    assert kinds[0] == "SlotsStarting" and kinds.count("SlotReady") == 2
    assert kinds.count("TrialStarted") == kinds.count("TrialFinished") == 6
    assert kinds.count("EpochFinished") == 18
    ids = [event.trial.trial_id for event in seen if isinstance(event, events.TrialFinished)]
    assert sorted(ids) == sorted(results(store))


def test_the_next_trial_of_a_grid_waits_in_the_mailbox_for_its_slot(ray_cluster: None, tmp_path: Path) -> None:
    """A slot that waits for Tune between two trials waits for longer than a short trial takes."""
    import ray

    from study.execution.mailbox import start_mailbox
    from study.execution.tune_adapters import TuneBridge
    from trainables.common.results import TrialResult
    from trainables.worker.messages import PackResult

    study = study_of(tmp_path / "ahead", "workers: 0")
    store = StudyStore(study.directory)
    mailbox = start_mailbox("ahead")
    bridge = TuneBridge(study, store, Search(study, store), lambda event: None, mailbox)
    suggested = bridge.suggest("tune's first")
    first = ray.get(mailbox.take.remote(0))
    ended = dict.fromkeys((t.trial_id for t in first.trials), TrialResult("complete", {"val/accuracy": 0.5}, 3, 3))
    ray.get(mailbox.finish.remote(0, first.pack, [], PackResult(ended)))
    second = ray.get(mailbox.take.remote(0))
    assert isinstance(suggested, dict) and first.pack == suggested["pack"] != second.pack
    assert bridge.suggest("tune's second") == {"pack": second.pack}, "Tune joins what has begun"
    ray.kill(mailbox)


def test_stages_were_computed_once(alone: tuple[StudyConfig, StudyStore, list]) -> None:
    _, store, _ = alone
    computed = [label for record in stored_records(store) if record.result for label in record.result.stages_computed]
    assert len(computed) == len(set(computed)) == 2 + 2 * (2 + 2) + 4, (
        "data, of both and of one; teacher, student; H x seeds"
    )


def test_two_workers_give_what_one_gives(alone: tuple[StudyConfig, StudyStore, list], tmp_path: Path) -> None:
    store, _, _ = driven(study_of(tmp_path / "two", "workers: 2, concurrency: 1"))
    one, two = results(alone[1]), results(store)
    assert one.keys() == two.keys()
    for trial_id, metrics in one.items():
        assert two[trial_id] == pytest.approx(metrics, rel=1e-9), trial_id


def test_local_mode_gives_the_same(alone: tuple[StudyConfig, StudyStore, list], tmp_path: Path) -> None:
    store, _, _ = driven(study_of(tmp_path / "local", "workers: 0"))
    assert results(store) == results(alone[1])


def test_more_epochs_go_on_where_the_shorter_trials_ended(
    alone: tuple[StudyConfig, StudyStore, list], tmp_path: Path
) -> None:
    from study.storage.lock import record_study

    short = study_of(tmp_path / "s", "workers: 0", arm="kd: {method: kd}")
    record_study(short)
    driven(short)
    longer = study_of(tmp_path / "s", "workers: 0", arm="kd: {method: kd}", epochs=5)
    record_study(longer)
    store, seen, _ = driven(longer)
    started = [event for event in seen if isinstance(event, events.TrialStarted)]
    assert len(started) == 4 and {event.from_epoch for event in started} == {3}
    for event in started:
        record = store.record(event.trial.trial_id)
        fitted = fit(record.config, stages=StageStore(longer.stages_directory))
        assert record.result is not None and record.result.metrics == fitted.result.metrics
        assert record.history == fitted.history


def test_packs_give_what_trials_alone_give(alone: tuple[StudyConfig, StudyStore, list], tmp_path: Path) -> None:
    study = study_of(tmp_path / "packed", "concurrency: 1, pack: 4")
    store, seen, _ = driven(study)
    one, packed = results(alone[1]), results(store)
    assert one.keys() == packed.keys()
    for trial_id, metrics in one.items():
        assert packed[trial_id] == pytest.approx(metrics, rel=1e-9), trial_id
        for mine, other in zip(store.record(trial_id).history, alone[1].record(trial_id).history, strict=True):
            assert mine.metrics == pytest.approx(other.metrics, rel=1e-9)
    together = [record.result.trained_together for record in stored_records(store) if record.result]
    assert max(together) > 1, together
    kinds = [type(event).__name__ for event in seen]
    assert kinds.count("TrialStarted") == kinds.count("TrialFinished") == 6 and kinds.count("EpochFinished") == 18


def test_a_slot_finds_out_how_many_pay_and_gives_the_others_back(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables.worker import worker

    asked: list[int] = []

    def two(problem: Any, config: Any, workers: Any, largest: int) -> int:
        asked.append(largest)
        return 2

    monkeypatch.setattr(worker, "find_pack_size", two)
    arm = "kd: {method: kd, space: {T: [1, 2, 4]}}"
    study = study_of(tmp_path / "found", "workers: 0, pack: auto", arm=arm)  # in this process, so the change holds
    store, seen, search = driven(study)
    assert search.counts.complete == 8 and asked, "2 of none, 6 of kd"
    assert {record.result.trained_together for record in stored_records(store) if record.result} == {2}
    assert len([event for event in seen if isinstance(event, events.TrialFinished)]) == 8
    assert all(len(record.history) == 3 for record in stored_records(store))


def test_a_pack_whose_workers_die_loses_nothing(ray_cluster: None, tmp_path: Path) -> None:
    """Killed twice, so that its trials are handed out one by one afterwards."""
    arm = "kd: {method: kd, space: {T: [1, 2]}}"
    study = study_of(
        tmp_path / "pack deaths", "concurrency: 1, pack: 4, checkpoint_seconds: 0.1", arm=arm, epochs=EPOCHS
    )
    # Nothing is pruned so early, but a trial that might be cannot end before the driver has seen all of its epochs.
    search = study.search.model_copy(update={"pruner": "median", "warmup_epochs": EPOCHS})
    killer = WorkerKiller(study := study.model_copy(update={"search": search}), times=2)
    store, _, search = driven(study, killer)
    assert killer.deaths == [(4, 1), (4, 2)] and search.counts.complete == 6
    assert [attempt["from_epoch"] > 0 for attempt in killer.attempts()] == [False, True, True]
    for record in stored_records(store):
        fitted = fit(record.config, stages=StageStore(study.stages_directory))
        assert record.result is not None and record.result.metrics == pytest.approx(fitted.result.metrics, rel=1e-9)
        assert [report.epoch for report in record.history] == list(range(1, EPOCHS + 1))


@pytest.mark.parametrize("pack", [1, 4])
def test_a_trial_that_diverges_fails_alone(ray_cluster: None, tmp_path: Path, pack: int) -> None:
    arm = "none_sgd: {method: none, training: {optimizer: sgd}, space: {lr: [1.0e-2, 1.0e+30]}}"
    store, _, search = driven(study_of(tmp_path / "nan", f"workers: 0, pack: {pack}", arm=arm))
    assert len(stored_records(store)) == 5, "its other seed leaves nothing"
    failed = [record for record in stored_records(store) if record.result and record.result.status == "failed"]
    assert len(failed) == 1 and search.counts.failed == 1, "after its first seed failed, no other is run"
    error = failed[0].result.error if failed[0].result else None
    assert error is not None and error.kind == "NonFiniteLossError" and error.step and "Traceback" in error.traceback
    assert failed[0].config.training.lr == 1e30
    assert search.counts.complete == 4


def test_a_trial_that_kills_three_worker_groups_is_failed_and_the_rest_goes_on(
    ray_cluster: None, tmp_path: Path
) -> None:
    study = study_of(tmp_path / "deaths", "concurrency: 1", arm="kd: {method: kd, training: {epochs: 100000}}")
    killer = WorkerKiller(study, times=3)
    store, _, search = driven(study, killer)
    result = store.trial(killer.victim).result()
    assert result is not None and result.status == "failed" and result.error is not None
    assert result.error.kind == "WorkerDied" and killer.deaths == [(1, 1), (1, 2), (1, 3)]
    assert search.counts.failed == 1 and search.counts.complete == 2


class WorkerKiller:
    """Kills the Ray Train worker of the first trial of `kd` once it has a checkpoint, and then each one that goes on.

    It is called with the driver's events and keeps the driver waiting meanwhile.
    """

    def __init__(self, study: StudyConfig, times: int) -> None:
        self.store, self.times = StudyStore(study.directory), times
        self.victim = ""
        self.killed = 0
        self.deaths: list[tuple[int, int]] = []
        """How many trials died with a worker, and how often they had by then."""

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.EpochFinished) and not self.killed and event.trial.arm == "kd":
            self.victim = self.victim or event.trial.trial_id
            if any(self.store.trial(self.victim).checkpoint.glob("*.pt")):
                self.kill()
        if isinstance(event, events.WorkersDied) and event.trials:
            self.deaths.append((len(event.trials), event.deaths))
            if self.killed < self.times:
                self.kill()

    def attempts(self) -> list[dict[str, Any]]:
        return self.store.trial(self.victim).attempts()

    def kill(self) -> None:
        wait_until(lambda: len(self.attempts()) > self.killed, "a worker has begun with the trial again")
        self.killed += 1
        os.kill(int(self.attempts()[-1]["pid"]), signal.SIGKILL)


def killing(killed: list[int], *words: str) -> Callable[[events.Event], None]:
    """Kill the processes with one of the words in their title, once, after the first epoch; `killed` gets their ids."""

    def watch(event: events.Event) -> None:
        if isinstance(event, events.EpochFinished) and not killed:
            killed.extend(pids(*words))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    return watch


def test_a_dead_trainable_of_tune_is_replaced_and_changes_nothing(
    alone: tuple[StudyConfig, StudyStore, list], tmp_path: Path
) -> None:
    killed: list[int] = []
    watch = killing(killed, "PackTrainable", "ResourceTrainable")  # Ray names it by what it is doing
    store, _, _ = driven(study_of(tmp_path / "trainable", "workers: 0"), watch)
    assert killed
    assert results(store) == results(alone[1])
    assert {len(store.trial(record.trial_id).attempts()) for record in stored_records(store)} == {1}


def test_a_slot_whose_controller_is_killed_starts_again_where_it_was(
    alone: tuple[StudyConfig, StudyStore, list], tmp_path: Path
) -> None:
    """What the dead one had reserved is free again: the next one could not start otherwise."""
    from ray.util import placement_group_table

    killed: list[int] = []
    watch = killing(killed, "TrainController")
    study = study_of(tmp_path / "controller", "concurrency: 1, cpus: 2")  # of three
    store, _, _ = driven(study, watch)
    assert len(killed) == 1
    found, expected = results(store), results(alone[1])
    assert found.keys() == expected.keys()
    for trial_id, metrics in expected.items():  # two threads sum in another order than one
        assert found[trial_id] == pytest.approx(metrics, rel=1e-9, abs=1e-12)
    attempts = sorted(len(store.trial(record.trial_id).attempts()) for record in stored_records(store))
    assert attempts[:-1] == [1] * 5 and attempts[-1] <= 2, "only the trial in progress may start again"
    assert {place["state"] for place in placement_group_table().values()} == {"REMOVED"}


def test_a_driver_that_is_gone_is_no_failure_of_the_trial(ray_cluster: None, tmp_path: Path) -> None:
    """A past bug: after the kill of a raylet the store recorded the trial in progress as failed, for ever."""
    import ray

    from study.execution.mailbox import start_mailbox
    from trainables.common.distributed import Workers
    from trainables.worker.driver_link import DriverLostError
    from trainables.worker.messages import Assignment, SlotConfig, TrialJob
    from trainables.worker.worker import run_assignment

    study = study_of(tmp_path / "lost", "workers: 0")
    store = StudyStore(study.directory)
    job = Search(study, store).next()
    assert job is not None
    trial = store.trial(job.trial.trial_id)
    mailbox = start_mailbox("lost")
    ray.kill(mailbox)
    trial_job = TrialJob(trial.path.name, job.config.model_dump(mode="json"), str(trial.path), prunable=True)
    assignment = Assignment("train", trial.path.name, (trial_job,), size=1)
    stages = StageStore(study.stages_directory)
    slot = SlotConfig(0, "lost", "tests", stages=str(stages.root), threads=1, checkpoint_seconds=1.0)
    with pytest.raises(DriverLostError, match="the driver did not"):
        run_assignment(assignment, slot, mailbox, stages, Workers())
    assert trial.result() is None and trial.history(), "the next driver goes on with it"


def test_a_slot_that_cannot_start_ends_the_run_instead_of_waiting_for_ever(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.execution import slots

    def impossible(resources: Any) -> Any:
        raise RuntimeError("no such machine")

    monkeypatch.setattr(slots, "scaling", impossible)
    with pytest.raises(RuntimeError, match="could not be kept running: no such machine"):
        driven(study_of(tmp_path / "impossible", "concurrency: 1"))


def test_no_worker_is_left_behind(ray_cluster: None) -> None:
    wait_until(lambda: not pids("RayTrainWorker"), "the workers of the last study have ended")
    assert pids("ray::")
