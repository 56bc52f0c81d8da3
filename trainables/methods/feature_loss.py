"""The feature loss FD(a, b) that several methods share: its options, and the choice among the four."""

from collections.abc import Callable
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import AfterValidator, Field
from torch import Tensor

from trainables.common.types import Batch, EarlierFields, earlier
from trainables.losses import distillation as losses
from trainables.methods.base import MethodConfig
from trainables.tasks import Task


def check_region(region: str, info: EarlierFields) -> str:
    """A check of `region`, after `loss`."""
    loss = earlier(info, "loss")
    if region != "all" and loss not in (None, "mse"):
        raise ValueError(f"region {region!r} weighs the places of an mse, but loss is {loss!r}; write region: all")
    return region


class FeatureLossConfig(MethodConfig):
    """Which feature loss, and what it can be told."""

    lambda_task: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the task term; 0 distils features and nothing else."""
    loss: Literal["mse", "ce", "clip", "margin"] = "mse"
    """Feature loss FD(a, b)."""
    reduction: Literal["mean", "sum"] = "mean"
    """MSE over the feature dimensions: mean over elements, or the sum that Eq. 1 writes (mean over the batch)."""
    fd_temperature: Annotated[float, Field(gt=0)] = 0.07
    """Temperature of the CLIP feature loss."""
    margin: Annotated[float, Field(ge=-1, le=1)] = 0.5
    """Cosine that the margin loss asks for."""
    region: Annotated[Literal["all", "boxes"], AfterValidator(check_region)] = "all"
    """Cells that an MSE compares: all alike, or by their nearness to labelled boxes ("MSE w/ GT", for detection)."""

    @property
    def shift_invariant(self) -> bool:
        """Whether the loss stays the same when one number is added to all features of a row."""
        return self.loss == "ce"


def feature_loss(
    student: Float[Tensor, "batch dim"],
    teacher: Float[Tensor, "batch dim"],
    config: FeatureLossConfig,
    weights: Float[Tensor, " batch"] | None = None,
    dims: losses.Dims = None,
) -> Float[Tensor, ""]:
    """FD(teacher, student) by `config.loss`, in the first `dims` dimensions; `weights` of rows from `row_weights`."""
    return FEATURE_LOSSES[config.loss](student, teacher, config, weights, dims)


FEATURE_LOSSES: dict[str, Callable[[Tensor, Tensor, FeatureLossConfig, Tensor | None, losses.Dims], Tensor]] = {
    "mse": lambda own, teacher, config, weights, dims: losses.feature_mse(
        own, teacher, config.reduction, weights, dims
    ),
    "ce": lambda own, teacher, config, weights, dims: losses.feature_cross_entropy(own, teacher, dims),
    "clip": lambda own, teacher, config, weights, dims: losses.feature_clip(own, teacher, config.fd_temperature, dims),
    "margin": lambda own, teacher, config, weights, dims: losses.feature_margin(own, teacher, config.margin, dims),
}
"""Each feature loss, with what it takes from the config."""


def row_weights(
    config: FeatureLossConfig, task: Task, batch: Batch, features: Float[Tensor, "batch *cells dim"]
) -> Float[Tensor, " rows"] | None:
    """Weight of each feature vector of the student, in the order of `rows_of`; None: all alike."""
    return REGIONS[config.region](task, batch, features)


def box_weights(task: Task, batch: Batch, features: Float[Tensor, "batch x y dim"]) -> Float[Tensor, " rows"]:
    """By the task's `regions`; the labels of unlabelled rows say nothing, so their vectors have weight 0."""
    assert task.regions is not None, "region: boxes is refused for a task whose labels say nothing about places"
    return task.regions(batch.labels, batch.labelled, features.shape[1]).to(features.dtype).flatten()


REGIONS: dict[str, Callable[[Task, Batch, Tensor], Tensor | None]] = {
    "all": lambda task, batch, features: None,
    "boxes": box_weights,
}
"""Each region, with how it weighs the feature vectors."""
