"""How long a run took, and how much of it was not training."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from study.execution.events import Event, SlotReady, TrialFinished, TrialLeftOut, TrialStarted, WorkersDied


class RunSeconds(NamedTuple):
    """Seconds of one run; trials that earlier runs finished do not count."""

    wall: float
    """From the command to the report."""
    training: float
    """Sum over the trials that finished in this run of their own training and evaluation."""
    orchestration_per_trial: float | None
    """What one more trial costs besides its training; None where no trial could tell."""


class Timing:
    """A stopwatch over the events of one run.

    A slot's turnaround is the time from the end of one pack (of one trial or more) to the end of the next. The cost of
    orchestration is the median over packs of turnaround minus training, for each of its trials. Packs with a trial
    that computed a stage, went on from a checkpoint, lost its workers or was left out do not count, because their
    turnaround holds other work; nor do those with a pruned one, whose training time only the store knows.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._free_since: dict[int, float] = {}
        """By slot, since when it could have trained: ready, or done with its last trial."""
        self._slots: dict[str, int] = {}
        """Slot of each running trial."""
        self._ended: dict[int, list[float]] = {}
        """By slot, the training seconds of the trials of its pack that have ended."""
        self._unclear: set[int] = set()
        """Slots whose turnaround would not tell."""
        self._training = 0.0
        self._costs: list[float] = []

    def observe(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case SlotReady():
                self._free_since.setdefault(event.slot, self._now())
            case TrialStarted():
                self._slots[event.trial.trial_id] = event.slot
                if event.from_epoch:
                    self._unclear.add(event.slot)
            case WorkersDied():
                self._unclear.add(event.slot)
            case TrialFinished():
                self._finish(event)
            case TrialLeftOut():
                slot = self._slots.pop(event.trial.trial_id)
                self._unclear.add(slot)
                self._end_pack(slot)
            case _:
                pass

    def seconds(self) -> RunSeconds:
        """The figures so far."""
        cost = median(self._costs) if self._costs else None
        return RunSeconds(self._now() - self._began, self._training, cost)

    def _finish(self, event: TrialFinished) -> None:
        self._training += event.result.seconds
        slot = self._slots.pop(event.trial.trial_id, None)
        if slot is None:
            return
        if event.result.stages_computed or event.result.status != "complete":
            self._unclear.add(slot)
        self._ended.setdefault(slot, []).append(event.result.seconds)
        self._end_pack(slot)

    def _end_pack(self, slot: int) -> None:
        """Note what a pack cost when its last trial has ended: its trials' events follow each other closely."""
        if slot in self._slots.values():
            return
        now, seconds = self._now(), self._ended.pop(slot, [])
        free_since = self._free_since.get(slot)
        self._free_since[slot] = now
        if free_since is not None and slot not in self._unclear and seconds:
            self._costs.append(max(0.0, now - free_since - sum(seconds)) / len(seconds))
        self._unclear.discard(slot)
