"""Slots: long-lived Ray Train worker groups that train one pack of trials after another."""

import logging
import threading
import uuid
from pathlib import Path
from typing import Any

from study.config.study_config import ResourcesConfig, StudyConfig
from study.execution.ray_private import SlotTrainer  # isort: split

import ray
import ray.train
import ray.util
from ray.train.torch import TorchConfig, TorchTrainer

from study.execution.train_backend import SingleWorkerBackend
from trainables.worker.messages import SlotConfig
from trainables.worker.worker import run_slot

logger = logging.getLogger(__name__)

RESTARTS = 5
"""How often a slot's TorchTrainer is started again after its controller died. Ray Train itself restarts worker groups
that die; the mailbox counts those by trial."""

RELEASE_SECONDS = 10
"""How long a slot that ended waits for the mailbox to name its placement group; it may have ended too."""


class Slots:
    """`concurrency` TorchTrainers, each run by a thread until the mailbox closes."""

    def __init__(
        self, study: StudyConfig, mailbox: str, namespace: str, storage: Path, failed: threading.Event
    ) -> None:
        """Prepare the slots.

        Args:
            study: the study.
            mailbox: name of the mailbox actor.
            namespace: its Ray namespace.
            storage: folder for Ray Train's files.
            failed: set when a slot fails for good, so that the driver stops waiting for its trial.
        """
        self.study, self.storage, self.failed = study, storage, failed
        self._error: list[BaseException] = []
        local = study.resources.workers == 0
        count = 1 if local else study.resources.concurrency
        settings = [
            SlotConfig(
                slot=number,
                mailbox=mailbox,
                namespace=namespace,
                stages=str(study.stages_directory.resolve()),
                threads=max(1, int(study.resources.cpus)),
                checkpoint_seconds=study.resources.checkpoint_seconds,
            )
            for number in range(count)
        ]
        self.threads = [
            threading.Thread(target=self._run, args=(config,), name=f"slot-{config.slot}", daemon=True)
            for config in settings
        ]

    def start(self) -> None:
        """Start the threads, which start the worker groups; returns at once."""
        for thread in self.threads:
            thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the slots to end (the mailbox must be closed), and return whether all did."""
        for thread in self.threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self.threads)

    @property
    def failure(self) -> BaseException | None:
        """Why a slot failed for good, if one did."""
        return self._error[0] if self._error else None

    def _run(self, config: SlotConfig) -> None:
        for attempt in range(RESTARTS):
            try:
                self._trainer(config).fit()
                return
            except Exception as error:
                logger.exception("slot %s ended (attempt %s of %s)", config.slot, attempt + 1, RESTARTS)
                release_placement_group(config)
                if attempt == RESTARTS - 1 or not ray.is_initialized():
                    self._error.append(error)
                    self.failed.set()
                    return

    def _trainer(self, config: SlotConfig) -> TorchTrainer:
        """A TorchTrainer with a new name: under a known name it would resume from old checkpoints without a word."""
        return SlotTrainer(
            run_slot,
            train_loop_config=config._asdict(),
            scaling_config=scaling(self.study.resources),
            torch_config=backend(self.study.resources),
            run_config=ray.train.RunConfig(
                name=f"slot-{config.slot}-{uuid.uuid4().hex[:8]}",
                storage_path=str(self.storage.resolve()),
                failure_config=ray.train.FailureConfig(max_failures=-1),
            ),
        )


def release_placement_group(config: SlotConfig) -> None:
    """Free the placement group of the slot's last worker group. It outlives a controller that was killed."""
    if not ray.is_initialized():
        return
    try:
        mailbox = ray.get_actor(config.mailbox, namespace=config.namespace)
        group: Any = ray.get(mailbox.placement_group.remote(config.slot), timeout=RELEASE_SECONDS)
        if group is not None:
            ray.util.remove_placement_group(group)
    except Exception:
        logger.exception("the placement group of slot %s could not be removed", config.slot)


def backend(resources: ResourcesConfig) -> Any:
    """Process group of a slot's workers. A TorchConfig makes the controller import torch, which takes seconds."""
    if resources.workers == 1:
        return SingleWorkerBackend()
    # NCCL refuses several ranks on one GPU, so ranks that share a GPU use gloo.
    return TorchConfig(backend="nccl" if resources.gpus >= 1 else "gloo")


def scaling(resources: ResourcesConfig) -> ray.train.ScalingConfig:
    """Number of workers and resources of each worker."""
    if resources.workers == 0:
        return ray.train.ScalingConfig(num_workers=0, use_gpu=resources.gpus > 0)
    each: dict[str, Any] = {"CPU": resources.cpus}
    if resources.gpus:
        each["GPU"] = resources.gpus
    return ray.train.ScalingConfig(num_workers=resources.workers, use_gpu=resources.gpus > 0, resources_per_worker=each)
