"""The RAVDESS networks of the MFH repository: three convolutions, a wide linear layer (the tap), two more."""

from itertools import pairwise
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from search_spaces.domains import Choice
from trainables.common.types import ModelOutput
from trainables.models.base import Model, ModelConfig, Tap
from trainables.models.image_layers import colours

Size = Annotated[int, Field(ge=1)]
PADDING = 1


class RavdessNetConfig(ModelConfig):
    """Fields of both networks."""

    feature_dim: Annotated[int, Field(ge=1), Choice((128, 256, 512, 1024))] = 1024
    """Width D of the first linear layer, the feature tap."""
    widths: tuple[Size, Size, Size] = (32, 64, 128)
    """Channels of the three convolutions; 2 x 2 max-pooling follows the first two."""
    pooled: tuple[Size, Size] = (7, 14)
    """Height and width to which the last maps are max-pooled."""
    hidden: Size = 128
    """Width of the linear layer between the tap and the classes."""
    tap: Tap = "before_relu"
    """Side of the tap's ReLU on which the features are taken."""


class RavdessImageConfig(RavdessNetConfig):
    """picture -> three 3x3 convolutions -> feature_dim (the tap) -> hidden -> classes; 13,071,560 parameters."""

    model: Literal["ravdess_image"] = "ravdess_image"
    """RAVDESS network for pictures of 256 x 512, in ImageNet's normalisation."""
    kernels: tuple[Size, Size, Size] = (3, 3, 3)
    """Sides of the convolutions, padded by 1."""


class RavdessAudioConfig(RavdessNetConfig):
    """MFCC -> convolutions of 7, 5 and 5 -> feature_dim (the tap) -> hidden -> classes; 13,236,104 parameters."""

    model: Literal["ravdess_audio"] = "ravdess_audio"
    """RAVDESS network for 40 x 256 MFCC."""
    kernels: tuple[Size, Size, Size] = (7, 5, 5)
    """Sides of the convolutions, padded by 1."""


class RavdessNet(Model):
    """See `RavdessImageConfig` and `RavdessAudioConfig`."""

    def __init__(self, config: RavdessImageConfig | RavdessAudioConfig, channels: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(colours(channels))
        widths = (channels, *config.widths)
        for place, ((before, after), kernel) in enumerate(zip(pairwise(widths), config.kernels, strict=True)):
            pool = nn.MaxPool2d(2) if place < 2 else nn.AdaptiveMaxPool2d(config.pooled)
            self.layers.extend([nn.Conv2d(before, after, kernel, padding=PADDING), nn.ReLU(), pool])
        self.layers.append(nn.Flatten())
        self.tap = nn.Linear(widths[-1] * config.pooled[0] * config.pooled[1], config.feature_dim)
        self.head = nn.Sequential(
            nn.Linear(config.feature_dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, num_classes)
        )
        self.after_relu = config.tap == "after_relu"

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> ModelOutput:
        tapped = self.tap(self.layers(inputs))
        active = tapped.relu()
        return ModelOutput(self.head(active), active if self.after_relu else tapped)


def build_ravdess(
    config: RavdessImageConfig | RavdessAudioConfig, input_shape: tuple[int, ...], num_classes: int
) -> RavdessNet:
    """A RAVDESS network for pictures or MFCC.

    Args:
        config: the config of the network.
        input_shape: (channels, height, width).
        num_classes: number of logits.

    Raises:
        ValueError: if the input has another number of dimensions, or is too small for the convolutions.
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"model: {config.model!r} takes inputs of shape (channels, height, width), but this one has the shape "
            f"{input_shape!r}; use `model: mlp`"
        )
    side = min(input_shape[1:])
    for place, kernel in enumerate(config.kernels):
        side += 2 * PADDING + 1 - kernel
        side = side // 2 if place < 2 else side
    if side < 1:
        raise ValueError(
            f"the convolutions {config.kernels} of model: {config.model!r} have no output for an input of shape "
            f"{input_shape!r}; use smaller `kernels`"
        )
    return RavdessNet(config, input_shape[0], num_classes)
