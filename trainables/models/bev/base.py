"""Base of the bird's-eye-view networks: blocks without batch statistics, the tap and the head."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from search_spaces.domains import Choice
from trainables.common.types import ModelOutput
from trainables.detection.boxes import channels
from trainables.models.base import Model, ModelConfig, Tap

PRIOR = 0.1
"""Probability of an object in a cell of a new network; low initial class maps stabilise the focal loss."""

GROUPS = 4
"""Largest number of groups of the group normalisation, which uses one sample only and has no parameters."""


class BEVConfig(ModelConfig):
    """Fields of both bird's-eye-view networks."""

    cells: Annotated[int, Field(ge=2)] = 32
    """Cells along each side of the features and of the head's maps; the map covers 102.4 m."""
    bev_width: Annotated[int, Field(ge=1)] = 64
    """Channels of the layers in bird's-eye view."""
    bev_blocks: Annotated[int, Field(ge=1)] = 3
    """Residual blocks in bird's-eye view."""
    feature_dim: Annotated[int, Field(ge=1), Choice((64, 128, 256))] = 128
    """Width D of the feature vector of each cell, which feature distillation compares."""
    tap: Tap = "before_relu"
    """Side of the last ReLU on which the features are taken."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout of the maps before the tap."""


class BEVModel(Model):
    """Maps in bird's-eye view -> feature_dim for each cell (the tap) -> ReLU -> boxes, class by class.

    The head is that of CenterPoint, with one linear layer for all channels: see `trainables.detection.boxes`.
    """

    def __init__(self, config: BEVConfig, num_classes: int) -> None:
        super().__init__()
        width = config.bev_width
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(config.bev_blocks)), nn.Dropout(config.dropout))
        self.tap = nn.Linear(width, config.feature_dim)
        self.head = bev_head(config.feature_dim, num_classes)
        self.after_relu = config.tap == "after_relu"

    def output(self, maps: Float[Tensor, "batch width cells cells"]) -> ModelOutput:
        """Head maps (batch, x, y, channels) and features (batch, x, y, feature_dim)."""
        tapped = self.tap(self.blocks(maps).movedim(1, -1))
        active = tapped.relu()
        return ModelOutput(self.head(active), active if self.after_relu else tapped)


class Residual(nn.Module):
    """x + convolution(ReLU(norm(convolution(ReLU(norm(x))))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            norm(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            norm(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
        )

    def forward(self, maps: Float[Tensor, "batch width height length"]) -> Tensor:
        return maps + self.layers(maps)


def norm(width: int) -> nn.GroupNorm:
    """Group normalisation without parameters."""
    return nn.GroupNorm(math.gcd(GROUPS, width), width, affine=False)


def bev_head(feature_dim: int, num_classes: int) -> nn.Linear:
    """The linear head; its class maps begin near `PRIOR`."""
    head = nn.Linear(feature_dim, channels(num_classes))
    with torch.no_grad():
        head.bias[:num_classes] += math.log(PRIOR / (1 - PRIOR))
    return head
