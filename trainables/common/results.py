"""The history and result of a trial as plain values, for the store and for processes that do not import torch."""

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class TrialError:
    """Why a trial failed."""

    kind: str
    """Exception class, or `WorkerDied`."""
    message: str
    epoch: int | None = None
    """Epoch (from 1) in which it happened, where known."""
    step: int | None = None
    """Optimisation step (from 1, over the whole training) at which it happened, where known."""
    traceback: str = ""


@dataclass(frozen=True)
class EpochReport:
    """One line of a trial's history: metrics after `epoch` (from 1), keys `split/name`."""

    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended. Written last; a stored result means that the trial is finished."""

    status: Status
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    """Metrics of the selected epoch (`training.select`), and `test/...` measured once with those weights."""
    epochs: int = 0
    """Epochs trained (for a pruned trial: the epoch after which it was stopped)."""
    selected_epoch: int = 0
    seconds: float = 0.0
    """Wall seconds of this trial's own training and evaluation, stages excluded, over all its attempts."""
    stages_computed: tuple[str, ...] = ()
    """`name/key` of each stage that this trial had to compute."""
    stages_reused: tuple[str, ...] = ()
    """`name/key` of each stage that it found ready."""
    seconds_saved: float = 0.0
    """What the reused stages had cost when they were computed, in seconds."""
    error: TrialError | None = None
    trained_together: int = 1
    """Trials of the pack (`trainables.training.pack`) that trained it; its seconds are its share of the pack's."""
