"""Metrics of single-label and multi-label classification and of regression; `trainables.tasks` says which apply."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

Direction = Literal["maximize", "minimize"]

CALIBRATION_BINS = 15
"""Equal-width confidence bins of the expected calibration error (Guo et al. 2017 use 15)."""


class Metric(NamedTuple):
    """One line of a task's metrics."""

    direction: Direction
    """Whether a higher or a lower value is better."""
    compute: Callable[[Tensor, Tensor], Float[Tensor, ""]]
    """`compute(logits, labels) -> value`, on the device of its arguments, without synchronisation."""


def accuracy(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Fraction of rows whose highest logit is the label's."""
    return (logits.argmax(dim=1) == labels).to(logits.dtype).mean()


def top5_accuracy(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Fraction of rows whose label is among the five highest logits (always 1 with five classes or fewer)."""
    highest = logits.topk(min(5, logits.shape[1]), dim=1).indices
    return (highest == labels[:, None]).any(dim=1).to(logits.dtype).mean()


def cross_entropy(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """-log softmax(logits)[label], in nats, mean over rows."""
    return functional.cross_entropy(logits, labels.long())


def macro_f1(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Mean of the classes' F1 over the classes that occur among labels or predictions."""
    f1, support, predicted = f1_by_class(logits, labels)
    occurs = ((support + predicted) > 0).to(f1.dtype)
    return (f1 * occurs).sum() / occurs.sum()


def weighted_f1(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Mean of the classes' F1, each weighted by its number of rows."""
    f1, support, _ = f1_by_class(logits, labels)
    return (f1 * support).sum() / support.sum()


def f1_by_class(
    logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]
) -> tuple[Float[Tensor, " classes"], Float[Tensor, " classes"], Float[Tensor, " classes"]]:
    """F1 = 2 TP / (labelled + predicted) of each class (0 where it never occurs), and those two counts."""
    classes = logits.shape[1]
    truth = functional.one_hot(labels.long(), classes).to(logits.dtype)
    guess = functional.one_hot(logits.argmax(dim=1), classes).to(logits.dtype)
    support, predicted = truth.sum(dim=0), guess.sum(dim=0)
    return 2 * (truth * guess).sum(dim=0) / (support + predicted).clamp(min=1), support, predicted


def ece(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Expected calibration error: sum over confidence bins of |accuracy - confidence| times the bin's share of rows.

    The confidence of a row is its highest softmax probability; 0 means perfect calibration.
    """
    confidence, guess = logits.softmax(dim=1).max(dim=1)
    excess = (guess == labels).to(logits.dtype) - confidence
    bins = (confidence * CALIBRATION_BINS).nan_to_num().long().clamp(max=CALIBRATION_BINS - 1)
    return (functional.one_hot(bins, CALIBRATION_BINS).to(logits.dtype).T @ excess).abs().sum() / len(labels)


def auc(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Area under the ROC curve, P(score of a row of the class > score of another row), ties counting one half.

    The score is the softmax probability. Two classes: of the second. More: mean over the classes, each against the
    rest; a class without rows, or with all rows, is left out. 0.5 (a guess) if no class is left.
    """
    first = 1 if logits.shape[1] == 2 else 0
    scores, order = logits.softmax(dim=1).T[first:].contiguous().sort(dim=1)
    own = labels[order] == torch.arange(first, logits.shape[1], device=labels.device)[:, None]
    inside = own.sum(dim=1)
    outside = len(labels) - inside
    below = (shared_ranks(scores) * own).sum(dim=1) - inside * (inside + 1)
    areas = below.to(logits.dtype) / (2 * inside * outside).clamp(min=1)
    known = (inside * outside > 0).to(logits.dtype)
    return torch.where(known.sum() > 0, (areas * known).sum() / known.sum().clamp(min=1), 0.5)


def shared_ranks(ordered: Float[Tensor, "lists rows"]) -> Int[Tensor, "lists rows"]:
    """Twice the rank (from 1) of each number of ascending lists; equal numbers share the mean of theirs."""
    place = torch.arange(ordered.shape[1], device=ordered.device).expand_as(ordered)
    end = torch.ones_like(ordered[:, :1], dtype=torch.bool)
    new = ordered[:, 1:] != ordered[:, :-1]
    starts = torch.where(torch.cat([end, new], dim=1), place, 0).cummax(dim=1).values
    ends = torch.where(torch.cat([new, end], dim=1), place, place.shape[1]).flip(1).cummin(dim=1).values.flip(1)
    return starts + ends + 2


def f1_micro(logits: Float[Tensor, "batch classes"], labels: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """F1 = 2 TP / (2 TP + FP + FN) over all rows and classes together; a class is predicted where sigmoid >= 0.5."""
    hits, support, predicted = multilabel_counts(logits, labels)
    return 2 * hits.sum() / (support + predicted).sum().clamp(min=1)


def f1_macro(logits: Float[Tensor, "batch classes"], labels: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """Mean over the classes of their F1; a class that is neither labelled nor predicted counts as 0, as in sklearn."""
    hits, support, predicted = multilabel_counts(logits, labels)
    return (2 * hits / (support + predicted).clamp(min=1)).mean()


def multilabel_counts(
    logits: Float[Tensor, "batch classes"], labels: Float[Tensor, "batch classes"]
) -> tuple[Float[Tensor, " classes"], Float[Tensor, " classes"], Float[Tensor, " classes"]]:
    """Of each class: rows that are labelled and predicted, labelled, predicted (sigmoid >= 0.5, that is logit >= 0)."""
    guess, truth = (logits >= 0).to(logits.dtype), labels.to(logits.dtype)
    return (truth * guess).sum(dim=0), truth.sum(dim=0), guess.sum(dim=0)


def binary_cross_entropy(
    logits: Float[Tensor, "batch classes"], labels: Float[Tensor, "batch classes"]
) -> Float[Tensor, ""]:
    """-[y ln σ(z) + (1 - y) ln(1 - σ(z))], in nats, mean over rows and classes."""
    return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))


def mse(outputs: Float[Tensor, "batch outputs"], labels: Float[Tensor, "batch outputs"]) -> Float[Tensor, ""]:
    """(y - s)^2, mean over rows and outputs."""
    return (outputs - labels.to(outputs.dtype)).square().mean()


def r2(outputs: Float[Tensor, "batch outputs"], labels: Float[Tensor, "batch outputs"]) -> Float[Tensor, ""]:
    """Explained share of the variance: 1 - sum (y - s)^2 / sum (y - mean y)^2, over rows and outputs."""
    centred = labels.to(outputs.dtype) - labels.to(outputs.dtype).mean(dim=0)
    return 1 - (outputs - labels.to(outputs.dtype)).square().sum() / centred.square().sum()


METRICS: dict[str, Metric] = {
    "accuracy": Metric("maximize", accuracy),
    "top5_accuracy": Metric("maximize", top5_accuracy),
    "macro_f1": Metric("maximize", macro_f1),
    "weighted_f1": Metric("maximize", weighted_f1),
    "auc": Metric("maximize", auc),
    "loss": Metric("minimize", cross_entropy),
    "ece": Metric("minimize", ece),
}
"""Of the task `classification`."""

MULTILABEL_METRICS: dict[str, Metric] = {
    "f1_micro": Metric("maximize", f1_micro),
    "f1_macro": Metric("maximize", f1_macro),
    "loss": Metric("minimize", binary_cross_entropy),
}
"""Of the task `multilabel`."""

REGRESSION_METRICS: dict[str, Metric] = {
    "mse": Metric("minimize", mse),
    "r2": Metric("maximize", r2),
    "loss": Metric("minimize", mse),
}
"""Of the task `regression`."""
