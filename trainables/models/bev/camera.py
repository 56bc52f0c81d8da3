"""Bird's-eye-view network for six cameras: the compact replacement of BEVFormer as a student."""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trainables.common.types import ModelOutput
from trainables.detection.boxes import cell_centres
from trainables.detection.projection_pixels import decode_projections
from trainables.models.bev.base import BEVConfig, BEVModel, norm

NEAREST = 0.5
"""Smallest distance in metres at which a camera sees a point in front of it."""


class BEVCameraConfig(BEVConfig):
    """images -> convolutions of stride 2 -> lift to bird's-eye view -> residual blocks -> features.

    The lift projects the middle of each cell, at each of `heights`, into every camera with the sample's calibration,
    interpolates the image features there bilinearly, and averages over the cameras that see the point.
    """

    model: Literal["bev_camera"] = "bev_camera"
    """Bird's-eye network over surround-view cameras (nuScenes)."""
    widths: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (32, 64, 64)
    """Channels of the image layers; each halves the image."""
    heights: Annotated[tuple[float, ...], Field(min_length=1)] = (0.0, 0.75, 1.5, 2.5)
    """Heights above the ground (metres) at which a cell is projected into the images."""


class BEVCamera(BEVModel):
    """See `BEVCameraConfig`."""

    def __init__(self, config: BEVCameraConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        self.cells, self.heights = config.cells, config.heights
        self.images = nn.Sequential()
        for before, after in pairwise((3, *config.widths)):
            self.images.extend([nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1), norm(after), nn.ReLU()])
        self.lifted = nn.Conv2d(config.widths[-1] * len(config.heights), config.bev_width, kernel_size=1)

    def forward(self, inputs: Float[Tensor, "batch cameras 3 rows width"]) -> ModelOutput:
        matrices = decode_projections(inputs[..., -1, :])
        maps = self.images(inputs[..., :-1, :].flatten(0, 1) - 0.5)
        places, seen = project(matrices, voxels(self.cells, self.heights).to(inputs))
        found = functional.grid_sample(maps, places.flatten(0, 1), align_corners=False)
        found = found.unflatten(0, inputs.shape[:2])  # (batch, cameras, width, heights, cells * cells)
        weights = seen.to(found.dtype)[:, :, None]
        mean = (found * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return self.output(self.lifted(mean.flatten(1, 2).unflatten(-1, (self.cells, self.cells))))


def voxels(cells: int, heights: tuple[float, ...]) -> Float[Tensor, "heights places 4"]:
    """The points of the cells that are projected into the images.

    Args:
        cells: cells along each side of the map.
        heights: heights above the ground in metres.

    Returns:
        Homogeneous points (x, y, z, 1) in metres; the places are x-major.
    """
    axis = cell_centres(cells)
    grid = torch.meshgrid(torch.tensor(heights), axis, axis, indexing="ij")
    z, x, y = (part.flatten(1) for part in grid)
    return torch.stack([x, y, z, torch.ones_like(x)], dim=-1)


def project(
    matrices: Float[Tensor, "batch cameras 3 4"], points: Float[Tensor, "heights places 4"]
) -> tuple[Float[Tensor, "batch cameras heights places 2"], Bool[Tensor, "batch cameras heights places"]]:
    """Project points into the images.

    Args:
        matrices: projections from the flat ego frame to the images.
        points: homogeneous points in the flat ego frame.

    Returns:
        Positions in each image, from -1 to 1 between the borders, and whether the camera sees the point.
    """
    u, v, depth = torch.einsum("bcij,hpj->ibchp", matrices, points).unbind(0)
    places = torch.stack([u, v], dim=-1) / depth.clamp(min=NEAREST)[..., None]
    seen = (depth > NEAREST) & ((places > 0) & (places < 1)).all(dim=-1)
    return (2 * places - 1).clamp(-2, 2), seen


def build_bev_camera(config: BEVCameraConfig, input_shape: tuple[int, ...], num_classes: int) -> BEVCamera:
    """A network for images whose last row of pixels is the calibration.

    Args:
        config: the config of the network.
        input_shape: (cameras, 3, height + 1, width).
        num_classes: number of classes of objects.

    Raises:
        ValueError: if the shape is another one, or the images are too small for the number of layers.
    """
    if len(input_shape) != 4 or input_shape[1] != 3:
        raise ValueError(
            f"model: 'bev_camera' takes images of shape (cameras, 3, height + 1, width), but these inputs have the "
            f"shape {input_shape!r}; use it as the student of dataset: nuscenes"
        )
    side = min(input_shape[2] - 1, input_shape[3])
    if side < 2 ** len(config.widths):
        raise ValueError(
            f"each image layer of model: 'bev_camera' halves the image, so {len(config.widths)} layers need a side of "
            f"{2 ** len(config.widths)} pixels, but the images have the shape {input_shape!r}; give fewer widths"
        )
    return BEVCamera(config, num_classes)
