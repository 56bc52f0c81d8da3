"""Slots: long-lived Ray Train worker groups that train one trial after another."""

import logging
import threading
import uuid
from pathlib import Path
from typing import Any

import ray.train
import ray.util
from ray.train.torch import TorchConfig, TorchTrainer

from study.config.study_config import ResourcesConfig, StudyConfig
from study.execution.train_backend import LoneWorker
from trainables.worker.messages import SlotConfig
from trainables.worker.worker import run_slot

logger = logging.getLogger(__name__)

RESTARTS = 5
"""How often a slot's TorchTrainer is started again after its controller died. Worker groups that die are restarted
by Ray Train itself; the mailbox counts those by trial."""


RELEASE_SECONDS = 10
"""How long a slot that ended waits to be told what it had reserved; in a cluster that ends too, nobody answers."""


class Slots:
    """`concurrency` TorchTrainers, each driven by a thread until the mailbox closes."""

    def __init__(
        self, study: StudyConfig, mailbox: str, namespace: str, storage: Path, gave_up: threading.Event
    ) -> None:
        """Prepare the slots; `gave_up` is set when one could not be kept running: nobody would wait for its trial."""
        self.study, self.storage, self.gave_up = study, storage, gave_up
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
            threading.Thread(target=self._serve, args=(config,), name=f"slot-{config.slot}", daemon=True)
            for config in settings
        ]

    def start(self) -> None:
        """Begin to start every worker group; returns at once."""
        for thread in self.threads:
            thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the slots to end (the mailbox must be closed); whether all did."""
        for thread in self.threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self.threads)

    @property
    def failure(self) -> BaseException | None:
        """Why a slot gave up, if one did."""
        return self._error[0] if self._error else None

    def _serve(self, config: SlotConfig) -> None:
        for attempt in range(RESTARTS):
            try:
                self._trainer(config).fit()
                return
            except Exception as error:
                logger.exception("slot %s ended (attempt %s of %s)", config.slot, attempt + 1, RESTARTS)
                release_place(config)
                if attempt == RESTARTS - 1 or not ray.is_initialized():
                    self._error.append(error)
                    self.gave_up.set()
                    return

    def _trainer(self, config: SlotConfig) -> TorchTrainer:
        """A TorchTrainer under a name of its own: a known name would silently resume from its old checkpoints."""
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


def release_place(config: SlotConfig) -> None:
    """Free what the slot's last worker group had reserved, which outlives a controller that was killed."""
    if not ray.is_initialized():
        return
    try:
        mailbox = ray.get_actor(config.mailbox, namespace=config.namespace)
        place: Any = ray.get(mailbox.place.remote(config.slot), timeout=RELEASE_SECONDS)
        if place is not None:
            ray.util.remove_placement_group(place)
    except Exception:
        logger.exception("the resources of slot %s could not be freed", config.slot)


class SlotTrainer(TorchTrainer):
    """A TorchTrainer without two helpers that would be a process more each, which takes seconds of a core to start.

    They are the manager of Ray Data, through which nothing is read, and what waits for the controller's death to free
    its reservations, which `release_place` does.
    """

    def _create_default_callbacks(self) -> list[Any]:
        # A private method: were it renamed, the helpers would be back.
        left_out = ("DatasetsCallback", "PlacementGroupCleanerCallback")
        return [one for one in super()._create_default_callbacks() if type(one).__name__ not in left_out]


def backend(resources: ResourcesConfig) -> Any:
    """How a slot's workers find each other. A TorchConfig makes its controller import torch, which takes seconds."""
    if resources.workers == 1:
        return LoneWorker()
    # NCCL refuses several ranks on one GPU, so a share of a GPU speaks gloo.
    return TorchConfig(backend="nccl" if resources.gpus >= 1 else "gloo")


def scaling(resources: ResourcesConfig) -> ray.train.ScalingConfig:
    """How many workers, and what each may use."""
    if resources.workers == 0:
        return ray.train.ScalingConfig(num_workers=0, use_gpu=resources.gpus > 0)
    each: dict[str, Any] = {"CPU": resources.cpus}
    if resources.gpus:
        each["GPU"] = resources.gpus
    return ray.train.ScalingConfig(num_workers=resources.workers, use_gpu=resources.gpus > 0, resources_per_worker=each)
