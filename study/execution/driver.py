"""The driver: Ray Tune schedules, the search decides, Ray Train's slots train.

    Search  <->  Conductor  <->  Tuner (searcher, scheduler)  <->  TrialRelay actors  <->  mailbox  <->  slots

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

from study.config.study_config import StudyConfig
from study.execution import events
from study.execution.events import Emit
from study.search.search import Search
from study.storage.store import StudyStore

# Read by Ray when it is imported.
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # this, and not an address, makes a local cluster bind to loopback
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "2",  # at 0.5 each slot's controller takes a tenth of a core from the training
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

from study.execution.mailbox import start_mailbox  # noqa: E402
from study.execution.slots import Slots  # noqa: E402
from study.execution.tune_adapters import Conductor, InterruptStopper, StudyScheduler, StudySearcher  # noqa: E402
from study.execution.tune_trainable import TrialRelay  # noqa: E402

logger = logging.getLogger(__name__)

INTERRUPT_SECONDS = 15.0
"""How long slots may take to save their state after Ctrl-C."""

RELAY_RESTARTS = 3
"""How often Tune starts a dead relay again; the trial itself goes on in its slot meanwhile."""


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
    with local_ray(study):
        address = {"mailbox": f"mailbox-{uuid.uuid4().hex[:8]}", "namespace": ray.get_runtime_context().namespace}
        conductor = Conductor(study, store, search, emit, start_mailbox(address["mailbox"]))
        scratch = store.directory / "ray"
        slots = Slots(study, address["mailbox"], address["namespace"], scratch, gave_up=conductor.interrupted)
        emit(events.SlotsStarting(len(slots.threads), study.resources.workers))
        slots.start()
        with interruptible(conductor.interrupted):
            run_tuner(study, conductor, address, scratch)
        if conductor.interrupted.is_set():
            ray.get(conductor.mailbox.interrupt.remote())
            slots.join(INTERRUPT_SECONDS)
            if slots.failure is not None:
                raise RuntimeError(f"a slot's workers could not be kept running: {slots.failure}") from slots.failure
            emit(events.Interrupted())
            return "interrupted"
        ray.get(conductor.mailbox.close.remote())
        slots.join()
        shutil.rmtree(scratch, ignore_errors=True)
    if not search.finished():
        raise RuntimeError("Ray Tune ended before the study was complete")
    return "complete"


def run_tuner(study: StudyConfig, conductor: Conductor, address: dict[str, str], scratch: Path) -> None:
    """Ray Tune's run over the whole study."""
    # A cluster that was running before has no such resource; there the number of concurrent trials is the only bound.
    relay = tune.with_resources(TrialRelay, {"slot": 1} if "slot" in ray.cluster_resources() else {"cpu": 0.01})
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
