"""Metrics of sentiments from -3 to 3, as CMU-MOSEI is reported; `trainables.tasks` says which apply.

The definitions are those of MMSA: predictions are clipped to the range of the classes and rounded (halves to even).
"""

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainables.metrics.classification import Metric, mse

Numbers = Float[Tensor, "batch outputs"]


def mae(outputs: Numbers, labels: Numbers) -> Float[Tensor, ""]:
    """|y - s|, mean over rows."""
    return (outputs - labels).abs().mean()


def pearson(outputs: Numbers, labels: Numbers) -> Float[Tensor, ""]:
    """Pearson's correlation of predictions and labels; 0 where one of them is constant."""
    first, second = outputs - outputs.mean(), labels.to(outputs.dtype) - labels.to(outputs.dtype).mean()
    norm = (first.square().sum() * second.square().sum()).sqrt()
    return torch.where(norm > 0, (first * second).sum() / norm.clamp(min=torch.finfo(norm.dtype).tiny), 0)


def rounded_accuracy(outputs: Numbers, labels: Numbers, most: int) -> Float[Tensor, ""]:
    """Fraction of rows whose predicted and true number round to the same of -most ... most."""
    guess, truth = (numbers.clamp(-most, most).round() for numbers in (outputs, labels.to(outputs.dtype)))
    return (guess == truth).to(outputs.dtype).mean()


def sign_accuracy(outputs: Numbers, labels: Numbers) -> Float[Tensor, ""]:
    """Acc-2: fraction of rows that are correctly predicted as negative or not (0 is not negative)."""
    return ((outputs >= 0) == (labels >= 0)).to(outputs.dtype).mean()


def sign_accuracy_nonzero(outputs: Numbers, labels: Numbers) -> Float[Tensor, ""]:
    """Acc-2 of the rows whose label is not 0: positive against negative; 0 without such a row."""
    right, counted = (outputs > 0) == (labels > 0), labels != 0
    return (right & counted).sum().to(outputs.dtype) / counted.sum().clamp(min=1)


def sign_f1(outputs: Numbers, labels: Numbers) -> Float[Tensor, ""]:
    """Weighted F1 of negative against not negative."""
    return weighted_f1_of(outputs >= 0, labels >= 0, torch.ones_like(labels, dtype=torch.bool))


def sign_f1_nonzero(outputs: Numbers, labels: Numbers) -> Float[Tensor, ""]:
    """Weighted F1 of positive against negative, of the rows whose label is not 0; 0 without such a row."""
    return weighted_f1_of(outputs > 0, labels > 0, labels != 0)


def weighted_f1_of(
    guess: Bool[Tensor, "batch outputs"], truth: Bool[Tensor, "batch outputs"], counted: Bool[Tensor, "batch outputs"]
) -> Float[Tensor, ""]:
    """F1 of both answers, each weighted by its number of counted rows."""
    total = torch.zeros((), dtype=torch.float64, device=guess.device)
    for answer in (True, False):
        said, true = (guess == answer) & counted, (truth == answer) & counted
        both, support = (said & true).sum(), true.sum()
        total = total + 2 * support.double() * both / (said.sum() + support).clamp(min=1)
    return total / counted.sum().clamp(min=1)


SENTIMENT_METRICS: dict[str, Metric] = {
    "mae": Metric("minimize", mae),
    "pearson": Metric("maximize", pearson),
    "acc7": Metric("maximize", partial(rounded_accuracy, most=3)),
    "acc5": Metric("maximize", partial(rounded_accuracy, most=2)),
    "acc2": Metric("maximize", sign_accuracy),
    "acc2_nonzero": Metric("maximize", sign_accuracy_nonzero),
    "f1": Metric("maximize", sign_f1),
    "f1_nonzero": Metric("maximize", sign_f1_nonzero),
    "mse": Metric("minimize", mse),
    "loss": Metric("minimize", mse),
}
"""Of the task `sentiment`."""
