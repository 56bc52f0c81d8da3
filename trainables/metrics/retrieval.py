"""Retrieval between images and captions: recall at 1, 5 and 10 both ways, median ranks, the contrastive loss.

The candidates of an image are the captions of all rows; the candidates of a caption are the images of all rows. The
rank of a query is 1 + the number of *wrong* candidates that are at least as similar to it as its best right one; for an
image any of its captions is right. So a tie counts against the network: one that maps everything to a single point has
recall 0 instead of 1. Similarities closer than TIE are tied, because rounding depends on the chunks of the product, and
ranks must not.

The ranks are exact. They are computed in chunks, so the matrix of all similarities (5,000 x 25,000 for COCO) is never
formed.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trainables.metrics.classification import Metric

RECALL_AT = (1, 5, 10)

TIE = 1e-6
"""Similarities are tied if they differ by less than this share of the largest possible one. Equal captions differ by
that much after float32 rounding in networks."""

CHUNK_NUMBERS = 2**22
"""Maximum number of similarities in memory at once: 32 MB in float64."""

FOLD = 1000
"""Images in one fold of COCO's test split, which is measured in folds and as a whole."""


class Ranks(NamedTuple):
    """Ranks from 1."""

    images: Int[Tensor, " images"]
    """Rank of each image's best right caption among all captions."""
    captions: Int[Tensor, " captions"]
    """Rank of each existing caption's image among all images, row by row."""


def retrieval_ranks(
    images: Float[Tensor, "rows dim"],
    captions: Float[Tensor, "rows captions dim"],
    exists: Bool[Tensor, "rows captions"],
) -> Ranks:
    """The ranks of all images and captions, by the rule of this module.

    Args:
        images: embeddings of the images.
        captions: embeddings of the captions of each row.
        exists: captions that exist; the others are neither candidates nor queries.

    Returns:
        Ranks from 1. A similarity that is NaN counts against its query.

    """
    own = (captions @ images[:, :, None])[:, :, 0]
    best = own.masked_fill(~exists, -torch.inf).amax(dim=1)
    owner = exists.nonzero()[:, 0]
    own, candidates = own[exists], captions[exists]
    tie = TIE * images.norm(dim=1).max() * candidates.norm(dim=1).max()
    found, beaten = [], torch.zeros(len(own), dtype=torch.long, device=images.device)
    for rows in row_chunks(len(images), len(own)):
        right = owner == torch.arange(rows.start, rows.stop, device=images.device)[:, None]
        wrong = (images[rows] @ candidates.T).masked_fill(right, -torch.inf)
        found.append((~(wrong < best[rows, None] - tie)).sum(dim=1))
        beaten += (~(wrong < own - tie)).sum(dim=0)
    return Ranks(1 + torch.cat(found), 1 + beaten)


def row_chunks(rows: int, columns: int) -> Iterator[slice]:
    """The rows of a matrix in parts of at most CHUNK_NUMBERS numbers, but at least one row."""
    step = max(1, CHUNK_NUMBERS // columns)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def rank_metrics(ranks: Ranks) -> dict[str, Float[Tensor, ""]]:
    """`i2t_r1`, ..., `t2i_r10` as fractions, and the median ranks (mean of the middle two of an even number)."""
    found = {}
    for way, values in (("i2t", ranks.images), ("t2i", ranks.captions)):
        found |= {f"{way}_r{most}": (values <= most).double().mean() for most in RECALL_AT}
        found[f"{way}_median_rank"] = values.double().quantile(0.5)
    return found


def retrieval_metrics(
    logits: Float[Tensor, "rows outputs dim"], labels: Bool[Tensor, "rows captions"]
) -> dict[str, Float[Tensor, ""]]:
    """Every metric of the task `retrieval`, by name.

    Args:
        logits: outputs whose products are scaled similarities; a row's image is first, its captions are last.
        labels: captions that exist.

    """
    images, captions = logits[:, 0], logits[:, -labels.shape[1] :]
    loss = split_contrastive_loss(images, captions[:, 0])
    return rank_metrics(retrieval_ranks(images, captions, labels)) | {"loss": loss}


def fold_metrics(
    logits: Float[Tensor, "rows outputs dim"], labels: Bool[Tensor, "rows captions"], fold: int = FOLD
) -> dict[str, Float[Tensor, ""]]:
    """Means of the rank metrics over consecutive folds of images; empty if there are fewer than two complete folds.

    On COCO's 5,000 test images these are the five 1k folds.

    Args:
        logits: as for `retrieval_metrics`.
        labels: captions that exist.
        fold: images in a fold. Only captions of the same fold are candidates; rows after the last complete fold are
            left out.

    """
    starts = range(0, len(logits) - fold + 1, fold)
    if len(starts) < 2:
        return {}
    parts = [(logits[start : start + fold], labels[start : start + fold]) for start in starts]
    folds = [rank_metrics(retrieval_ranks(part[:, 0], part[:, -known.shape[1] :], known)) for part, known in parts]
    return {name: torch.stack([each[name] for each in folds]).mean() for name in folds[0]}


def split_contrastive_loss(images: Float[Tensor, "rows dim"], captions: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """½ [CE(S, diag) + CE(Sᵀ, diag)] with S = images captionsᵀ over all rows at once, the first caption of each.

    In nats; about ln(rows) for an untrained network, so splits of different sizes cannot be compared.
    """
    columns = torch.full_like(images[:, 0], -torch.inf)
    rows = []
    for chunk in row_chunks(len(images), len(captions)):
        similarities = images[chunk] @ captions.T
        rows.append(similarities.logsumexp(dim=1))
        columns = torch.logaddexp(columns, similarities.logsumexp(dim=0))
    return ((torch.cat(rows) + columns) / 2 - (images * captions).sum(dim=1)).mean()


def example_captions(rows: int, num_captions: int) -> Bool[Tensor, "rows captions"]:
    """Labels: every row has its first caption, every second row all of them."""
    exists = torch.zeros(rows, num_captions, dtype=torch.bool)
    exists[:, 0] = exists[::2] = True
    return exists


def single_metric(name: str) -> Callable[[Tensor, Tensor], Float[Tensor, ""]]:
    """A function that computes one of the metrics."""
    return lambda logits, labels: retrieval_metrics(logits, labels)[name]


RETRIEVAL_METRICS: dict[str, Metric] = {
    **{
        f"{way}_r{most}": Metric("maximize", single_metric(f"{way}_r{most}"))
        for way in ("i2t", "t2i")
        for most in RECALL_AT
    },
    **{name: Metric("minimize", single_metric(name)) for name in ("i2t_median_rank", "t2i_median_rank", "loss")},
}
"""Of the task `retrieval`: images to texts (i2t) and texts to images (t2i)."""
