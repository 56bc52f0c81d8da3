"""TE1 and TE2: rewards for a student whose embeddings change from row to row in the teacher's directions.

Proxies inspired by transfer entropy, not estimates of it: a shuffled batch is drawn independently row by row, so the
true transfer entropy along its order is 0. Differences are taken along the batch after normalisation,
Δx_i = x_{i+1} - x_i, so a constant added to all of a network's embeddings changes nothing. The order of the rows does,
unless all pairs are compared.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.contrastive import Embedded
from trainables.losses import cosine

Lag = Literal[0, 1]
"""Rows by which the teacher precedes the student; 0 compares the same rows, as the study does."""
Pairs = Literal["adjacent", "all"]
"""Rows whose differences are compared: neighbours in the batch, or every two (a relational distillation)."""


def te1(student: Embedded, teacher: Embedded, lag: Lag = 0, pairs: Pairs = "adjacent") -> Float[Tensor, ""]:
    """TE1 = mean_i ½[cos(Δv_S_i, Δv_T_i) + cos(Δt_S_i, Δt_T_i)]: directional changes within each modality.

    In [-1, 1], to be maximised; 1 where the student's embeddings are the teacher's. For independent unit vectors at
    a pointwise cosine c to the teacher's it is about c.

    Raises:
        ValueError: if the batch is too small to have a difference.

    """
    images = cosine(*aligned(student.image, teacher.image, lag, pairs))
    texts = cosine(*aligned(student.text, teacher.text, lag, pairs))
    return (images + texts).mean() / 2


def te2(student: Embedded, teacher: Embedded, lag: Lag = 0, pairs: Pairs = "adjacent") -> Float[Tensor, ""]:
    """TE2 = mean_i cos([Δv_S_i; Δt_S_i], [Δv_T_i; Δt_T_i]): changes of both modalities together.

    In [-1, 1], to be maximised; 1 where the student's embeddings are the teacher's.

    Raises:
        ValueError: if the batch is too small to have a difference.

    """
    own, target = torch.cat(student, dim=1), torch.cat(teacher, dim=1)
    return cosine(*aligned(own, target, lag, pairs)).mean()


def aligned(
    student: Float[Tensor, "batch dim"], teacher: Float[Tensor, "batch dim"], lag: Lag, pairs: Pairs
) -> tuple[Float[Tensor, "pairs dim"], Float[Tensor, "pairs dim"]]:
    """Differences of the student's rows, and those of the teacher's rows `lag` before.

    Every row is followed by batch - 1 - lag neighbours; of all pairs there are as many as two rows can be chosen.
    """
    if len(student) < lag + 2:
        raise ValueError(f"a difference with lag {lag} needs {lag + 2} rows or more, but the batch has {len(student)}")
    return DIFFERENCES[pairs](student[lag:]), DIFFERENCES[pairs](teacher[: len(teacher) - lag])


def adjacent_differences(rows: Float[Tensor, "batch dim"]) -> Float[Tensor, "pairs dim"]:
    """Δx_i = x_{i+1} - x_i."""
    return rows[1:] - rows[:-1]


def all_differences(rows: Float[Tensor, "batch dim"]) -> Float[Tensor, "pairs dim"]:
    """x_j - x_i for every i < j: batch² / 2 vectors, where neighbours are batch."""
    first, second = torch.triu_indices(len(rows), len(rows), 1, device=rows.device)
    return rows[second] - rows[first]


DIFFERENCES = {"adjacent": adjacent_differences, "all": all_differences}
