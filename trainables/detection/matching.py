"""Matches predicted to true boxes by nuScenes' rule: greedy by confidence, with a threshold on the centre distance.

Predictions of a sample can only match true boxes of the same sample, so all samples are matched at once, rank by rank.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from trainables.detection.boxes import Boxes
from trainables.detection.classes import IN_RACKS, RACK, RANGES

THRESHOLDS = (0.5, 1.0, 2.0, 4.0)
"""Centre distances (metres, horizontal) below which a prediction is a match."""


class Matches(NamedTuple):
    """The predictions of one class over all samples, most confident first, and their true boxes."""

    order: tuple[Int[ndarray, " predictions"], Int[ndarray, " predictions"]]
    """Sample and place of each prediction."""
    truth: Int[ndarray, "thresholds predictions"]
    """Place of the matched true box in the same sample; -1 for a false positive."""
    positives: int
    """Number of true boxes of the class."""


def counted(boxes: Boxes, truth: Boxes) -> Boxes:
    """The boxes that count: in the range of their class, with points inside, not a bicycle or motorcycle in a rack.

    Args:
        boxes: predicted or true boxes.
        truth: true boxes of the same samples, with the racks.

    Returns:
        The same places; a box that does not count is an empty place.
    """
    limits = np.array([*RANGES, 0.0, 0.0])[boxes.classes]
    near = np.linalg.norm(boxes.centres[..., :2], axis=-1) < limits
    cycles = np.isin(boxes.classes, IN_RACKS)
    return boxes.keep(near & (boxes.points != 0) & ~(cycles & in_racks(boxes, truth)))


def in_racks(boxes: Boxes, truth: Boxes) -> Bool[ndarray, "samples boxes"]:
    """Whether the centre of each box is in a bicycle rack of its sample, borders included.

    Args:
        boxes: the boxes.
        truth: true boxes of the same samples, with the racks.
    """
    inside = np.zeros(boxes.classes.shape, dtype=bool)
    for sample, place in zip(*np.nonzero(truth.classes == RACK), strict=True):
        relative = boxes.centres[sample] - truth.centres[sample, place]
        cos, sin = np.cos(truth.yaws[sample, place]), np.sin(truth.yaws[sample, place])
        along, across = relative[:, 0] * cos + relative[:, 1] * sin, relative[:, 1] * cos - relative[:, 0] * sin
        width, length, height = truth.sizes[sample, place] / 2
        inside[sample] |= (abs(along) <= length) & (abs(across) <= width) & (abs(relative[:, 2]) <= height)
    return inside


def match(predicted: Boxes, truth: Boxes, number: int) -> Matches:
    """Match the predictions of one class; each takes the nearest true box that no earlier prediction has taken.

    Args:
        predicted: predicted boxes.
        truth: true boxes of the same samples.
        number: number of the class.

    Returns:
        The matches at each of `THRESHOLDS`.
    """
    ranked, places = gathered(predicted, number)
    _, true_places = gathered(truth, number)
    true_xy = at(truth.centres[..., :2], true_places)
    distances_to = at(predicted.centres[..., :2], places)
    free = np.broadcast_to(true_places >= 0, (len(THRESHOLDS), *true_places.shape)).copy()
    matched = np.full((len(THRESHOLDS), *places.shape), -1)
    samples = np.arange(len(places))
    for rank in range(places.shape[1] if true_places.shape[1] else 0):
        distance = np.linalg.norm(true_xy - distances_to[:, rank, None], axis=-1)
        open_distance = np.where(free, distance, np.inf)
        nearest = open_distance.argmin(axis=-1)
        smallest = np.take_along_axis(open_distance, nearest[..., None], axis=-1)[..., 0]
        hit = (smallest < np.array(THRESHOLDS)[:, None]) & (places[:, rank] >= 0)
        matched[..., rank] = np.where(hit, true_places[samples, nearest], -1)
        at_threshold, at_sample = np.nonzero(hit)
        free[at_threshold, at_sample, nearest[hit]] = False
    sample, rank = np.nonzero(places >= 0)
    confident = ranked[sample, rank]
    order = np.lexsort((-sample, -places[sample, rank], -confident))
    sample, rank = sample[order], rank[order]
    return Matches((sample, places[sample, rank]), matched[:, sample, rank], int((true_places >= 0).sum()))


def gathered(boxes: Boxes, number: int) -> tuple[ndarray, Int[ndarray, "samples found"]]:
    """Scores and places of the boxes of one class in each sample, most confident first.

    Args:
        boxes: the boxes.
        number: number of the class.

    Returns:
        Scores (-inf in unused places) and places (-1 in unused places).
    """
    in_class = boxes.classes == number
    most = int(in_class.sum(axis=1).max(initial=0))
    scores = np.where(in_class, boxes.scores, -np.inf)
    places = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    return np.take_along_axis(scores, places, 1), np.where(np.take_along_axis(in_class, places, 1), places, -1)


def at(values: ndarray, places: Int[ndarray, "samples found"]) -> ndarray:
    """Select values by place.

    Args:
        values: values (samples, boxes, d).
        places: places of each sample; -1 for an empty one.

    Returns:
        Values (samples, found, d); arbitrary for an empty place.
    """
    return np.take_along_axis(values, np.maximum(places, 0)[..., None], axis=1)
