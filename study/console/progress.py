"""Progress of a running study: counts, running trials, best configuration per arm, remaining time.

It is computed from the driver's events only; `study.console.live_table` draws it.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from study.analysis.study_results import Summary, summarise
from study.config.resolved_study import ResolvedStudy
from study.config.study_config import Params
from study.config.trial_ref import TrialRef
from study.execution.events import (
    ConfigurationSkipped,
    EpochFinished,
    Event,
    SlotReady,
    TrialFinished,
    TrialLeftOut,
    TrialReused,
    TrialStarted,
)
from trainables.common.types import TrialResult

ETA_WINDOW = 20
"""Number of finished trials over which the pace is averaged."""


@dataclass
class RunningTrial:
    """A trial that a slot is training."""

    trial: TrialRef
    slot: int
    epoch: int
    """Finished epochs, including those of earlier attempts."""
    epochs: int | None = None
    """Planned epochs; None before the first report."""
    value: float | None = None
    """Latest value of the study's first objective."""


class BestSoFar(NamedTuple):
    """An arm's best configuration, by the mean over the complete seeds."""

    number: int
    params: Params
    objective: Summary


class Progress:
    """State of one run, updated by its events in order."""

    def __init__(self, study: ResolvedStudy, clock: Callable[[], float] = time.monotonic) -> None:
        self.study = study
        self.objective = study.search.objectives[0]
        self.started = clock()
        self.counts: Counter[str] = Counter()
        """Trials by status, including those from the store."""
        self.arm_counts: Counter[str] = Counter()
        """Finished trials by arm."""
        self.reused = 0
        """Trials whose result was already in the store."""
        self.skipped = 0
        """Configurations that are skipped because of the criterion."""
        self.running: dict[str, RunningTrial] = {}
        self.planned = study.planned_trials
        """Expected number of trials, without the other seeds of a pruned or failed first seed."""
        self._clock = clock
        self._first_ready: float | None = None
        self._finish_times: deque[float] = deque(maxlen=ETA_WINDOW + 1)
        self._seeds: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
        self._values: defaultdict[str, dict[int, dict[int, float]]] = defaultdict(dict)
        self._leading: dict[str, int] = {}
        """By arm, the number of its best configuration."""
        self._params: dict[tuple[str, int], Params] = {}

    @property
    def finished(self) -> int:
        """Trials with a result."""
        return self.counts.total()

    @property
    def elapsed_seconds(self) -> float:
        """Since this run began."""
        return self._clock() - self.started

    def observe(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case SlotReady():
                self._first_ready = self._first_ready or self._clock()
            case TrialStarted():
                self._first_ready = self._first_ready or self._clock()
                self.running[event.trial.trial_id] = RunningTrial(event.trial, event.slot, event.from_epoch)
                self._seeds[event.trial.arm, event.trial.number].add(event.trial.seed)
            case EpochFinished(trial) if trial.trial_id in self.running:
                running = self.running[trial.trial_id]
                running.epoch, running.epochs = event.report.epoch, event.epochs
                running.value = event.report.metrics.get(self.objective.metric, running.value)
            case TrialFinished():
                self.running.pop(event.trial.trial_id, None)
                self._finish_times.append(self._clock())
                self._count(event.trial, event.result)
            case TrialLeftOut(trial):
                del self.running[trial.trial_id]
                self._seeds[trial.arm, trial.number].discard(trial.seed)
                self.planned -= 1
            case TrialReused():
                self.reused += 1
                self._count(event.trial, event.result)
            case ConfigurationSkipped():
                self.skipped += 1
                self.planned -= len(self.study.search.seeds)
            case _:
                pass

    def best(self, arm: str) -> BestSoFar | None:
        """The arm's best configuration by the mean; configurations with every seed come first."""
        number = self._leading.get(arm)
        if number is None:
            return None
        summary = summarise(self._values[arm][number])
        assert summary
        return BestSoFar(number, self._params[arm, number], summary)

    def remaining_seconds(self) -> float | None:
        """Estimated remaining time from the pace of the last trials; None before there is a pace."""
        left = self.planned - self.finished
        if left <= 0:
            return 0.0
        now = self._clock()
        if self._finish_times:
            begun = self._finish_times[0] if len(self._finish_times) > ETA_WINDOW else self._first_ready
            trials = min(len(self._finish_times), ETA_WINDOW)
            pace = (self._finish_times[-1] - (self.started if begun is None else begun)) / trials
            return max(0.0, left * pace - (now - self._finish_times[-1]))
        done = sum(trial.epoch / trial.epochs for trial in self.running.values() if trial.epochs)
        if not done or self._first_ready is None:
            return None
        return (left - done) * (now - self._first_ready) / done

    def _count(self, trial: TrialRef, result: TrialResult) -> None:
        self.counts[result.status] += 1
        self.arm_counts[trial.arm] += 1
        group = (trial.arm, trial.number)
        seeds = self._seeds[group]
        seeds.add(trial.seed)
        self._params[group] = trial.params
        if result.status == "pruned" or (result.status == "failed" and trial.seed == self.study.search.seeds[0]):
            self.planned -= len(self.study.search.seeds) - len(seeds)
        value = result.metrics.get(self.objective.metric)
        if result.status == "complete" and value is not None:
            self._values[trial.arm].setdefault(trial.number, {})[trial.seed] = value
            self._compare(trial.arm, trial.number)

    def _compare(self, arm: str, number: int) -> None:
        """Update the arm's best configuration after a new value. The table is redrawn often and only reads it."""
        leading = self._leading.get(arm, number)
        if leading == number:
            leading = max(self._values[arm], key=lambda candidate: self._rank(arm, candidate))
        elif self._rank(arm, number) > self._rank(arm, leading):
            leading = number
        self._leading[arm] = leading

    def _rank(self, arm: str, number: int) -> tuple[bool, float, int]:
        """Sort key of a configuration: the largest is best, the earliest of equals."""
        values = self._values[arm][number]
        sign = 1 if self.objective.direction == "maximize" else -1
        return len(values) == len(self.study.search.seeds), sign * fmean(values.values()), -number
