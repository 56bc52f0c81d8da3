"""The driver: Ray Tune schedules the trials, the search proposes and prunes them, Ray Train's slots train them.

    Search  <->  TuneBridge  <->  Tuner (searcher, scheduler)  <->  PackTrainable actors  <->  mailbox  <->  slots

Tune's trainable trains nothing: the bridge puts a pack into the mailbox, and the trainable forwards its updates. So one
Tune actor and one Ray Train group serve a whole study, and a trial costs milliseconds instead of their start.
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

from study.config.resolved_study import ResolvedStudy
from study.execution import events
from study.execution.events import Emit
from study.execution.ray_private import silence_missing_results  # isort: split

import ray
from ray import tune

from study.execution.mailbox import start_mailbox
from study.execution.slots import Slots
from study.execution.tune_adapters import InterruptStopper, SchedulerAdapter, SearchAdapter, TuneBridge
from study.execution.tune_trainable import PackTrainable
from study.search.search import Search
from study.storage.store import StudyStore

INTERRUPT_SECONDS = 15.0
"""How long slots may take to save their state after Ctrl-C."""

OBJECT_STORE_BYTES = 200 * 2**20
"""Size of Ray's object store. Nothing large goes through it: arrays are read memory-mapped from the stages."""

ACTOR_RESTARTS = 3
"""How often Tune starts a dead trainable again. Its slot continues to train the pack."""


def drive(study: ResolvedStudy, store: StudyStore, search: Search, emit: Emit) -> Literal["complete", "interrupted"]:
    """Run every trial that `search` returns, until the study is complete or the user interrupts it.

    Args:
        study: the study.
        store: its directory. The slots write the trials.
        search: rebuilt from the store.
        emit: receives the events of the run, from one thread at a time.

    Returns:
        Whether the study is complete.

    Raises:
        RuntimeError: if Ray fails. Everything finished is in the store, and the same command continues the study.
    """
    with local_ray(study):
        address = {"mailbox": f"mailbox-{uuid.uuid4().hex[:8]}", "namespace": ray.get_runtime_context().namespace}
        bridge = TuneBridge(study, store, search, emit, start_mailbox(address["mailbox"]))
        scratch = store.directory / "ray"
        slots = Slots(study, address["mailbox"], address["namespace"], scratch, failed=bridge.interrupted)
        emit(events.SlotsStarting(len(slots.threads), study.resources.workers))
        slots.start()
        with set_on_interrupt(bridge.interrupted):
            run_tuner(study, bridge, address, scratch)
        if bridge.interrupted.is_set():
            ray.get(bridge.mailbox.interrupt.remote())
            if slots.failure is None:
                emit(events.Interrupted())
            slots.join(INTERRUPT_SECONDS)
            if slots.failure is not None:
                raise RuntimeError(f"a slot's workers could not be kept running: {slots.failure}") from slots.failure
            return "interrupted"
        ray.get(bridge.mailbox.close.remote())
        slots.join()
        shutil.rmtree(scratch, ignore_errors=True)
    if not search.finished():
        raise RuntimeError("Ray Tune ended before the study was complete")
    return "complete"


def run_tuner(study: ResolvedStudy, bridge: TuneBridge, address: dict[str, str], scratch: Path) -> None:
    """Run Ray Tune over the whole study.

    Args:
        study: the study.
        bridge: connects Tune with the search and the mailbox.
        address: name and namespace of the mailbox actor.
        scratch: folder for Tune's files.
    """
    # A cluster that was running before has no resource "slot"; there only `max_concurrent_trials` limits the trials.
    trainable = tune.with_resources(PackTrainable, {"slot": 1} if "slot" in ray.cluster_resources() else {"cpu": 0.01})
    concurrency = max(1, study.resources.concurrency) if study.resources.workers else 1
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            num_samples=-1,
            max_concurrent_trials=concurrency,
            search_alg=SearchAdapter(bridge, address),
            scheduler=SchedulerAdapter(bridge),
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{uuid.uuid4().hex[:8]}",
            storage_path=str(scratch.resolve()),
            verbose=0,
            stop=InterruptStopper(bridge),
            failure_config=tune.FailureConfig(max_failures=ACTOR_RESTARTS),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    silence_missing_results()
    tuner.fit()


@contextmanager
def local_ray(study: ResolvedStudy) -> Iterator[None]:
    """Start a local Ray on loopback, or connect to a running cluster, and shut it down at the end.

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


@contextmanager
def set_on_interrupt(interrupted: threading.Event) -> Iterator[None]:
    """Set `interrupted` at the first Ctrl-C or SIGTERM. The second one has its usual effect."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        for restored, handler in before.items():
            signal.signal(restored, handler)

    if threading.current_thread() is threading.main_thread():
        for number in before:
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
