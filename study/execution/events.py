"""What happens while a study runs. The driver emits these; the display and the MLflow view consume them."""

from collections.abc import Callable
from dataclasses import dataclass

from study.config.study_config import Params
from study.config.trial_ref import TrialRef
from trainables.common.types import EpochReport, TrialResult


@dataclass(frozen=True)
class SlotsStarting:
    """Ray is about to start `slots` groups of `workers` ranks each."""

    slots: int
    workers: int


@dataclass(frozen=True)
class SlotReady:
    """A slot's workers are up and take trials."""

    slot: int


@dataclass(frozen=True)
class TrialStarted:
    """A slot trains a trial, after `from_epoch` epochs that an earlier attempt has left in its checkpoint."""

    trial: TrialRef
    from_epoch: int
    slot: int


@dataclass(frozen=True)
class EpochFinished:
    """A running trial reported one epoch of `epochs`."""

    trial: TrialRef
    report: EpochReport
    epochs: int


@dataclass(frozen=True)
class TrialFinished:
    """A trial ended in this process: complete, pruned or failed. Its result is in the store."""

    trial: TrialRef
    result: TrialResult


@dataclass(frozen=True)
class TrialLeftOut:
    """A trial that was trained beside its configuration's first seed ends with it: that one was pruned or failed."""

    trial: TrialRef


@dataclass(frozen=True)
class TrialReused:
    """The store already held the trial's result, so nothing ran."""

    trial: TrialRef
    result: TrialResult


@dataclass(frozen=True)
class ConfigurationSkipped:
    """The criterion's gate keeps a configuration from being run."""

    arm: str
    number: int
    params: Params
    reason: str


@dataclass(frozen=True)
class WorkersDied:
    """A slot's worker group died. Its trials, if it had any, are handed to the restarted group or failed."""

    slot: int
    trials: tuple[str, ...]
    """Their ids."""
    deaths: int
    """Worker groups that these trials have cost so far (of this slot, without any)."""


@dataclass(frozen=True)
class TrackingProblem:
    """The MLflow view fell behind; the store is complete, and a later sync mends the view."""

    message: str


@dataclass(frozen=True)
class Interrupted:
    """The user asked to stop; running trials stay resumable."""


Event = (
    SlotsStarting
    | SlotReady
    | TrialStarted
    | EpochFinished
    | TrialFinished
    | TrialLeftOut
    | TrialReused
    | ConfigurationSkipped
    | WorkersDied
    | TrackingProblem
    | Interrupted
)

Emit = Callable[[Event], None]
"""How an event is handed on. Called from one thread, in order; it must return quickly and never raise."""
