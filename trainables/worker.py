"""What Ray Train runs on every worker of a slot: take a trial, train it, report it, take the next.

A slot is one long-lived worker group, because starting a group costs 8 to 25 seconds and a trial often less. Rank 0
talks to the mailbox (see `study.mailbox`) and broadcasts what it hears. The group that replaces a dead one is handed
the trial that died with it, and goes on from the trial's checkpoint.
"""

import io
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
import ray.train.torch
import torch

from trainables.artifacts import StageStore
from trainables.assignments import Assignment, SlotConfig, Verdict
from trainables.config import TrialConfig
from trainables.distributed import Workers
from trainables.files import write_bytes
from trainables.fit import Fitted, fit
from trainables.results import EpochReport, TrialError, TrialResult
from trainables.session import NonFiniteLossError
from trainables.trial_directory import TrialDirectory

REPORT_SECONDS = 0.1
"""Epochs that end within this time of each other are reported together: a report costs the driver milliseconds."""

WATCHED_SECONDS = 0.5
"""The same for a trial that cannot be pruned: only the person at the terminal waits for its epochs."""

PATIENCE = 0.05
"""Share of the time since the last report that training waits for the driver's answer. Short epochs run on meanwhile
(an answer takes milliseconds, and what is stored is what was decided); long ones are not begun in vain."""


class DriverLostError(RuntimeError):
    """The mailbox does not answer any more: the driver, its Ray or its node died. Says nothing about the trial."""


class CheckpointFile:
    """A trial's state in one file, replaced atomically, at most every `seconds`."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._saved = time.monotonic()
        self._pending: dict[str, Any] | None = None

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None."""
        if not self.path.exists():
            return None
        return torch.load(self.path, weights_only=True)

    def save(self, state: dict[str, Any], last: bool) -> None:
        """Keep `state`, on disk if it is the last or the one before is old enough."""
        self._pending = state
        if last or time.monotonic() - self._saved >= self.seconds:
            self.flush()

    def flush(self) -> None:
        """Write the state that was offered last, if it is not on disk yet. Only before the training goes on."""
        if self._pending is None:
            return
        buffer = io.BytesIO()
        torch.save(self._pending, buffer)
        write_bytes(self.path, buffer.getvalue())
        self._pending, self._saved = None, time.monotonic()


class Reporter:
    """Rank 0's line to the driver for one trial: history to the store, epochs to the mailbox, its answers back."""

    def __init__(
        self, mailbox: Any, slot: int, trial: TrialDirectory, checkpoint: CheckpointFile, prunable: bool
    ) -> None:
        self.mailbox, self.slot, self.trial, self.checkpoint = mailbox, slot, trial, checkpoint
        self.pause = REPORT_SECONDS if prunable else WATCHED_SECONDS
        self.interrupted = False
        self._stored = {report.epoch for report in trial.history()}
        self._buffer: list[EpochReport] = []
        self._sent = time.monotonic()
        self._answer: Any = None
        """The driver's answer to the last report, on its way."""

    def __call__(self, report: EpochReport) -> bool:
        """Take one epoch; whether the training is to stop."""
        if report.epoch not in self._stored:
            self.trial.append(report)
        self._buffer.append(report)
        since = time.monotonic() - self._sent
        if self._answer is None and since >= self.pause:
            self._answer = self.mailbox.report.remote(self.slot, self.trial.path.name, self.take())
            self._sent = time.monotonic()
        return self.told_to_stop(PATIENCE * since)

    def told_to_stop(self, patience: float) -> bool:
        """Whether the answer, if it is here within `patience` seconds, ends the training."""
        if self._answer is None or not ray.wait([self._answer], timeout=patience)[0]:
            return False
        answered, self._answer = self._answer, None
        answer = answer_of(answered, "take the last epochs")
        if answer == "interrupt":
            self.checkpoint.flush()
            self.interrupted = True
        return answer != "go on"

    def take(self) -> list[EpochReport]:
        """The epochs not sent yet."""
        sent, self._buffer = self._buffer, []
        return sent


def answer_of(asked: Any, question: str) -> Any:
    """What the mailbox answers to a call. Raises DriverLostError if it is gone."""
    try:
        return ray.get(asked)
    except Exception as error:
        raise DriverLostError(f"the driver did not {question}: {error}") from error


