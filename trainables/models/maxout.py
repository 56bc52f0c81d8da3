"""Maxout networks for fixed features, as used on MM-IMDB (Arevalo et al., 2017; MultiBench)."""

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from search_spaces.domains import Choice
from trainables.common.types import ModelOutput
from trainables.models.base import Model, ModelConfig, Tap

PIECES = 2
"""Number of linear functions of which a maxout unit returns the largest."""

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "layer": nn.LayerNorm,
    "batch": nn.BatchNorm1d,
    "none": lambda width: nn.Identity(),
}


class MaxoutConfig(ModelConfig):
    """inputs -> norm -> (maxout -> norm -> dropout)... -> feature_dim (the tap) -> ReLU -> head_hidden -> classes.

    The published networks use batch normalisation, `norm: batch`. It makes the rows of a training batch depend on each
    other: with several workers each normalises its part of the batch. The default normalises each row separately.
    """

    model: Literal["maxout"] = "maxout"
    """Maxout network for vectors, such as the texts and images of MM-IMDB."""
    feature_dim: Annotated[int, Field(ge=1), Choice((32, 64, 128, 256))] = 64
    """Width D of the feature tap, which feature distillation compares."""
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (512, 512)
    """Widths of the maxout layers."""
    head_hidden: Annotated[int, Field(ge=1)] = 64
    """Width of the linear layer between the tap and the classes."""
    norm: Literal["layer", "batch", "none"] = "layer"
    """Normalisation of the inputs and of each maxout layer: by row, by training batch, or none."""
    tap: Tap = "before_relu"
    """Side of the tap's ReLU on which the features are taken."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Dropout after each maxout layer."""


class Maxout(nn.Module):
    """For each output the largest of `PIECES` linear functions of the inputs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, PIECES * outputs)

    def forward(self, inputs: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        return self.linear(inputs).unflatten(1, (PIECES, -1)).amax(dim=1)


class MaxoutNet(Model):
    """See `MaxoutConfig`."""

    def __init__(self, config: MaxoutConfig, inputs: int, num_classes: int) -> None:
        super().__init__()
        norm, widths = NORMS[config.norm], (inputs, *config.hidden)
        self.layers = nn.Sequential(nn.Flatten(), norm(inputs))
        for before, after in pairwise(widths):
            self.layers.extend([Maxout(before, after), norm(after), nn.Dropout(config.dropout)])
        self.tap = nn.Linear(widths[-1], config.feature_dim)
        self.head = nn.Sequential(
            nn.Linear(config.feature_dim, config.head_hidden), nn.ReLU(), nn.Linear(config.head_hidden, num_classes)
        )
        self.after_relu = config.tap == "after_relu"

    def forward(self, inputs: Float[Tensor, " batch *shape"]) -> ModelOutput:
        tapped = self.tap(self.layers(inputs))
        active = tapped.relu()
        return ModelOutput(self.head(active), active if self.after_relu else tapped)


def build_maxout(config: MaxoutConfig, input_shape: tuple[int, ...], num_classes: int) -> MaxoutNet:
    """A maxout network for inputs of any shape, which it flattens.

    Args:
        config: the config of the network.
        input_shape: shape of one input.
        num_classes: number of logits.
    """
    return MaxoutNet(config, prod(input_shape), num_classes)
