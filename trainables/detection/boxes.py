"""Boxes in labels and in the maps of a network, and the conversion of both to `Boxes`.

Boxes are in the flat ego frame: origin at the ego vehicle, x ahead, y to the left, z up, metres; a heading is a yaw.
Maps have the shape (batch, x cells, y cells, channels) and always cover `EXTENT` metres to each side.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from trainables.detection.classes import ATTRIBUTES, ATTRIBUTES_OF, CLASSES, NO_ATTRIBUTE

EXTENT = 51.2
"""Half the side in metres of the square that a map covers; it contains the range of every class."""

FIELDS = ("class", "x", "y", "z", "width", "length", "height", "yaw", "vx", "vy", "attribute", "points")
"""Columns of a label (boxes, fields). An unknown velocity is NaN, an unknown attribute -1."""

PADDING = -1
"""Class of the unused rows of a label."""

REGRESSION = ("dx", "dy", "z", "log width", "log length", "log height", "sin yaw", "cos yaw", "vx", "vy")
"""Channels after the classes: offset from the cell's centre in cells, then the box; the attributes' logits follow."""

DETECTIONS = 200
"""Largest number of boxes taken from the maps of one sample (nuScenes allows 500)."""


class Boxes(NamedTuple):
    """Boxes of several samples with the same number of places for each; `classes` is -1 in empty places."""

    classes: Int[ndarray, "samples boxes"]
    scores: Float[ndarray, "samples boxes"]
    centres: Float[ndarray, "samples boxes 3"]
    sizes: Float[ndarray, "samples boxes 3"]
    """Width, length, height."""
    yaws: Float[ndarray, "samples boxes"]
    velocities: Float[ndarray, "samples boxes 2"]
    attributes: Int[ndarray, "samples boxes"]
    points: Float[ndarray, "samples boxes"]
    """Number of LiDAR and radar points inside; true boxes without points do not count."""

    def keep(self, kept: Bool[ndarray, "samples boxes"]) -> "Boxes":
        """The boxes whose `kept` is true; the other places become empty."""
        return self._replace(classes=np.where(kept, self.classes, PADDING))


def channels(num_classes: int) -> int:
    """Number of channels of the maps of a network."""
    return num_classes + len(REGRESSION) + len(ATTRIBUTES)


def cell_size(cells: int) -> float:
    """Side of a cell in metres."""
    return 2 * EXTENT / cells


def cell_centres(cells: int) -> Float[Tensor, " cells"]:
    """Coordinate in metres of the middle of each cell along one axis."""
    return (torch.arange(cells) + 0.5) * cell_size(cells) - EXTENT


def boxes_of_labels(labels: Float[Tensor, "samples boxes fields"]) -> Boxes:
    """The boxes of the ground truth, with score 1.

    Args:
        labels: rows with the columns `FIELDS`; unused rows have the class `PADDING`.
    """
    fields = labels.double().cpu().numpy()
    classes, attributes = fields[..., 0].astype(np.int64), fields[..., 10].astype(np.int64)
    rest = fields[..., 1:4], fields[..., 4:7], fields[..., 7], fields[..., 8:10], attributes, fields[..., 11]
    return Boxes(classes, np.ones(classes.shape), *rest)


def boxes_of_maps(logits: Float[Tensor, "samples cells cells channels"], detections: int = DETECTIONS) -> Boxes:
    """The highest peaks of the class maps, each with the box of its cell.

    A peak is a cell whose eight neighbours are not higher in the same class (CenterNet's non-maximum suppression).

    Args:
        logits: maps of a network.
        detections: largest number of boxes of a sample.

    Returns:
        At most `detections` boxes for each sample, most confident first.
    """
    logits = logits.detach()
    cells, num_classes = logits.shape[1], logits.shape[-1] - channels(0)
    heat = logits[..., :num_classes].sigmoid().permute(0, 3, 1, 2)
    peaks = heat.where(heat == functional.max_pool2d(heat, 3, stride=1, padding=1), -1.0)
    scores, places = peaks.flatten(1).topk(min(detections, num_classes * cells**2), dim=1)
    classes, cell = places // cells**2, places % cells**2
    found = logits.flatten(1, 2).gather(1, cell[..., None].expand(-1, -1, logits.shape[-1]))[..., num_classes:]
    centre_cells = torch.stack([cell // cells, cell % cells], dim=-1)
    xy = (centre_cells + 0.5 + found[..., :2]) * cell_size(cells) - EXTENT
    allowed = torch.tensor([ATTRIBUTES_OF[c % len(CLASSES)] for c in range(num_classes)], device=logits.device)[classes]
    attributes = found[..., len(REGRESSION) :].masked_fill(~allowed, -torch.inf).argmax(dim=-1)
    parts = (
        classes.where(scores >= 0, PADDING),
        scores,
        torch.cat([xy, found[..., 2:3]], dim=-1),
        found[..., 3:6].clamp(-5, 5).exp(),
        torch.atan2(found[..., 6], found[..., 7]),
        found[..., 8:10],
        attributes.where(allowed.any(dim=-1), NO_ATTRIBUTE),
        torch.full_like(scores, -1),
    )
    return Boxes(*(part.cpu().numpy() for part in parts))
