"""The feature loss FD(a, b) that several methods share: its options, and the choice among the four."""

from collections.abc import Callable
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from trainables import losses
from trainables.methods.base import MethodConfig


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

    @property
    def blind_to_shift(self) -> bool:
        """Whether the loss stays the same when one number is added to all features of a row."""
        return self.loss == "ce"


def feature_loss(
    student: Float[Tensor, "batch dim"], teacher: Float[Tensor, "batch dim"], config: FeatureLossConfig
) -> Float[Tensor, ""]:
    """FD(teacher, student) by `config.loss`."""
    return FEATURE_LOSSES[config.loss](student, teacher, config)


FEATURE_LOSSES: dict[str, Callable[[Tensor, Tensor, FeatureLossConfig], Tensor]] = {
    "mse": lambda student, teacher, config: losses.feature_mse(student, teacher, config.reduction),
    "ce": lambda student, teacher, config: losses.feature_cross_entropy(student, teacher),
    "clip": lambda student, teacher, config: losses.feature_clip(student, teacher, config.fd_temperature),
    "margin": lambda student, teacher, config: losses.feature_margin(student, teacher, config.margin),
}
"""Each feature loss, with what it takes from the config."""
