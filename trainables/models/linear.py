"""A linear model: its predictions are its features."""

import math
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from trainables.common.types import ModelOutput
from trainables.models.base import Model, ModelConfig


class LinearConfig(ModelConfig):
    """inputs -> outputs, one matrix and a bias. The CCH study measures the predictions of a linear model."""

    model: Literal["linear"] = "linear"
    """One linear layer over the flattened input; the predictions are the features."""
    feature_dim: Annotated[int, Field(ge=1)] = 1
    """Outputs: 1 for the prediction of a number, otherwise the number of classes."""

    @property
    def linear(self) -> bool:
        return True


class Linear(Model):
    """See `LinearConfig`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Flatten()
        self.tap = nn.Linear(inputs, outputs)
        self.head = nn.Identity()

    def forward(self, inputs: Float[Tensor, " batch *shape"]) -> ModelOutput:
        tapped = self.tap(self.layers(inputs))
        return ModelOutput(self.head(tapped), tapped)


def build_linear(config: LinearConfig, input_shape: tuple[int, ...], num_classes: int) -> Linear:
    """A linear model for inputs of any shape, which it flattens.

    Args:
        config: the config of the network.
        input_shape: shape of one input.
        num_classes: number of outputs.

    Raises:
        ValueError: if `feature_dim` is not the number of outputs.
    """
    if config.feature_dim != num_classes:
        raise ValueError(
            f"the features of a linear model are its {num_classes} outputs, but feature_dim is {config.feature_dim}; "
            f"write `feature_dim: {num_classes}`"
        )
    return Linear(math.prod(input_shape), num_classes)
