"""Zero-shot classification: an image belongs to the class whose prompts it is most similar to (Radford et al. 2021).

Ranks follow the rule of `trainables.metrics.retrieval`: a wrong class that is as similar as the right one counts
against the network.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from trainables.metrics.classification import Metric
from trainables.metrics.retrieval import TIE


def class_embeddings(prompts: Float[Tensor, "classes templates dim"]) -> Float[Tensor, "classes dim"]:
    """The ensemble of a class's prompts: the mean of their unit vectors, of unit length again."""
    return functional.normalize(functional.normalize(prompts, dim=-1).mean(dim=1), dim=-1)


def class_ranks(
    images: Float[Tensor, "rows dim"], classes: Float[Tensor, "classes dim"], labels: Int[Tensor, " rows"]
) -> Int[Tensor, " rows"]:
    """1 + the number of wrong classes that are at least as similar to an image as its own."""
    similarities = images @ classes.T
    own = similarities.gather(1, labels[:, None].long())
    tie = TIE * images.norm(dim=1).max() * classes.norm(dim=1).max()
    wrong = similarities.scatter(1, labels[:, None].long(), -torch.inf)
    return 1 + (~(wrong < own - tie)).sum(dim=1)


def top_accuracies(
    images: Float[Tensor, "rows dim"], classes: Float[Tensor, "classes dim"], labels: Int[Tensor, " rows"]
) -> dict[str, Float[Tensor, ""]]:
    """`top1` and `top5`: fractions of the images whose class is the most similar one, or among the five most similar.

    Args:
        images: embeddings of the images.
        classes: embeddings of all classes.
        labels: class of each image.

    """
    ranks = class_ranks(images, classes, labels)
    return {f"top{most}": (ranks <= most).double().mean() for most in (1, 5)}


def zero_shot_metrics(
    logits: Float[Tensor, "rows outputs dim"], labels: Int[Tensor, " rows"]
) -> dict[str, Float[Tensor, ""]]:
    """Every metric of the task `zero_shot`, of each row's image and the single prompt of its class.

    The classes are those that occur in the rows. `loss` is the cross-entropy in nats, products being the logits.
    """
    present, own = labels.unique(return_inverse=True)
    first = torch.full_like(present, len(labels))
    first = first.scatter_reduce(0, own, torch.arange(len(labels), device=labels.device).to(first), "amin")
    images, classes = logits[:, 0], logits[first.long(), -1]
    loss = functional.cross_entropy(images @ classes.T, own)
    return top_accuracies(images, classes, own) | {"loss": loss}


def single_metric(name: str) -> Callable[[Tensor, Tensor], Float[Tensor, ""]]:
    """A function that computes one of the metrics."""
    return lambda logits, labels: zero_shot_metrics(logits, labels)[name]


ZERO_SHOT_METRICS: dict[str, Metric] = {
    "top1": Metric("maximize", single_metric("top1")),
    "top5": Metric("maximize", single_metric("top5")),
    "loss": Metric("minimize", single_metric("loss")),
}
"""Of the task `zero_shot`."""
