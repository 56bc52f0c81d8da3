"""Small convolutional network: blocks of convolution, ReLU and max-pooling, a feature tap, a linear head."""

from itertools import pairwise
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from search_spaces.domains import Choice
from trainables.common.types import ModelOutput
from trainables.models.base import Model, ModelConfig, Tap


class CNNConfig(ModelConfig):
    """image -> (3x3 convolution -> ReLU -> 2x2 max-pool)... -> feature_dim (the tap) -> ReLU -> classes.

    It has no batch normalisation: batch statistics would make rows depend on each other and differ between ranks.
    """

    model: Literal["cnn"] = "cnn"
    """Small convolutional network for images."""
    widths: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (32, 64)
    """Channels of each block; every block halves the side of the image."""
    pooled: Annotated[int, Field(ge=1)] = 4
    """Side to which the last maps are averaged before they are flattened; smaller maps stay as they are."""
    feature_dim: Annotated[int, Field(ge=1), Choice((32, 64, 128, 256))] = 128
    """Width D of the feature tap, which feature distillation compares."""
    tap: Tap = "before_relu"
    """Side of the last ReLU on which the features are taken."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout of the flattened maps."""


class CNN(Model):
    """See `CNNConfig`."""

    def __init__(self, config: CNNConfig, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, *sides = input_shape
        widths = (channels, *config.widths)
        height, width = (min(config.pooled, side // 2 ** len(config.widths)) for side in sides)
        self.layers = nn.Sequential()
        for before, after in pairwise(widths):
            self.layers.extend([nn.Conv2d(before, after, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)])
        self.layers.extend([nn.AdaptiveAvgPool2d((height, width)), nn.Flatten(), nn.Dropout(config.dropout)])
        self.tap = nn.Linear(widths[-1] * height * width, config.feature_dim)
        self.head = nn.Linear(config.feature_dim, num_classes)
        self.after_relu = config.tap == "after_relu"

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> ModelOutput:
        tapped = self.tap(self.layers(inputs))
        active = tapped.relu()
        return ModelOutput(self.head(active), active if self.after_relu else tapped)


def build_cnn(config: CNNConfig, input_shape: tuple[int, ...], num_classes: int) -> CNN:
    """A CNN for images.

    Args:
        config: the config of the network.
        input_shape: (channels, height, width).
        num_classes: number of logits.

    Raises:
        ValueError: if the input is not an image, or the image is too small for the number of blocks.
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"model: 'cnn' takes images of shape (channels, height, width), but this view has the shape "
            f"{input_shape!r}; use `model: mlp`"
        )
    side, blocks = min(input_shape[1:]), len(config.widths)
    if side < 2**blocks:
        raise ValueError(
            f"each block of model: 'cnn' halves the image, so {blocks} blocks need a side of {2**blocks} pixels, but "
            f"this view has the shape {input_shape!r}; give at most {side.bit_length() - 1} widths"
        )
    return CNN(config, input_shape, num_classes)
