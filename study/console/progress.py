"""Where a running study stands: counts, running trials, best configuration per arm, time to go.

Fed by the driver's events alone; `study.console.live_table` draws it.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from study.analysis.study_results import Summary, summarise
from study.config.study_config import Params, StudyConfig
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

ETA_WINDOW = 20
"""Finished trials over which the pace is averaged."""


@dataclass
class RunningTrial:
    """A trial that a slot trains now."""

    arm: str
    number: int
    seed: int
    params: Params
    slot: int
    epoch: int
    """Epochs done, those of earlier attempts included."""
    epochs: int | None = None
    """Epochs planned; None before the first report."""
    value: float | None = None
    """Latest value of the study's first objective."""

    @property
    def name(self) -> str:
        """Arm, number of the configuration and seed, as every line and table says it."""
        return trial_name(self.arm, self.number, self.seed)


class BestSoFar(NamedTuple):
    """An arm's leading configuration, by the mean over the seeds that are complete."""

    number: int
    params: Params
    objective: Summary


def trial_name(arm: str, number: int, seed: int) -> str:
    """What a person calls a trial: `kd #3 seed 1` is the second seed of the arm's fourth configuration."""
    return f"{arm} #{number} seed {seed}"


def planned_trials(study: StudyConfig) -> int:
    """Trials that the study asks for if nothing is pruned."""
    return sum(planned_groups(study, arm.size()) for arm in study.arms) * len(study.search.seeds)


def planned_groups(study: StudyConfig, size: int | None) -> int:
    """Configurations of an arm whose space holds `size` of them (None: uncountably many)."""
    return study.search.trials if size is None else min(study.search.trials, size)


class Progress:
    """The state of one run, kept by observing its events in order."""

    def __init__(self, study: StudyConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.study = study
        self.objective = study.search.objectives[0]
        self.started = clock()
        self.counts: Counter[str] = Counter()
        """Trials by status, with those that the store already held."""
        self.arm_counts: Counter[str] = Counter()
        """Finished trials by arm."""
        self.reused = 0
        """Trials that the store already held."""
        self.skipped = 0
        """Configurations that the criterion's gate has taken out."""
        self.running: dict[str, RunningTrial] = {}
        self.planned = planned_trials(study)
        """Trials to expect in all: where the first seed is pruned or fails, the other seeds are taken off."""
        self._clock = clock
        self._first_ready: float | None = None
        self._finish_times: deque[float] = deque(maxlen=ETA_WINDOW + 1)
        self._seeds: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
        self._values: defaultdict[str, dict[int, dict[int, float]]] = defaultdict(dict)
        self._leading: dict[str, int] = {}
        """By arm, the number of the configuration that leads it."""
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
                self.running[event.trial_id] = RunningTrial(
                    event.arm, event.number, event.seed, event.params, event.slot, event.from_epoch
                )
                self._seeds[event.arm, event.number].add(event.seed)
            case EpochFinished() if event.trial_id in self.running:
                trial = self.running[event.trial_id]
                trial.epoch, trial.epochs = event.report.epoch, event.epochs
                trial.value = event.report.metrics.get(self.objective.metric, trial.value)
            case TrialFinished():
                self.running.pop(event.trial_id, None)
                self._finish_times.append(self._clock())
                self._count(event)
            case TrialLeftOut():
                left_out = self.running.pop(event.trial_id)
                self._seeds[left_out.arm, left_out.number].discard(left_out.seed)
                self.planned -= 1
            case TrialReused():
                self.reused += 1
                self._count(event)
            case ConfigurationSkipped():
                self.skipped += 1
                self.planned -= len(self.study.search.seeds)
            case _:
                pass

    def best(self, arm: str) -> BestSoFar | None:
        """The arm's leading configuration: those with every seed come first, then the mean decides."""
        number = self._leading.get(arm)
        if number is None:
            return None
        summary = summarise(self._values[arm][number])
        assert summary
        return BestSoFar(number, self._params[arm, number], summary)

    def remaining_seconds(self) -> float | None:
        """Estimated time to go, from the pace of the latest trials; None before there is a pace."""
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

    def _count(self, event: TrialFinished | TrialReused) -> None:
        status = event.result.status
        self.counts[status] += 1
        self.arm_counts[event.arm] += 1
        group = (event.arm, event.number)
        seeds = self._seeds[group]
        seeds.add(event.seed)
        self._params[group] = event.params
        if status == "pruned" or (status == "failed" and event.seed == self.study.search.seeds[0]):
            self.planned -= len(self.study.search.seeds) - len(seeds)
        value = event.result.metrics.get(self.objective.metric)
        if status == "complete" and value is not None:
            self._values[event.arm].setdefault(event.number, {})[event.seed] = value
            self._compare(event.arm, event.number)

    def _compare(self, arm: str, number: int) -> None:
        """Let a configuration with a new value lead its arm, or fall behind: the table is drawn four times a second."""
        leading = self._leading.get(arm, number)
        if leading == number:
            leading = max(self._values[arm], key=lambda candidate: self._rank(arm, candidate))
        elif self._rank(arm, number) > self._rank(arm, leading):
            leading = number
        self._leading[arm] = leading

    def _rank(self, arm: str, number: int) -> tuple[bool, float, int]:
        """The greatest of an arm leads it; the earliest of equals."""
        values = self._values[arm][number]
        sign = 1 if self.objective.direction == "maximize" else -1
        return len(values) == len(self.study.search.seeds), sign * fmean(values.values()), -number
