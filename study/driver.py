"""The driver: Ray Tune schedules, the search decides, Ray Train's slots train.

    Search  <->  Tuner (StudySearcher, StudyScheduler)  <->  TrialRelay actors  <->  mailbox  <->  slots

Tune's trial is only a relay: the trial goes into the mailbox and the actor passes on what comes back. So one Tune
actor and one Ray Train group serve a whole study, and a trial costs milliseconds instead of their start.
"""

import logging
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from study import events
from study.config import StudyConfig
from study.events import Emit
from study.search import Job, Search
from study.store import StudyStore
from trainables.types import EpochReport, TrialResult

# Read by Ray when it is imported.
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # this, and not an address, makes a local cluster bind to loopback
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",  # the store is what a study resumes from, not Tune's snapshots
    "TUNE_WARN_THRESHOLD_S": "10",
}
for name, value in RAY_SETTINGS.items():
    os.environ.setdefault(name, value)

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.experiment import Trial  # noqa: E402
from ray.tune.schedulers import FIFOScheduler, TrialScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402

from study.mailbox import News, start_mailbox  # noqa: E402
from study.relay import TrialRelay  # noqa: E402
from study.slots import Slots  # noqa: E402
from trainables.assignments import Assignment  # noqa: E402

logger = logging.getLogger(__name__)

INTERRUPT_SECONDS = 15.0
"""How long slots may take to save their state after Ctrl-C."""

RELAY_RESTARTS = 3
"""How often Tune starts a dead relay again; the trial itself goes on in its slot meanwhile."""


class Conductor:
    """Passes proposals, epochs and results between the search and Tune's two extension points.

    Tune calls the searcher and the scheduler in one thread, so the search needs no lock.
    """

    def __init__(self, study: StudyConfig, store: StudyStore, search: Search, emit: Emit) -> None:
        self.study, self.store, self.search = study, store, search
        self.mailbox: Any = None
        self.interrupted = threading.Event()
        self.broken: BaseException | None = None
        self._emit = emit
        self._jobs: dict[str, Job] = {}
        self._pruned: dict[str, EpochReport] = {}
        self._started: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher, scheduler and stopper into snapshots that nobody reads: nothing of ours."""
        return {}

    def suggest(self, tune_id: str) -> dict[str, Any] | str | None:
        """The next trial as a Tune config; None: wait; FINISHED."""
        self.pass_notices()
        if self.interrupted.is_set():
            return Searcher.FINISHED
        job = self.search.next()
        for reused, result in self.search.take_reused():
            seed = reused.trial.seed
            trial_id = reused.trial.trial_id
            self._emit(events.TrialReused(trial_id, reused.arm, reused.number, seed, reused.params, result))
        if job is None:
            return Searcher.FINISHED if self.search.finished() else None
        self._jobs[tune_id] = job
        assignment = Assignment(
            kind="train",
            trial_id=job.trial.trial_id,
            config=job.trial.model_dump(mode="json"),
            directory=str(self.store.trial(job.trial.trial_id).path.resolve()),
            prunable=job.first_seed and self.study.search.pruner != "none",
        )
        ray.get(self.mailbox.submit.remote(assignment))
        return {"trial_id": job.trial.trial_id}

    def hear(self, tune_id: str, news: News) -> bool:
        """Take in a trial's news; whether to stop it now."""
        job = self._jobs[tune_id]
        trial_id = job.trial.trial_id
        if news.reports and trial_id not in self._started:
            self._started.add(trial_id)
            first = news.reports[0].epoch - 1
            self._emit(events.TrialStarted(trial_id, job.arm, job.number, job.trial.seed, job.params, first, news.slot))
        for report in news.reports:
            self._emit(events.EpochFinished(trial_id, report, job.trial.training.epochs))
            if self.search.report(trial_id, report):
                self._pruned[tune_id] = report
                ray.get(self.mailbox.stop.remote(trial_id, report.epoch))
                return True
        return False

    def end(self, tune_id: str, news: News | None) -> None:
        """Tune is done with a trial: finished, pruned, interrupted, or its relay died too often."""
        job = self._jobs.pop(tune_id)
        last = self._pruned.pop(tune_id, None)
        if last is not None:
            result = TrialResult("pruned", last.metrics, last.epoch, last.epoch)
        elif news is not None and news.result is not None:
            result = news.result
        else:
            self.search.release(job.trial.trial_id)
            return
        self.search.complete(job.trial.trial_id, result)
        self._emit(events.TrialFinished(job.trial.trial_id, job.arm, job.number, job.trial.seed, job.params, result))

    def pass_notices(self) -> None:
        """Tell the display what happened to the slots."""
        for kind, slot, trial_id, deaths in ray.get(self.mailbox.take_notices.remote()):
            died = events.WorkersDied(slot, trial_id or None, deaths)
            self._emit(died if kind == "died" else events.SlotReady(slot))


