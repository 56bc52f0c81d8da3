"""The values that pass between data, models, methods and the training loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from trainables.results import EpochReport as EpochReport
from trainables.results import TrialError as TrialError
from trainables.results import TrialResult as TrialResult


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
