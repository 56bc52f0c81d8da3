"""TE1 and TE2: rewards for a student whose embeddings change from row to row in the teacher's directions.

They are proxies inspired by transfer entropy, not estimates of it: the rows of a shuffled batch are independent, so the
true transfer entropy along its order is 0. Differences Δx_i = x_{i+1} - x_i are taken along the batch after
normalisation, so adding a constant to all embeddings of a network changes nothing. The order of the rows changes the
value, unless all pairs are compared.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.losses.contrastive import EmbeddingPair

Lag = Literal[0, 1]
"""Number of rows by which the teacher precedes the student; 0 compares the same rows, as the TE study does."""
Pairs = Literal["adjacent", "all"]
"""Rows whose differences are compared: neighbours in the batch, or all pairs (a relational distillation)."""


def te1(student: EmbeddingPair, teacher: EmbeddingPair, lag: Lag = 0, pairs: Pairs = "adjacent") -> Float[Tensor, ""]:
    """TE1 = mean_i ½[cos(Δv_S_i, Δv_T_i) + cos(Δt_S_i, Δt_T_i)]: directional changes within each modality.

    For independent unit vectors with cosine c to the teacher's, it is about c.

    Args:
        student: embeddings of the student, in the teacher's dimension.
        teacher: embeddings of the teacher for the same pairs.
        lag: number of rows by which the teacher precedes the student.
        pairs: rows whose differences are compared.

    Returns:
        A value in [-1, 1] to be maximised; 1 where the student's embeddings equal the teacher's.

    Raises:
        ValueError: if the batch is too small to have a difference.

    """
    images = agreement(student.image, teacher.image, lag, pairs)
    return (images + agreement(student.text, teacher.text, lag, pairs)) / 2


def te2(student: EmbeddingPair, teacher: EmbeddingPair, lag: Lag = 0, pairs: Pairs = "adjacent") -> Float[Tensor, ""]:
    """TE2 = mean_i cos([Δv_S_i; Δt_S_i], [Δv_T_i; Δt_T_i]): changes of both modalities together.

    Args:
        student: embeddings of the student, in the teacher's dimension.
        teacher: embeddings of the teacher for the same pairs.
        lag: number of rows by which the teacher precedes the student.
        pairs: rows whose differences are compared.

    Returns:
        A value in [-1, 1] to be maximised; 1 where the student's embeddings equal the teacher's.

    Raises:
        ValueError: if the batch is too small to have a difference.

    """
    return agreement(torch.cat(student, dim=1), torch.cat(teacher, dim=1), lag, pairs)


def agreement(
    student: Float[Tensor, "batch dim"], teacher: Float[Tensor, "batch dim"], lag: Lag, pairs: Pairs
) -> Float[Tensor, ""]:
    """Mean cosine between the differences of the student's rows and those of the teacher's rows `lag` before."""
    if len(student) < lag + 2:
        raise ValueError(f"a difference with lag {lag} needs {lag + 2} rows or more, but the batch has {len(student)}")
    return AGREEMENTS[pairs](student[lag:], teacher[: len(teacher) - lag])


def adjacent_agreement(student: Float[Tensor, "rows dim"], teacher: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """Over Δx_i = x_{i+1} - x_i."""
    own, target = student.diff(dim=0), teacher.diff(dim=0)
    lengths = inverse_lengths(own.square().sum(dim=1)) * inverse_lengths(target.square().sum(dim=1))
    return ((own * target).sum(dim=1) * lengths).mean()


def all_agreement(student: Float[Tensor, "rows dim"], teacher: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """Over x_j - x_i for every i < j, computed from the rows' inner products, so that no difference is stored.

    In double precision, because a short difference is the difference of large numbers.
    """
    own, target = student.double(), teacher.double()
    lengths = inverse_lengths(difference_products(own @ own.T)) * inverse_lengths(
        difference_products(target @ target.T)
    )
    cosines = difference_products(own @ target.T) * lengths
    pairs = len(own) * (len(own) - 1) / 2
    return (cosines.triu(1).sum() / pairs).to(student.dtype)


def difference_products(products: Float[Tensor, "rows rows"]) -> Float[Tensor, "rows rows"]:
    """(a_j - a_i) · (b_j - b_i) from all a_i · b_j."""
    own = products.diagonal()
    return own[:, None] + own - products - products.T


def inverse_lengths(squares: Float[Tensor, "*pairs"]) -> Float[Tensor, "*pairs"]:
    """1 / length; 0, without a gradient, for what is shorter than SHORTEST."""
    moved = squares > SHORTEST**2
    return torch.where(moved, torch.where(moved, squares, 1).rsqrt(), 0)


SHORTEST = 1e-4
"""Shorter differences of unit vectors have cosine 0 and no gradient. Equal captions differ by rounding only; dividing
by that would give a random direction, and with the usual constant of 1e-8 a gradient of up to 1e8."""

AGREEMENTS = {"adjacent": adjacent_agreement, "all": all_agreement}
