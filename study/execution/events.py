"""Events of a run. The driver emits them; the progress display, the timing and the MLflow view observe them."""

from collections.abc import Callable
from dataclasses import dataclass

from study.config.study_config import Params
from study.config.trial_ref import TrialRef
from trainables.common.types import EpochReport, TrialResult


@dataclass(frozen=True)
class SlotsStarting:
    """Ray starts `slots` worker groups of `workers` ranks each."""

    slots: int
    workers: int


@dataclass(frozen=True)
class SlotReady:
    """A slot's workers have started and take trials."""

    slot: int


@dataclass(frozen=True)
class TrialStarted:
    """A slot trains a trial. Its checkpoint already contains `from_epoch` epochs of an earlier attempt."""

    trial: TrialRef
    from_epoch: int
    slot: int


@dataclass(frozen=True)
class EpochFinished:
    """A running trial finished one of its `epochs` epochs."""

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
    """A trial was dropped: the first seed of its configuration, trained in the same pack, was pruned or failed."""

    trial: TrialRef


@dataclass(frozen=True)
class TrialReused:
    """The store already contains the trial's result, so nothing ran."""

    trial: TrialRef
    result: TrialResult


@dataclass(frozen=True)
class ConfigurationSkipped:
    """A configuration is not run, because of the criterion."""

    arm: str
    number: int
    params: Params
    reason: str


@dataclass(frozen=True)
class WorkersDied:
    """A slot's worker group died. Its trials are assigned to the restarted group, or failed."""

    slot: int
    trials: tuple[str, ...] = ()
    """Ids of its trials; empty if it had none."""
    deaths: int = 0
    """Number of worker groups that died with these trials so far; 0 without trials."""


@dataclass(frozen=True)
class TrackingProblem:
    """The MLflow view is incomplete. The store is complete, and `study sync` updates the view."""

    message: str


@dataclass(frozen=True)
class Interrupted:
    """The user stopped the run. Running trials can be resumed."""


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
"""Receives an event. Called from one thread, in order; it must return quickly and never raise."""
