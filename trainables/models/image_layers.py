"""What networks for pictures share: ImageNet's normalisation, and the choice of normalisation layers."""

from collections.abc import Callable
from math import gcd
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, for pixels in [0, 1]."""

GROUPS = 32

Norm = Literal["batch", "group"]
"""`batch` ties the rows of a training batch together; `group` normalises every row by itself."""


class ImageNetColours(nn.Module):
    """(pixels - mean) / deviation, channel by channel. The constants are no part of the weights."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Float[Tensor, "*rows 3 height width"]) -> Float[Tensor, "*rows 3 height width"]:
        return (pixels - self.mean) / self.deviation


def colours(channels: int) -> nn.Module:
    """ImageNet's normalisation for colour pictures; nothing for other inputs."""
    return ImageNetColours() if channels == 3 else nn.Identity()


def norm_layer(norm: Norm, dims: Literal[2, 3] = 2) -> Callable[[int], nn.Module]:
    """Makes a normalisation layer from a number of channels."""
    batch = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims]
    return batch if norm == "batch" else group_norm


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with 32 groups, or fewer so that each has the same channels, and two of them or more."""
    return nn.GroupNorm(gcd(GROUPS, max(1, channels // 2)), channels)
