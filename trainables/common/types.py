"""The values that pass between data, models, methods and the training loop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int, Shaped
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from trainables.common.results import EpochReport as EpochReport
from trainables.common.results import TrialError as TrialError
from trainables.common.results import TrialResult as TrialResult

Json = Any
"""A JSON value. Pydantic's JsonValue refers to itself: the tests' type checks would build its check at every call."""


class Frozen(BaseModel):
    """Base of every config: immutable, unknown keys refused, the string under a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class TableConfig(Frozen):
    """Base of the configs that a table lists: DATASETS, MODELS, METHODS, ESTIMATORS."""

    kind_field: ClassVar[str]
    """Field that names the config's entry: each listed config has it, as `Literal["its name"]`."""

    @property
    def kind(self) -> str:
        """Name of the config's entry in its table, the value of `kind_field`."""
        return str(getattr(self, self.kind_field))


@runtime_checkable
class EarlierFields(Protocol):
    """What pydantic gives a field validator besides the value: the fields above it that were valid.

    This is the part of pydantic's `ValidationInfo` that is used. `ValidationInfo` cannot be checked at run time, as the
    tests do.
    """

    @property
    def data(self) -> dict[str, object]:
        """Values of the earlier fields by name, without the invalid ones."""
        ...


def earlier(info: EarlierFields, name: str) -> object:
    """Value of the earlier field `name`; None if it was invalid or if the field is validated without the others."""
    return (info.data or {}).get(name)


IDENTITY = {"for": "identity"}
"""Serialisation context in which a config gives only what identifies it (`trainables.data.common.base.identity_of`)."""


class Batch(NamedTuple):
    """One paired mini-batch, or a whole split. Row i of every field belongs to the same example."""

    teacher: Tensor
    """Teacher inputs, (batch, ...): float32, or uint8 for pictures that are turned into [0, 1] batch by batch. Of
    captioned images uint8 (batch, views, 3, height, width): a fixed view, and stored augmentations of it."""
    student: Tensor
    """Student inputs, (batch, ...), alike; or int32 token numbers. Of captioned images (batch, captions, length)."""
    labels: Shaped[Tensor, " batch *target"]
    """The target of the data set's task: a class, 0/1 for each of several, boxes (see `trainables.tasks`). Rows where
    `labelled` is False have a label too, but no loss may use it."""
    labelled: Bool[Tensor, " batch"]
    """Whether the task loss may use the label. Distillation terms see every pair."""
    indices: Int[Tensor, " batch"]
    """Row in the data set, stable across splits and epochs."""


class ModelOutput(NamedTuple):
    """The outputs of a teacher or a student."""

    logits: Float[Tensor, " batch *outputs"]
    """Unnormalised scores, as the task's loss takes them: one a class, or maps of them. Of a contrastive model its
    embeddings times the root of its scale, so that inner products are scaled similarities."""
    features: Float[Tensor, "batch *cells features"]
    """The declared tap: what feature distillation compares. A network that describes places (the cells of a bird's-eye
    view) has one vector for each place; every vector counts as a separate row."""
    embeddings: Float[Tensor, "batch several embed"] | None = None
    """Unit vectors in the joint space, images first, captions last. Only contrastive models have them."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "ModelOutput":
        """Apply `change` to each output, for example to move, index or gather them."""
        embeddings = None if self.embeddings is None else change(self.embeddings)
        return ModelOutput(change(self.logits), change(self.features), embeddings)


class LossTerm(NamedTuple):
    """One term of the objective. Both parts are logged, so that trials with different weights compare."""

    value: Float[Tensor, ""]
    """The unweighted value."""
    weight: float | Float[Tensor, ""]
    """Factor of `value`; the objective is the sum of the products."""


@dataclass(frozen=True)
class PairedData:
    """A prepared data set: three disjoint splits of aligned pairs, in memory (or memory-mapped)."""

    train: Batch
    val: Batch
    test: Batch
    num_classes: int
    notes: dict[str, Json] = field(default_factory=dict[str, Json])
    """Facts about the preparation for the report, such as clips that were left out."""
    prompts: Int[Tensor, "classes templates length"] | None = None
    """Text prompts of every class as token numbers. There are several templates; the first is the single prompt."""

    def split(self, name: Literal["train", "val", "test"]) -> Batch:
        """The split called `name`."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


def rows_of(features: Float[Tensor, "*rows features"]) -> Float[Tensor, "vectors features"]:
    """Every feature vector as a row: (batch, *cells, D) becomes (batch * cells, D)."""
    return features.flatten(0, -2)
