"""The loss of a centre-based head (Zhou et al. 2019; Yin et al. 2021), and weights of cells near objects."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from trainables.detection.boxes import EXTENT, REGRESSION, cell_size, channels
from trainables.detection.classes import RACK

BOX_WEIGHT = 0.25
"""Weight of regression and attributes relative to the class maps (CenterPoint's)."""

VELOCITY_WEIGHT = 0.2
"""Weight of each velocity component within the regression (CenterPoint's)."""


def detection_loss(
    logits: Float[Tensor, "batch cells cells channels"],
    labels: Float[Tensor, "batch boxes fields"],
    labelled: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """L = focal(class maps) + 1/4 [L1(box at its centre's cell) + CE(attribute)].

    Focal as CenterNet's Eq. 1 with alpha 2, beta 4: -(1-p)^2 ln p at a centre, -(1-t)^4 p^2 ln(1-p) elsewhere, t a
    Gaussian around each centre. All parts are sums divided by the number of boxes in the labelled rows (by 1 if there
    are none); the L1 is summed over the channels. Unknown values (NaN velocity, attribute -1) are left out.

    Args:
        logits: maps of a network.
        labels: boxes of each row.
        labelled: rows that have labels.

    Returns:
        A scalar in [0, inf).

    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    num_classes = logits.shape[-1] - channels(0)
    valid = is_object(labels) & labelled[:, None]
    boxes = valid.sum().clamp(min=1)
    heat = focal(logits[..., :num_classes], class_maps(labels, valid, logits.shape[1], num_classes), labelled)
    at_centre = gather_cells(logits[..., num_classes:], centre_cells(labels, logits.shape[1]))
    box = torch.where(valid, box_distance(at_centre[..., : len(REGRESSION)], labels, logits.shape[1]), 0)
    attribute = torch.where(valid, attribute_loss(at_centre[..., len(REGRESSION) :], labels), 0)
    return (heat + BOX_WEIGHT * (box.sum() + attribute.sum())) / boxes


def object_weights(
    labels: Float[Tensor, "batch boxes fields"], labelled: Bool[Tensor, " batch"], cells: int
) -> Float[Tensor, "batch {cells} {cells}"]:
    """Weight of each cell: 1 at the centres of labelled objects, decreasing around them like the class maps.

    It restricts a feature loss to the surroundings of the true boxes ("MSE w/ GT", after BEVDistill).

    Args:
        labels: boxes of each row.
        labelled: rows that have labels.
        cells: cells along each side of the map.

    Returns:
        Weights in [0, 1]; 0 everywhere in a row without labels.
    """
    valid = is_object(labels) & labelled[:, None]
    return gaussians(labels, valid, cells).amax(dim=1)


def is_object(labels: Float[Tensor, "batch boxes fields"]) -> Bool[Tensor, "batch boxes"]:
    """Whether a row of the label is a box to detect: not padding and not a bicycle rack."""
    return (labels[..., 0] >= 0) & (labels[..., 0] < RACK)


def centre_cells(labels: Float[Tensor, "batch boxes fields"], cells: int) -> Tensor:
    """The cell of the centre of each box; the nearest cell if it is outside the map.

    Args:
        labels: boxes of each row.
        cells: cells along each side of the map.

    Returns:
        Indices (x, y), int64 (batch, boxes, 2).
    """
    return ((labels[..., 1:3] + EXTENT) / cell_size(cells)).floor().long().clamp(0, cells - 1)


def gather_cells(maps: Float[Tensor, "batch x y channels"], centres: Tensor) -> Float[Tensor, "batch boxes channels"]:
    """The channels at one cell for each box.

    Args:
        maps: maps of a network.
        centres: indices (x, y) of `centre_cells`.
    """
    place = (centres[..., 0] * maps.shape[2] + centres[..., 1])[..., None].expand(-1, -1, maps.shape[-1])
    return maps.flatten(1, 2).gather(1, place)


def gaussians(
    labels: Float[Tensor, "batch boxes fields"], valid: Bool[Tensor, "batch boxes"], cells: int
) -> Float[Tensor, "batch boxes {cells} {cells}"]:
    """exp(-d^2 / 2 sigma^2) around the cell of each centre, d in cells; exactly 1 there, 0 for boxes not in `valid`.

    sigma = (2 r + 1) / 6, where r is half the longer side of the box in cells, at least 1.

    Args:
        labels: boxes of each row.
        valid: boxes to draw.
        cells: cells along each side of the map.
    """
    radius = (labels[..., 4:6].amax(dim=-1) / 2 / cell_size(cells)).clamp(min=1)
    sigma = (2 * radius + 1) / 6
    axis = torch.arange(cells, device=labels.device)
    squared = (axis - centre_cells(labels, cells)[..., None]).square()  # (batch, boxes, 2, cells)
    distance = squared[..., 0, :, None] + squared[..., 1, None, :]
    return torch.exp(-distance / (2 * sigma.square())[..., None, None]) * valid[..., None, None]


def class_maps(
    labels: Float[Tensor, "batch boxes fields"], valid: Bool[Tensor, "batch boxes"], cells: int, num_classes: int
) -> Float[Tensor, "batch {cells} {cells} {num_classes}"]:
    """For each class the maximum of the Gaussians of its boxes.

    Args:
        labels: boxes of each row.
        valid: boxes to draw.
        cells: cells along each side of the map.
        num_classes: number of classes.

    Returns:
        Targets of the class maps in [0, 1].
    """
    bumps = gaussians(labels, valid, cells)
    classes = labels[..., 0].long().clamp(0, num_classes - 1)[..., None, None].expand_as(bumps)
    empty = bumps.new_zeros(len(labels), num_classes, cells, cells)
    return empty.scatter_reduce(1, classes, bumps, "amax").permute(0, 2, 3, 1)


def focal(
    logits: Float[Tensor, "batch x y classes"],
    targets: Float[Tensor, "batch x y classes"],
    labelled: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """CenterNet's focal loss (Zhou et al. 2019, Eq. 1), summed over classes and cells of the labelled rows.

    Args:
        logits: class maps of a network.
        targets: values of `class_maps`.
        labelled: rows that have labels.

    Returns:
        A scalar in [0, inf).
    """
    p = logits.sigmoid()
    positive = -(1 - p).square() * functional.logsigmoid(logits)
    negative = -((1 - targets) ** 4) * p.square() * functional.logsigmoid(-logits)
    return torch.where(labelled[:, None, None, None], torch.where(targets == 1, positive, negative), 0).sum()


def box_distance(
    found: Float[Tensor, "batch boxes regression"], labels: Float[Tensor, "batch boxes fields"], cells: int
) -> Float[Tensor, "batch boxes"]:
    """L1 distance of the regressed channels from their targets, summed over the channels.

    Args:
        found: the channels `REGRESSION` at the centre of each box.
        labels: boxes of each row.
        cells: cells along each side of the map.

    Returns:
        Distance of each box; velocities have the weight `VELOCITY_WEIGHT`, and unknown ones count 0.
    """
    offsets = (labels[..., 1:3] + EXTENT) / cell_size(cells) - centre_cells(labels, cells) - 0.5
    sizes, yaw = labels[..., 4:7].clamp(min=1e-3).log(), labels[..., 7:8]
    wanted = torch.cat([offsets, labels[..., 3:4], sizes, yaw.sin(), yaw.cos(), labels[..., 8:10]], dim=-1)
    known = wanted.isfinite()
    distance = torch.where(known, (found - torch.where(known, wanted, 0)).abs(), 0)
    return distance[..., :8].sum(dim=-1) + VELOCITY_WEIGHT * distance[..., 8:].sum(dim=-1)


def attribute_loss(
    logits: Float[Tensor, "batch boxes attributes"], labels: Float[Tensor, "batch boxes fields"]
) -> Float[Tensor, "batch boxes"]:
    """Cross-entropy of the attribute.

    Args:
        logits: logits of `ATTRIBUTES` at the centre of each box.
        labels: boxes of each row.

    Returns:
        Loss of each box; 0 if its attribute is unknown.
    """
    wanted = labels[..., 10].long()
    loss = functional.cross_entropy(logits.movedim(-1, 1), wanted.clamp(min=0), reduction="none")
    return torch.where(wanted >= 0, loss, 0)
