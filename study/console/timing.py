"""How long a run takes, and how much of that is not training."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from study.execution.events import Event, SlotReady, TrialFinished, TrialLeftOut, TrialStarted, WorkersDied


class RunSeconds(NamedTuple):
    """Seconds of one run, without trials that earlier runs finished."""

    wall: float
    """From the command to the report."""
    training: float
    """Training and evaluation, summed over the trials that finished in this run."""
    orchestration_per_trial: float | None
    """Cost of one trial besides its training; None if no trial shows it."""


class Timing:
    """A stopwatch over the events of one run.

    A slot's turnaround is the time from the end of one pack (of one trial or more) to the end of the next. The cost of
    orchestration is the median over packs of (turnaround - training) / trials. Packs with a trial that computed a
    stage, continued from a checkpoint, lost its workers or was dropped do not count, because their turnaround contains
    other work. Packs with a pruned trial do not count either, because only the store has its training time.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._free_since: dict[int, float] = {}
        """By slot, the time since which it could train: it became ready, or finished its last trial."""
        self._slots: dict[str, int] = {}
        """Slot of each running trial."""
        self._ended: dict[int, list[float]] = {}
        """By slot, training seconds of the ended trials of its pack."""
        self._unclear: set[int] = set()
        """Slots whose present turnaround does not count."""
        self._training = 0.0
        self._costs: list[float] = []

    def observe(self, event: Event) -> None:
        """Process one event."""
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
        """The times so far."""
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
        """Record the cost of a pack after its last trial; the events of its trials come at the same time."""
        if slot in self._slots.values():
            return
        now, seconds = self._now(), self._ended.pop(slot, [])
        free_since = self._free_since.get(slot)
        self._free_since[slot] = now
        if free_since is not None and slot not in self._unclear and seconds:
            self._costs.append(max(0.0, now - free_since - sum(seconds)) / len(seconds))
        self._unclear.discard(slot)