class StudySearcher(Searcher):
    """Tune's searcher over the study's own search."""

    def __init__(self, conductor: Conductor, address: dict[str, str]) -> None:
        super().__init__()
        self.conductor, self.address = conductor, address

    def suggest(self, trial_id: str) -> Any:
        suggestion = self.conductor.suggest(trial_id)
        return {**suggestion, **self.address} if isinstance(suggestion, dict) else suggestion

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        news: News | None = (result or {}).get("news")
        if news is not None and not error and news.result is not None:
            self.conductor.hear(trial_id, news)
        self.conductor.end(trial_id, None if error else news)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is rebuilt from its store."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""


class StudyScheduler(FIFOScheduler):
    """Tune's scheduler: first in, first out, and the search's pruner decides who stops."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self.conductor = conductor

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict) -> str:
        stop = self.conductor.hear(trial.trial_id, result["news"])
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE


class InterruptStopper(tune.Stopper):
    """Ends Tune's run when the user has asked for it."""

    def __init__(self, conductor: Conductor) -> None:
        self.conductor = conductor

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.conductor.interrupted.is_set()


def drive(study: StudyConfig, store: StudyStore, search: Search, emit: Emit) -> Literal["complete", "interrupted"]:
    """Run every trial that `search` hands out, until it is finished or the user interrupts.

    Args:
        study: the study.
        store: its directory; trials are written by the slots.
        search: rebuilt from the store.
        emit: told what happens. Called from one thread at a time.

    Raises:
        RuntimeError: if Ray breaks down; everything finished is in the store, and the same command goes on.

    """
    conductor = Conductor(study, store, search, emit)
    with local_ray(study), interruptible(conductor.interrupted):
        address = {"mailbox": f"mailbox-{uuid.uuid4().hex[:8]}", "namespace": ray.get_runtime_context().namespace}
        conductor.mailbox = start_mailbox(address["mailbox"])
        scratch = store.directory / "ray"
        slots = Slots(study, address["mailbox"], address["namespace"], scratch)
        emit(events.SlotsStarting(len(slots.threads), study.resources.workers))
        slots.start()
        run_tuner(study, conductor, address, scratch)
        if conductor.interrupted.is_set():
            emit(events.Interrupted())
            ray.get(conductor.mailbox.interrupt.remote())
            slots.join(INTERRUPT_SECONDS)
            return "interrupted"
        ray.get(conductor.mailbox.close.remote())
        slots.join()
        conductor.pass_notices()
        shutil.rmtree(scratch, ignore_errors=True)
        if slots.failure is not None:
            raise RuntimeError(f"a slot's workers could not be kept running: {slots.failure}") from slots.failure
    if not search.finished():
        raise RuntimeError("Ray Tune ended before the study was complete")
    return "complete"


def run_tuner(study: StudyConfig, conductor: Conductor, address: dict[str, str], scratch: Path) -> None:
    """Ray Tune's run over the whole study."""
    local = study.resources.ray == "auto"
    relay = tune.with_resources(TrialRelay, {"slot": 1} if local else {"cpu": 0.01})
    concurrency = max(1, study.resources.concurrency) if study.resources.workers else 1
    tuner = tune.Tuner(
        relay,
        tune_config=tune.TuneConfig(
            num_samples=-1,
            max_concurrent_trials=concurrency,
            search_alg=StudySearcher(conductor, address),
            scheduler=StudyScheduler(conductor),
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{uuid.uuid4().hex[:8]}",
            storage_path=str(scratch.resolve()),
            verbose=0,
            stop=InterruptStopper(conductor),
            failure_config=tune.FailureConfig(max_failures=RELAY_RESTARTS),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    # Tune looks for result files that its loggers, which are off, would have written.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    tuner.fit()


@contextmanager
def local_ray(study: StudyConfig) -> Iterator[None]:
    """Ray for the length of the study: a local one on loopback, or a connection to a running cluster.

    A Ray that this process has already started is used and left running.
    """
    if ray.is_initialized():
        yield
        return
    namespace = f"study-{study.study}-{uuid.uuid4().hex[:8]}"
    common: dict[str, Any] = {"namespace": namespace, "log_to_driver": False, "logging_level": logging.WARNING}
    if study.resources.ray == "auto":
        resources = study.resources
        slots = max(1, resources.concurrency)
        ray.init(
            num_cpus=max(os.cpu_count() or 1, int(slots * max(1, resources.workers) * resources.cpus + 0.999)),
            resources={"slot": slots},
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **common,
        )
    else:
        ray.init(address=study.resources.ray, **common)
    try:
        yield
    finally:
        ray.shutdown()


OBJECT_STORE_BYTES = 200 * 2**20
"""Nothing large goes through Ray's object store: arrays are read memory-mapped from the stages."""


@contextmanager
def interruptible(interrupted: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set `interrupted` once; the second one acts as usual."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        for restored, handler in before.items():
            signal.signal(restored, handler)

    if threading.current_thread() is threading.main_thread():
        for number in before:
            signal.signal(number, note)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