def run_slot(settings: dict[str, Any]) -> None:
    """The Ray Train function: take and run assignments until the mailbox closes.

    Args:
        settings: the fields of a SlotConfig.

    """
    slot = SlotConfig(**settings)
    torch.set_num_threads(slot.threads)
    context = ray.train.get_context()
    workers = Workers(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
    mailbox = ray.get_actor(slot.mailbox, namespace=slot.namespace)
    stages = StageStore(Path(slot.stages))
    if workers.rank == 0:
        ray.get(mailbox.hello.remote(slot.slot))
    while True:
        taken = ray.get(mailbox.take.remote(slot.slot)) if workers.rank == 0 else None
        assignment: Assignment = workers.broadcast(taken)  # pyright: ignore[reportAssignmentType]
        if assignment.kind == "close":
            return
        if assignment.kind == "abandon" and workers.rank == 0:
            abandon(assignment, slot, mailbox)
        if assignment.kind == "train":
            run_assignment(assignment, slot, mailbox, stages, workers)


def run_assignment(
    assignment: Assignment, slot: SlotConfig, mailbox: Any, stages: StageStore, workers: Workers
) -> None:
    """Train one trial and store how it ended. An exception of the trial's own making fails the trial alone."""
    config = TrialConfig.model_validate(assignment.config)
    trial = TrialDirectory(Path(assignment.directory))
    checkpoint = CheckpointFile(trial.checkpoint / "state.pt", slot.checkpoint_seconds)
    if workers.rank == 0 and not checkpoint.path.exists():
        adopt_shorter(config, trial, checkpoint.path, assignment.shorter)
    workers.broadcast(None)  # nobody reads the checkpoint before it is there
    state = checkpoint.load()
    reporter = Reporter(mailbox, slot.slot, trial, checkpoint, assignment.prunable)
    if workers.rank == 0:
        begun = state["progress"]["epoch"] if state else 0
        trial.begin(config, from_epoch=begun)
        mailbox.began.remote(assignment.trial_id, begun)
    try:
        fitted = fit(config, reporter, checkpoint, stages=stages, workers=workers)
    except DriverLostError:
        raise  # no failure of the trial: whoever drives the study next goes on from its checkpoint
    except Exception as error:
        if workers.size > 1 and not isinstance(error, NonFiniteLossError):
            # The other ranks may be waiting for this one: only a new group is sure to be in step.
            ray.get(mailbox.blame.remote(slot.slot, assignment.trial_id, describe(error)))
            raise
        result = TrialResult("failed", epochs=len(trial.history()), error=describe(error))
        fitted = None
    else:
        result = fitted.result
    if workers.rank == 0 and not reporter.interrupted:
        conclude(assignment, slot, mailbox, trial, reporter, result, fitted)


def adopt_shorter(config: TrialConfig, trial: TrialDirectory, checkpoint: Path, lengths: tuple[int, ...]) -> None:
    """Start from the last state of the same trial with fewer epochs, if it is complete: a longer study repeats nothing.

    Exact only where no step depends on the number of epochs to come, so not under a falling learning rate.
    """
    if config.training.schedule != "constant":
        return
    for epochs in lengths:
        training = config.training.model_copy(update={"epochs": epochs})
        shorter = TrialDirectory(trial.path.with_name(config.model_copy(update={"training": training}).trial_id))
        result = shorter.result()
        state = shorter.checkpoint / checkpoint.name
        if result is not None and result.status == "complete" and state.exists():
            trial.set_history(shorter.history())
            write_bytes(checkpoint, state.read_bytes())
            return


def conclude(
    assignment: Assignment,
    slot: SlotConfig,
    mailbox: Any,
    trial: TrialDirectory,
    reporter: Reporter,
    result: TrialResult,
    fitted: Fitted | None,
) -> None:
    """Store the end of a trial, after the driver has said whether it was pruned on the way.

    Training runs ahead of the driver's decisions. What is stored is what was decided: the history of a pruned trial
    ends with the epoch at which it was pruned, however far training had come, so a result never depends on timing.
    """
    verdict = Verdict(None, False)
    if assignment.prunable:
        asked = mailbox.verdict.remote(slot.slot, assignment.trial_id, reporter.take())
        verdict = Verdict(*answer_of(asked, "say whether the trial is pruned"))
    if verdict.interrupted:
        return
    if verdict.pruned_at is not None:
        kept = [report for report in trial.history() if report.epoch <= verdict.pruned_at]
        trial.set_history(kept)
        result = replace(result, status="pruned", metrics=kept[-1].metrics, epochs=len(kept), selected_epoch=len(kept))
    elif fitted is not None:
        trial.write_diagnostics({name: np.asarray(value) for name, value in fitted.diagnostics.items()})
    trial.finish(result)
    answer_of(mailbox.done.remote(slot.slot, assignment.trial_id, reporter.take(), result), "take the result")


def abandon(assignment: Assignment, slot: SlotConfig, mailbox: Any) -> None:
    """Store the failure of a trial that killed its worker groups or broke one of several ranks."""
    trial = TrialDirectory(Path(assignment.directory))
    trial.begin(TrialConfig.model_validate(assignment.config), from_epoch=len(trial.history()))
    result = TrialResult("failed", epochs=len(trial.history()), error=assignment.error)
    trial.finish(result)
    ray.get(mailbox.done.remote(slot.slot, assignment.trial_id, [], result))


def describe(error: Exception) -> TrialError:
    """What the store keeps of an exception."""
    return TrialError(
        kind=type(error).__name__,
        message=str(error),
        epoch=getattr(error, "epoch", None),
        step=getattr(error, "step", None),
        traceback="".join(traceback.format_exception(error)),
    )
