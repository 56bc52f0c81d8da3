"""The feature loss FD(a, b) that several methods use: its options and its four kinds."""

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
    """Check `region` against `loss`. Raises ValueError."""
    loss = earlier(info, "loss")
    if region != "all" and loss not in (None, "mse"):
        raise ValueError(f"region {region!r} weighs the places of an mse, but loss is {loss!r}; write region: all")
    return region


class FeatureLossConfig(MethodConfig):
    """The kind of feature loss and its options."""

    lambda_task: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the task term; 0 distils features only."""
    loss: Literal["mse", "ce", "clip", "margin"] = "mse"
    """Feature loss FD(a, b)."""
    reduction: Literal["mean", "sum"] = "mean"
    """MSE over the feature dimensions: the mean, or the sum as in Eq. 1 (both are means over the batch)."""
    fd_temperature: Annotated[float, Field(gt=0)] = 0.07
    """Temperature of the CLIP feature loss."""
    margin: Annotated[float, Field(ge=-1, le=1)] = 0.5
    """Cosine that the margin loss requires."""
    region: Annotated[Literal["all", "boxes"], AfterValidator(check_region)] = "all"
    """Weights of the cells in an MSE: equal, or larger near labelled boxes ("MSE w/ GT", for detection)."""

    @property
    def shift_invariant(self) -> bool:
        """Whether adding one number to all features of a row leaves the loss unchanged."""
        return self.loss == "ce"


def feature_loss(
    student: Float[Tensor, "batch dim"],
    teacher: Float[Tensor, "batch dim"],
    config: FeatureLossConfig,
    weights: Float[Tensor, " batch"] | None = None,
    dims: losses.Dims = None,
) -> Float[Tensor, ""]:
    """FD(teacher, student) of the kind `config.loss`.

    Args:
        student: student features, mapped to the teacher's dimension.
        teacher: teacher features of the same rows.
        config: the kind of loss and its options.
        weights: of the rows, from `row_weights`; None: equal weights.
        dims: number of leading dimensions to use; None: all.

    Returns:
        The loss, a scalar.
    """
    return FEATURE_LOSSES[config.loss](student, teacher, config, weights, dims)


FEATURE_LOSSES: dict[str, Callable[[Tensor, Tensor, FeatureLossConfig, Tensor | None, losses.Dims], Tensor]] = {
    "mse": lambda own, teacher, config, weights, dims: losses.feature_mse(
        own, teacher, config.reduction, weights, dims
    ),
    "ce": lambda own, teacher, config, weights, dims: losses.feature_cross_entropy(own, teacher, dims),
    "clip": lambda own, teacher, config, weights, dims: losses.feature_clip(own, teacher, config.fd_temperature, dims),
    "margin": lambda own, teacher, config, weights, dims: losses.feature_margin(own, teacher, config.margin, dims),
}
"""Each feature loss with its options from the config."""


def row_weights(
    config: FeatureLossConfig, task: Task, batch: Batch, features: Float[Tensor, "batch *cells dim"]
) -> Float[Tensor, " rows"] | None:
    """Weights of the student's feature vectors for `config.region`.

    Args:
        config: the feature loss.
        task: the task of the labels.
        batch: the batch with the labels.
        features: the student's features.

    Returns:
        Weight of each vector, in the order of `rows_of`; None: equal weights.
    """
    return REGIONS[config.region](task, batch, features)


def box_weights(task: Task, batch: Batch, features: Float[Tensor, "batch x y dim"]) -> Float[Tensor, " rows"]:
    """Weights from the task's `regions`. Vectors of unlabelled rows have weight 0.

    Args:
        task: a task with `regions`.
        batch: the batch with the labels.
        features: the student's features of x times y cells.

    Returns:
        Weight of each cell of each row, rows first.
    """
    assert task.regions is not None, "region: boxes is refused for a task whose labels say nothing about places"
    return task.regions(batch.labels, batch.labelled, features.shape[1]).to(features.dtype).flatten()


REGIONS: dict[str, Callable[[Task, Batch, Tensor], Tensor | None]] = {
    "all": lambda task, batch, features: None,
    "boxes": box_weights,
}
"""For each region: the function that computes the weights of the feature vectors."""
