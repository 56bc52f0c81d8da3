"""Connection from rank 0 to the driver: saves checkpoints, reports epochs and receives pruning decisions."""

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import torch

from trainables.common.atomic_files import write_bytes
from trainables.common.results import EpochReport
from trainables.training.loop import Report
from trainables.worker.messages import Assignment, Reports
from trainables.worker.trial_directory import TrialDirectory

REPORT_SECONDS = 0.1
"""Epochs that end within this time of each other are sent in one report: a report costs the driver milliseconds."""

UNPRUNED_REPORT_SECONDS = 0.5
"""The same for trials that cannot be pruned: only the progress display needs their epochs."""

ANSWER_SHARE = 0.05
"""Share of the time since the last report that training waits for the driver's answer. After it,
training continues without the answer. So short epochs do not wait, and a long epoch is not started needlessly. The
driver's decision is stored in both cases."""


class DriverLostError(RuntimeError):
    """The mailbox does not answer: the driver, its Ray or its node died. The trial itself has not failed."""


class CheckpointFile:
    """A trial's state in one file, replaced atomically, at most every `seconds`."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._saved = time.monotonic()
        self._pending: Callable[[], dict[str, Any]] | None = None

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None."""
        if not self.path.exists():
            return None
        return torch.load(self.path, weights_only=True)

    def save(self, state: Callable[[], dict[str, Any]], last: bool) -> None:
        """Offer a state. It is written if it is the last one or if `seconds` have passed since the last write.

        Args:
            state: returns the state; called only if the state is written, and only before the training continues.
            last: whether the training has ended.
        """
        self._pending = state
        if last or time.monotonic() - self._saved >= self.seconds:
            self.flush()

    def flush(self) -> None:
        """Write the last offered state if it is not on disk yet. Call it only before the training continues."""
        if self._pending is None:
            return
        buffer = io.BytesIO()
        torch.save(self._pending(), buffer)
        write_bytes(self.path, buffer.getvalue())
        self._pending, self._saved = None, time.monotonic()


class DriverLink:
    """Rank 0's connection to the driver for one pack: sends epochs to the mailbox and applies its answers."""

    def __init__(self, mailbox: Any, slot: int, assignment: Assignment) -> None:
        self.mailbox, self.slot, self.pack = mailbox, slot, assignment.pack
        prunable = any(trial.prunable for trial in assignment.trials)
        self.interval = REPORT_SECONDS if prunable else UNPRUNED_REPORT_SECONDS
        self.interrupted = False
        self._stopped: set[str] = set()
        self._checkpoints: list[CheckpointFile] = []
        self._unsent: Reports = []
        self._sent = time.monotonic()
        self._answer: Any = None
        """Future of the driver's answer to the last report."""

    def reporter(self, trial: TrialDirectory, checkpoint: CheckpointFile) -> Report:
        """The function that `fit` calls after every epoch of a trial."""
        self._checkpoints.append(checkpoint)
        stored = {report.epoch for report in trial.history()}

        def report(report: EpochReport) -> Callable[[], bool]:
            if report.epoch not in stored:
                trial.append(report)
            self._unsent.append((trial.path.name, report))
            return lambda: self.should_stop(trial.path.name)

        return report

    def should_stop(self, trial_id: str) -> bool:
        """Send the epochs that are due, and return whether the driver has stopped the trial."""
        since = time.monotonic() - self._sent
        if self._answer is None and since >= self.interval:
            self._answer = self.mailbox.report.remote(self.slot, self.pack, self.take_unsent())
            self._sent = time.monotonic()
        if self._answer is not None and ray.wait([self._answer], timeout=ANSWER_SHARE * since)[0]:
            answered, self._answer = self._answer, None
            self.apply_answer(answer_of(answered, "accept the last epochs"))
        return self.interrupted or trial_id in self._stopped

    def apply_answer(self, answer: "set[str] | str") -> None:
        """Apply an answer of the driver: the trials to stop, or "interrupt" to save and stop all."""
        if isinstance(answer, set):
            self._stopped |= answer
        elif not self.interrupted:
            self.interrupted = True
            for checkpoint in self._checkpoints:
                checkpoint.flush()

    def take_unsent(self) -> Reports:
        """Return the epochs that are not sent yet, and forget them."""
        unsent, self._unsent = self._unsent, []
        return unsent


def answer_of(asked: Any, question: str) -> Any:
    """The mailbox's answer to a call.

    Args:
        asked: the future that the call returned.
        question: what the driver was asked to do, for the error message.

    Raises:
        DriverLostError: if the mailbox is gone.
    """
    try:
        return ray.get(asked)
    except Exception as error:
        raise DriverLostError(f"the driver did not {question}: {error}") from error
