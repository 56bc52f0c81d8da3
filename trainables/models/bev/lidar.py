"""Bird's-eye-view network for LiDAR: the compact replacement of Object-DGCNN as a teacher."""

from itertools import pairwise
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from trainables.common.types import ModelOutput
from trainables.models.bev.base import BEVConfig, BEVModel, norm


class BEVLidarConfig(BEVConfig):
    """LiDAR grid -> convolutions of stride 2 down to `cells` -> residual blocks -> features -> centre-based head.

    It has group normalisation, which uses one sample only, instead of batch normalisation.
    """

    model: Literal["bev_lidar"] = "bev_lidar"
    """Bird's-eye network over a grid of LiDAR pillars (nuScenes)."""
    stem: Annotated[int, Field(ge=1)] = 32
    """Channels of the layers before the last halving of the grid, which leads to `bev_width` channels."""


class BEVLidar(BEVModel):
    """See `BEVLidarConfig`."""

    def __init__(self, config: BEVLidarConfig, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(config, num_classes)
        halvings = (input_shape[1] // config.cells).bit_length() - 1
        widths = (config.stem,) * halvings + (config.bev_width,)
        self.grid = nn.Sequential(nn.Conv2d(input_shape[0], widths[0], kernel_size=3, padding=1))
        for before, after in pairwise(widths):
            convolution = nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1)
            self.grid.extend([norm(before), nn.ReLU(), convolution])

    def forward(self, inputs: Float[Tensor, "batch channels x y"]) -> ModelOutput:
        return self.output(self.grid(inputs))


def build_bev_lidar(config: BEVLidarConfig, input_shape: tuple[int, ...], num_classes: int) -> BEVLidar:
    """A network for LiDAR grids.

    Args:
        config: the config of the network.
        input_shape: (channels, side, side).
        num_classes: number of classes of objects.

    Raises:
        ValueError: if the shape is another one, or the side is not `cells` times a power of two.
    """
    if len(input_shape) != 3 or input_shape[1] != input_shape[2]:
        raise ValueError(
            f"model: 'bev_lidar' takes a LiDAR grid of shape (channels, side, side), but these inputs have the shape "
            f"{input_shape!r}; use it as the teacher of dataset: nuscenes with `teacher: lidar`"
        )
    ratio, rest = divmod(input_shape[1], config.cells)
    if rest or ratio < 1 or ratio & (ratio - 1):
        raise ValueError(
            f"model: 'bev_lidar' halves a grid of side {input_shape[1]} until it has `cells`, which cannot give "
            f"{config.cells}; choose cells = {input_shape[1]} divided by 1, 2, 4, 8 or another power of two"
        )
    return BEVLidar(config, input_shape, num_classes)
