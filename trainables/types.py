"""The values that pass between data, models, methods and the training loop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict
from torch import Tensor


class Frozen(BaseModel):
    """Base of every config: immutable, unknown keys refused, the string under a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Batch(NamedTuple):
    """One paired mini-batch, or a whole split. Row i of every field belongs to the same example."""

    teacher: Tensor
    """Teacher inputs, (batch, ...)."""
    student: Tensor
    """Student inputs, (batch, ...)."""
    labels: Int[Tensor, " batch"]
    """Class of each example; also known where `labelled` is False, but then no loss may look at it."""
    labelled: Bool[Tensor, " batch"]
    """Whether the task loss may use the label. Distillation terms see every pair."""
    indices: Int[Tensor, " batch"]
    """Row in the data set, stable across splits and epochs."""


class ModelOutput(NamedTuple):
    """What every teacher and student returns."""

    logits: Float[Tensor, "batch classes"]
    """Unnormalised class scores."""
    features: Float[Tensor, "batch features"]
    """The declared tap: what feature distillation compares."""
    embeddings: Float[Tensor, "batch embed"] | None = None
    """Joint-space embeddings, for contrastive models only."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "ModelOutput":
        """The same outputs, each changed by `change` (moved, indexed, gathered)."""
        embeddings = None if self.embeddings is None else change(self.embeddings)
        return ModelOutput(change(self.logits), change(self.features), embeddings)


class LossTerm(NamedTuple):
    """One term of the objective. Both parts are logged, so that trials with different weights compare."""

    value: Float[Tensor, ""]
    """The unweighted value."""
    weight: float | Float[Tensor, ""]
    """What it is multiplied with; the objective is the sum of the products."""


@dataclass(frozen=True)
class PairedData:
    """A prepared data set: three disjoint splits of aligned pairs, in memory (or memory-mapped)."""

    train: Batch
    val: Batch
    test: Batch
    num_classes: int

    def split(self, name: Literal["train", "val", "test"]) -> Batch:
        """The split called `name`."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


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
    metrics: dict[str, float] = field(default_factory=dict)
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
