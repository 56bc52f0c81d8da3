"""The nuScenes detection score: NDS = [5 mAP + sum of max(0, 1 - error)] / 10 over five errors (Caesar 2020, Eq. 3)."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from trainables.detection.boxes import Boxes, boxes_of_labels, boxes_of_maps
from trainables.detection.classes import CLASSES, HALF_TURN, NO_ATTRIBUTE, UNDEFINED
from trainables.detection.matching import THRESHOLDS, Matches, counted, match

MIN_RECALL, MIN_PRECISION = 0.1, 0.1
"""Average precision and errors ignore lower recalls and precisions, which are noise."""

ERRORS = ("mate", "mase", "maoe", "mave", "maae")
"""Mean errors of true positives: translation (m), scale (1 - IoU), orientation (rad), velocity (m/s), attribute."""

ERROR_THRESHOLD = THRESHOLDS.index(2.0)
"""The errors are computed from the matches at 2 m."""

RECALLS = np.linspace(0, 1, 101)


class Curve(NamedTuple):
    """Precision and confidence of one class at one threshold, as functions of `RECALLS`."""

    precision: Float[ndarray, " 101"]
    confidence: Float[ndarray, " 101"]


def detection_metrics(logits: Float[Tensor, "samples x y channels"], labels: Tensor) -> dict[str, Tensor]:
    """`nds`, `map` and the five errors of the maps of a network.

    Args:
        logits: maps of a network.
        labels: true boxes (samples, boxes, fields).

    Returns:
        Float64 scalars by metric name.
    """
    scores = detection_scores(boxes_of_maps(logits), boxes_of_labels(labels))
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in scores.items()}


def detection_scores(predicted: Boxes, truth: Boxes) -> dict[str, float]:
    """`nds`, `map` and the five errors of predicted boxes; predicted and true boxes are in the flat ego frame.

    A class without true boxes, or without a match, has precision 0 and errors 1.

    Args:
        predicted: predicted boxes.
        truth: true boxes of the same samples.

    Returns:
        Values by metric name.
    """
    true, guessed = counted(truth, truth), counted(predicted, truth)
    precisions: list[float] = []
    errors: dict[str, list[float]] = {name: [] for name in ERRORS}
    for number in range(len(CLASSES)):
        matches = match(guessed, true, number)
        scores = guessed.scores[matches.order]
        precisions += [average_precision(matches, scores, t) for t in range(len(THRESHOLDS))]
        found = class_errors(matches, guessed, true, number)
        for name in ERRORS:
            if number not in UNDEFINED.get(name, ()):
                errors[name].append(found[name])
    return score(float(np.mean(precisions)), {name: float(np.mean(values)) for name, values in errors.items()})


def score(mean_precision: float, errors: dict[str, float]) -> dict[str, float]:
    """NDS, and with it the mean average precision and the five mean errors from which it is computed."""
    parts = [max(0.0, 1 - error) for error in errors.values()]
    return {"nds": (5 * mean_precision + sum(parts)) / 10, "map": mean_precision, **errors}


def curve(matches: Matches, scores: Float[ndarray, " predictions"], threshold: int) -> Curve | None:
    """Precision and confidence over recall; None if there is no match.

    Args:
        matches: matches of a class.
        scores: confidences of its predictions, highest first.
        threshold: index in `THRESHOLDS`.
    """
    hit = matches.truth[threshold] >= 0
    if not hit.any():
        return None
    right, wrong = np.cumsum(hit).astype(float), np.cumsum(~hit).astype(float)
    recall = right / matches.positives
    precision = np.interp(RECALLS, recall, right / (right + wrong), right=0)
    return Curve(precision, np.interp(RECALLS, recall, scores, right=0))


def average_precision(matches: Matches, scores: Float[ndarray, " predictions"], threshold: int) -> float:
    """Area under the part of the precision-recall curve above .1 in both, scaled to [0, 1].

    Args:
        matches: matches of a class.
        scores: confidences of its predictions, highest first.
        threshold: index in `THRESHOLDS`.
    """
    found = curve(matches, scores, threshold)
    if found is None:
        return 0.0
    above = found.precision[round(100 * MIN_RECALL) + 1 :] - MIN_PRECISION
    return float(above.clip(min=0).mean() / (1 - MIN_PRECISION))


def class_errors(matches: Matches, predicted: Boxes, truth: Boxes, number: int) -> dict[str, float]:
    """The five errors of one class: the mean over recalls above .1 of the running mean of each error over the matches.

    Args:
        matches: matches of the class.
        predicted: predicted boxes.
        truth: true boxes.
        number: number of the class.

    """
    scores = predicted.scores[matches.order]
    found = curve(matches, scores, ERROR_THRESHOLD)
    last = 0 if found is None or not found.confidence.any() else int(np.flatnonzero(found.confidence)[-1])
    first = round(100 * MIN_RECALL) + 1
    if found is None or last < first:
        return dict.fromkeys(ERRORS, 1.0)
    partner = matches.truth[ERROR_THRESHOLD]
    hit = partner >= 0
    sample, place = (part[hit] for part in matches.order)
    raw = errors_of_pairs(predicted, (sample, place), truth, (sample, partner[hit]), number)
    grid = found.confidence[::-1], scores[hit][::-1]
    over_recall = {name: np.interp(*grid, running_mean(values)[::-1])[::-1] for name, values in raw.items()}
    return {name: float(values[first : last + 1].mean()) for name, values in over_recall.items()}


def errors_of_pairs(
    predicted: Boxes,
    mine: tuple[ndarray, ndarray],
    truth: Boxes,
    theirs: tuple[ndarray, ndarray],
    number: int,
) -> dict[str, Float[ndarray, " pairs"]]:
    """The five errors of each matched pair; NaN where the truth is unknown.

    Args:
        predicted: predicted boxes.
        mine: sample and place of the predicted box of each pair.
        truth: true boxes.
        theirs: sample and place of the true box of each pair.
        number: number of the class.

    """
    period = np.pi if number in HALF_TURN else 2 * np.pi
    turned = np.mod(truth.yaws[theirs] - predicted.yaws[mine] + period / 2, period) - period / 2
    smaller = np.minimum(predicted.sizes[mine], truth.sizes[theirs]).prod(axis=-1)
    volumes = predicted.sizes[mine].prod(axis=-1) + truth.sizes[theirs].prod(axis=-1)
    wanted = truth.attributes[theirs]
    wrong = (predicted.attributes[mine] != wanted).astype(float)
    return {
        "mate": np.linalg.norm((predicted.centres[mine] - truth.centres[theirs])[:, :2], axis=-1),
        "mase": 1 - smaller / (volumes - smaller),
        "maoe": abs(turned),
        "mave": np.linalg.norm(predicted.velocities[mine] - truth.velocities[theirs], axis=-1),
        "maae": np.where(wanted == NO_ATTRIBUTE, np.nan, wrong),
    }


def running_mean(values: Float[ndarray, " pairs"]) -> Float[ndarray, " pairs"]:
    """Mean of the known values up to each position; 0 before the first known value, and 1 if all are unknown."""
    known = ~np.isnan(values)
    if not known.any():
        return np.ones(len(values))
    counts = np.cumsum(known)
    return np.divide(np.nancumsum(values), counts, out=np.zeros(len(values)), where=counts > 0)
