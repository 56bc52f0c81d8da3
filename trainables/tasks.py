"""Tasks: the kind of label, the loss and the metrics. Each task is one line in TASKS.

A data set names its task (`DataConfig.task`); methods and the training loop work with every task.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.common.types import Batch
from trainables.common.view_sampling import ViewSample, sample_views
from trainables.detection.loss import detection_loss, object_weights
from trainables.detection.task import DETECTION_METRICS, detection_evaluation, example_boxes
from trainables.losses.distillation import (
    labelled_binary_cross_entropy,
    labelled_contrastive,
    labelled_cross_entropy,
    labelled_squared_error,
)
from trainables.metrics.classification import METRICS, MULTILABEL_METRICS, REGRESSION_METRICS, Direction, Metric
from trainables.metrics.retrieval import RETRIEVAL_METRICS, example_captions, retrieval_metrics
from trainables.metrics.sentiment import SENTIMENT_METRICS
from trainables.metrics.zero_shot import ZERO_SHOT_METRICS, zero_shot_metrics


class Task(NamedTuple):
    """One line of `TASKS`."""

    loss: Callable[[Tensor, Tensor, Tensor], Float[Tensor, ""]]
    """`loss(logits, labels, labelled)`: mean over the labelled rows, 0 without any; ignores the other rows' labels."""
    metrics: Mapping[str, Metric]
    """By name; logged as `val/<name>` and `test/<name>`."""
    example: Callable[[int, int], Tensor]
    """`example(rows, num_classes)`: labels like those of a data set of this task, for timing runs and tests."""
    target: Literal["class", "numbers", "several"]
    """Kind of a row's label: one class, real numbers, or several answers."""
    measure: Callable[[Tensor, Tensor], dict[str, Tensor]] | None = None
    """`measure(logits, labels)`: all metrics at once, for metrics that share work; None: each is computed alone."""
    regions: Callable[[Tensor, Tensor, int], Tensor] | None = None
    """`regions(labels, labelled, cells)`: a weight for each of cells x cells places, high near labelled objects
    (`region: boxes` of the feature losses); None: labels have no places."""
    sample_views: Callable[[Batch, Tensor, torch.Generator], ViewSample] | None = None
    """`draw(train, rows, generator)`: which of their views and captions a step sees; None: rows have one input each."""
    counted: str = "class"
    """Singular noun for what `num_classes` counts."""


def example_classes(rows: int, num_classes: int) -> Tensor:
    """Classes in turn."""
    return torch.arange(rows) % num_classes


def example_multilabel(rows: int, num_classes: int) -> Tensor:
    """One class in turn, and the first in every second row."""
    labels = torch.eye(num_classes)[torch.arange(rows) % num_classes]
    labels[::2, 0] = 1
    return labels


def example_numbers(rows: int, num_classes: int) -> Tensor:
    """A wave along the rows, another for each output."""
    return torch.sin(torch.arange(rows)[:, None] + torch.arange(num_classes))


TASKS: dict[str, Task] = {
    "classification": Task(labelled_cross_entropy, METRICS, example_classes, "class"),
    "multilabel": Task(labelled_binary_cross_entropy, MULTILABEL_METRICS, example_multilabel, "several"),
    "regression": Task(labelled_squared_error, REGRESSION_METRICS, example_numbers, "numbers", counted="output"),
    "sentiment": Task(labelled_squared_error, SENTIMENT_METRICS, example_numbers, "numbers", counted="output"),
    "detection": Task(
        detection_loss, DETECTION_METRICS, example_boxes, "several", detection_evaluation, regions=object_weights
    ),
    "retrieval": Task(
        labelled_contrastive,
        RETRIEVAL_METRICS,
        example_captions,
        "several",
        retrieval_metrics,
        sample_views=sample_views,
        counted="caption",
    ),
    "zero_shot": Task(
        labelled_contrastive, ZERO_SHOT_METRICS, example_classes, "class", zero_shot_metrics, sample_views=sample_views
    ),
}
"""`labels` are int64 (batch,) for classification, float32 0/1 (batch, classes) for multilabel, float32 (batch, outputs)
for regression and sentiment (outputs instead of classes), float32 (batch, boxes, fields) for
detection, bool (batch, captions) for retrieval (which captions a row has; captions instead of classes) and
int64 (batch,) for zero_shot, whose rows have one caption, the single prompt of their class."""


@torch.no_grad()
def evaluate(task: Task, logits: Float[Tensor, " batch *outputs"], labels: Tensor) -> dict[str, float]:
    """Every metric of the task by name, computed in float64, so that 147 of 200 is 0.735. Synchronises once.

    Args:
        task: gives the metrics.
        logits: outputs of a network for all rows.
        labels: of the same rows, on the same device.

    Raises:
        ValueError: if there are no rows.

    """
    if not len(labels):
        raise ValueError("a metric needs at least one row, but the split is empty")
    return dict(zip(task.metrics, measure(task, logits, labels).tolist(), strict=True))


def measure(task: Task, logits: Float[Tensor, " batch *outputs"], labels: Tensor) -> Float[Tensor, " metrics"]:
    """Every metric of the task, in the order of `task.metrics`, float64."""
    logits = logits.double()
    if task.measure:
        measured = task.measure(logits, labels)
    else:
        measured = {name: metric.compute(logits, labels) for name, metric in task.metrics.items()}
    return torch.stack([torch.as_tensor(measured[name], dtype=torch.float64) for name in task.metrics])


def epoch_keys(task: Task, terms: Iterable[str]) -> set[str]:
    """Keys that a trial logs after every epoch, for a method with these loss terms."""
    terms = tuple(terms)
    train = {f"train/loss_{term}" for term in terms} | {f"train/weight_{term}" for term in terms}
    return {"train/loss", "train/lr"} | train | {f"val/{name}" for name in task.metrics}


DIRECTIONS: dict[str, Direction] = {
    name: metric.direction for task in TASKS.values() for name, metric in task.metrics.items()
}
"""The better direction of each metric; a name means the same in every task."""


def metric_direction(key: str) -> Direction:
    """The better direction of the metric logged under `key` (`val/accuracy`, `train/loss_fd`, `openmoji/i2t_r1`).

    Raises:
        ValueError: if no metric has this key, or if it does not measure quality (`train/lr`).

    """
    split, _, name = key.partition("/")
    if split and split != "train" and name.removeprefix("1k_").removeprefix("ensemble_") in DIRECTIONS:
        return DIRECTIONS[name.removeprefix("1k_").removeprefix("ensemble_")]
    if split == "train" and (name == "loss" or name.startswith("loss_")):
        return "minimize"
    raise ValueError(
        f"a metric to compare by must be `val/` or `test/` and one of {sorted(DIRECTIONS)}, or `train/loss...`, "
        f"but got {key!r}; write for example 'val/accuracy'"
    )
