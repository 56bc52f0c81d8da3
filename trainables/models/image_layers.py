"""Layers of the networks for pictures: ImageNet's colour normalisation, and the choice of normalisation layers."""

from collections.abc import Callable
from math import gcd
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's colours, for pixels in [0, 1]."""

GROUPS = 32

Norm = Literal["batch", "group"]
"""`batch` normalises over all rows of a training batch; `group` normalises each row separately."""


class ImageNetColours(nn.Module):
    """(pixels - mean) / deviation, for each channel. The constants are not part of the weights."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Float[Tensor, "*rows 3 height width"]) -> Float[Tensor, "*rows 3 height width"]:
        return (pixels - self.mean) / self.deviation


def colours(channels: int) -> nn.Module:
    """ImageNet's normalisation for colour pictures; the identity for other inputs."""
    return ImageNetColours() if channels == 3 else nn.Identity()


def norm_layer(norm: Norm, dims: Literal[2, 3] = 2) -> Callable[[int], nn.Module]:
    """The function that makes a normalisation layer for a number of channels."""
    batch = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims]
    return batch if norm == "batch" else group_norm


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with 32 groups, or fewer, so that all have the same number of channels and at least two."""
    return nn.GroupNorm(gcd(GROUPS, max(1, channels // 2)), channels)
