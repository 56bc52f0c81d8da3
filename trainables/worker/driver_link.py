"""Rank 0's line to the driver: where a trial's state is kept, and how its epochs are reported and answered."""

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
"""Epochs that end within this time of each other are reported together: a report costs the driver milliseconds."""

WATCHED_SECONDS = 0.5
"""The same for trials that cannot be pruned: only the person at the terminal waits for their epochs."""

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
        self._pending: Callable[[], dict[str, Any]] | None = None

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None."""
        if not self.path.exists():
            return None
        return torch.load(self.path, weights_only=True)

    def save(self, state: Callable[[], dict[str, Any]], last: bool) -> None:
        """Keep the state, on disk if it is the last or the one before is old enough."""
        self._pending = state
        if last or time.monotonic() - self._saved >= self.seconds:
            self.flush()

    def flush(self) -> None:
        """Write the state that was offered last, if it is not on disk yet. Only before the training goes on."""
        if self._pending is None:
            return
        buffer = io.BytesIO()
        torch.save(self._pending(), buffer)
        write_bytes(self.path, buffer.getvalue())
        self._pending, self._saved = None, time.monotonic()


class Line:
    """Rank 0's line to the driver for the trials of a pack: epochs to the mailbox, its answers back."""

    def __init__(self, mailbox: Any, slot: int, assignment: Assignment) -> None:
        self.mailbox, self.slot, self.pack = mailbox, slot, assignment.pack
        self.pause = REPORT_SECONDS if any(trial.prunable for trial in assignment.trials) else WATCHED_SECONDS
        self.interrupted = False
        self._stopped: set[str] = set()
        self._checkpoints: list[CheckpointFile] = []
        self._buffer: Reports = []
        self._sent = time.monotonic()
        self._answer: Any = None
        """The driver's answer to the last report, on its way."""

    def reporter(self, trial: TrialDirectory, checkpoint: CheckpointFile) -> Report:
        """What is called after every epoch of a trial."""
        self._checkpoints.append(checkpoint)
        stored = {report.epoch for report in trial.history()}

        def report(report: EpochReport) -> Callable[[], bool]:
            if report.epoch not in stored:
                trial.append(report)
            self._buffer.append((trial.path.name, report))
            return lambda: self.told_to_stop(trial.path.name)

        return report

    def told_to_stop(self, trial_id: str) -> bool:
        """Send what is due; whether an answer says that the trial is to stop."""
        since = time.monotonic() - self._sent
        if self._answer is None and since >= self.pause:
            self._answer = self.mailbox.report.remote(self.slot, self.pack, self.take())
            self._sent = time.monotonic()
        if self._answer is not None and ray.wait([self._answer], timeout=PATIENCE * since)[0]:
            answered, self._answer = self._answer, None
            self.hear(answer_of(answered, "take the last epochs"))
        return self.interrupted or trial_id in self._stopped

    def hear(self, answer: "set[str] | str") -> None:
        """Take in an answer of the driver."""
        if isinstance(answer, set):
            self._stopped |= answer
        elif not self.interrupted:
            self.interrupted = True
            for checkpoint in self._checkpoints:
                checkpoint.flush()

    def take(self) -> Reports:
        """The epochs not sent yet."""
        sent, self._buffer = self._buffer, []
        return sent


def answer_of(asked: Any, question: str) -> Any:
    """What the mailbox answers to a call. Raises DriverLostError if it is gone."""
    try:
        return ray.get(asked)
    except Exception as error:
        raise DriverLostError(f"the driver did not {question}: {error}") from error
