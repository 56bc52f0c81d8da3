"""Detection in the table of tasks: its metrics, and example labels for measuring costs."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.detection.boxes import FIELDS, PADDING
from trainables.detection.loss import detection_loss
from trainables.detection.nds import ERRORS, detection_metrics
from trainables.metrics.classification import Metric


def detection_evaluation(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """All metrics of the task, which share the matching.

    Args:
        logits: maps of a network (samples, cells, cells, channels).
        labels: true boxes (samples, boxes, fields).

    Returns:
        Scalars by metric name, on the device of `logits`.
    """
    everything = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    measured = detection_metrics(logits, labels) | {"loss": detection_loss(logits, labels, everything)}
    return {name: value.to(logits.device) for name, value in measured.items()}


def single_metric(name: str) -> Callable[[Tensor, Tensor], Float[Tensor, ""]]:
    """The function that computes one metric."""
    return lambda logits, labels: detection_evaluation(logits, labels)[name]


DETECTION_METRICS = {name: Metric("maximize", single_metric(name)) for name in ("nds", "map")}
DETECTION_METRICS |= {name: Metric("minimize", single_metric(name)) for name in (*ERRORS, "loss")}
"""nuScenes' detection score, its parts, and the loss of the task."""


def example_boxes(rows: int, num_classes: int) -> Float[Tensor, "{rows} boxes fields"]:
    """Labels for measuring costs: two boxes and an empty place in each sample; the classes are used in turn.

    Args:
        rows: number of samples.
        num_classes: number of classes.

    Returns:
        Labels with the columns `FIELDS`.
    """
    labels = torch.zeros(rows, 3, len(FIELDS))
    number = torch.arange(2 * rows).reshape(rows, 2)
    labels[:, :2, 0] = number % num_classes
    labels[:, :2, 1] = number % 7 * 5.0 - 15
    labels[:, :2, 2] = number % 5 * 5.0 - 10
    labels[:, :2, 4:7] = torch.tensor([1.9, 4.5, 1.7])
    labels[:, :2, 7] = number % 3
    labels[:, :2, 10] = 5
    labels[:, :2, 11] = 10
    labels[:, 2, 0] = PADDING
    return labels
