"""Classification metrics, the keys under which a trial logs them, and which way each is better."""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

Direction = Literal["maximize", "minimize"]

CALIBRATION_BINS = 15
"""Equal-width confidence bins of the expected calibration error (Guo et al. 2017 use 15)."""


class Metric(NamedTuple):
    """One line of `METRICS`."""

    direction: Direction
    """Whether more or less of it is better."""
    compute: Callable[[Float[Tensor, "batch classes"], Int[Tensor, " batch"]], Float[Tensor, ""]]
    """`compute(logits, labels) -> value`, on the device of its arguments, without waiting for it."""


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

    The confidence of a row is its highest softmax probability; 0 means that confidences can be taken literally.
    """
    confidence, guess = logits.softmax(dim=1).max(dim=1)
    excess = (guess == labels).to(logits.dtype) - confidence
    bins = (confidence * CALIBRATION_BINS).nan_to_num().long().clamp(max=CALIBRATION_BINS - 1)
    return (functional.one_hot(bins, CALIBRATION_BINS).to(logits.dtype).T @ excess).abs().sum() / len(labels)


METRICS: dict[str, Metric] = {
    "accuracy": Metric("maximize", accuracy),
    "top5_accuracy": Metric("maximize", top5_accuracy),
    "macro_f1": Metric("maximize", macro_f1),
    "weighted_f1": Metric("maximize", weighted_f1),
    "loss": Metric("minimize", cross_entropy),
    "ece": Metric("minimize", ece),
}


@torch.no_grad()
def evaluate(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> dict[str, float]:
    """Every metric by name, computed in float64, so that 147 of 200 is 0.735. The device is waited for once.

    Raises:
        ValueError: if there are no rows.

    """
    if not len(labels):
        raise ValueError("a metric needs at least one row, but the split is empty")
    values = torch.stack([metric.compute(logits.double(), labels) for metric in METRICS.values()])
    return dict(zip(METRICS, values.tolist(), strict=True))


def epoch_keys(terms: Iterable[str]) -> set[str]:
    """Keys that a trial logs after every epoch, for a method with these loss terms."""
    terms = tuple(terms)
    train = {f"train/loss_{term}" for term in terms} | {f"train/weight_{term}" for term in terms}
    return {"train/loss", "train/lr"} | train | {f"val/{name}" for name in METRICS}


def metric_keys(terms: Iterable[str]) -> set[str]:
    """Every key of a finished trial: those of its epochs, and `test/...`, measured once at the end."""
    return epoch_keys(terms) | {f"test/{name}" for name in METRICS}


def metric_direction(key: str) -> Direction:
    """Which way the metric logged under `key` (`val/accuracy`, `train/loss_fd`) is better.

    Raises:
        ValueError: if nothing is logged under `key`, or if it is no measure of quality (`train/lr`).

    """
    split, _, name = key.partition("/")
    if split in ("val", "test") and name in METRICS:
        return METRICS[name].direction
    if split == "train" and (name == "loss" or name.startswith("loss_")):
        return "minimize"
    raise ValueError(
        f"a metric to compare by must be `val/` or `test/` and one of {sorted(METRICS)}, or `train/loss...`, "
        f"but got {key!r}; write for example 'val/accuracy'"
    )
