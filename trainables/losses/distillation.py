"""Loss functions: pure, each with its equation.

No control flow depends on a tensor's values, so every function also runs under `torch.func.vmap`. Nothing is
detached here: who calls decides what is a constant.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

Scalar = float | Float[Tensor, ""]
"""A hyperparameter: a number, or a tensor of no dimensions where trials with different values are stacked."""

Dims = int | Float[Tensor, ""] | None
"""How many of the first feature dimensions count (None: all), where trials with different numbers are stacked."""

COSINE_EPS = 1e-8
"""Shortest length that a vector is divided by: the zero vector has cosine 0 with every vector."""

WEIGHT_EPS = 1e-6
"""Least sum of weights that is divided by: a batch without any weight has loss 0."""


def labelled_cross_entropy(
    logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"], labelled: Bool[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Cross-entropy of the class labels: -ln softmax(z)[y], the task loss.

    Mean over the labelled rows; 0 with zero gradient when the batch has none. In [0, inf). The labels of the other
    rows are never looked at, and may be any number.
    """
    targets = torch.where(labelled, labels, 0).long()
    per_row = functional.cross_entropy(logits, targets, reduction="none")
    return torch.where(labelled, per_row, 0).sum() / labelled.sum().clamp(min=1)


def labelled_binary_cross_entropy(
    logits: Float[Tensor, "batch classes"], labels: Float[Tensor, "batch classes"], labelled: Bool[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy of each class: -[y ln σ(z) + (1 - y) ln(1 - σ(z))], the task loss of classes that co-occur.

    Mean over classes, then over the labelled rows; 0 with zero gradient when the batch has none. In [0, inf). The
    labels of the other rows are never looked at.
    """
    targets = torch.where(labelled[:, None], labels, 0).to(logits.dtype)
    per_row = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
    return torch.where(labelled, per_row, 0).sum() / labelled.sum().clamp(min=1)


def labelled_squared_error(
    outputs: Float[Tensor, "batch outputs"], labels: Float[Tensor, "batch outputs"], labelled: Bool[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Squared error of the outputs: (y - s)^2, the task loss of numbers.

    Mean over outputs, then over the labelled rows; 0 with zero gradient when the batch has none. In [0, inf). The
    labels of the other rows are never looked at.
    """
    targets = torch.where(labelled[:, None], labels, 0).to(outputs.dtype)
    per_row = (outputs - targets).square().mean(dim=1)
    return torch.where(labelled, per_row, 0).sum() / labelled.sum().clamp(min=1)


def labelled_contrastive(
    logits: Float[Tensor, "batch several dim"],
    labels: Shaped[Tensor, " batch *target"],
    labelled: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """CLIP's loss: ½[CE(S, diag) + CE(Sᵀ, diag)], S_ij = v_i · t_j (Radford et al. 2021, figure 3), the task loss.

    Of each row the first vector is its image v, the last its text t; they are scaled already (see
    `ModelOutput.logits`). The labelled rows are each other's only candidates; mean over them, 0 with zero gradient when
    the batch has none. In [0, inf). The pairing is the label, so `labels` is not looked at.
    """
    similarity = logits[:, 0] @ logits[:, -1].T
    known = similarity.masked_fill(~(labelled[:, None] & labelled), torch.finfo(similarity.dtype).min)
    rows = functional.log_softmax(known, dim=1).diagonal()
    columns = functional.log_softmax(known, dim=0).diagonal()
    return -torch.where(labelled, rows + columns, 0).sum() / (2 * labelled.sum().clamp(min=1))


def logit_kl(
    student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"], temperature: Scalar
) -> Float[Tensor, ""]:
    """Softened KL of the logits: T^2 KL(softmax(z_T / T) || softmax(z_S / T)) (Hinton et al. 2015, section 2).

    Sum over classes, mean over rows. In [0, inf); 0 iff the softened distributions match. T^2 keeps the gradient's
    size: for large T it tends to that of half the squared difference of centred logits, divided by the classes.
    """
    log_student = functional.log_softmax(student / temperature, dim=1)
    log_teacher = functional.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * (log_teacher.exp() * (log_teacher - log_student)).sum(dim=1).mean()


def feature_mse(
    student: Float[Tensor, "batch dim"],
    teacher: Float[Tensor, "batch dim"],
    reduction: Literal["mean", "sum"] = "mean",
    weights: Float[Tensor, " batch"] | None = None,
    dims: Dims = None,
) -> Float[Tensor, ""]:
    """Squared distance of the features: ||a - b||^2 (CIBA paper, Eq. 1 without its 1/2).

    Mean over rows; `reduction` says whether the dimensions are summed, as the equation writes, or averaged too. With
    `weights` the mean over rows is weighted (0 if all weights are 0). In [0, inf); 0 iff equal.
    """
    squared = keep_first(student - teacher, dims).square()
    counted = 1 if dims is None or reduction == "sum" else squared.shape[1] / dims
    if weights is not None:
        rows = squared.mean(dim=1) if reduction == "mean" else squared.sum(dim=1)
        return (weights * rows).sum() / weights.sum().clamp(min=WEIGHT_EPS) * counted
    return (squared.mean() if reduction == "mean" else squared.sum(dim=1).mean()) * counted


def feature_cross_entropy(
    student: Float[Tensor, "batch dim"], teacher: Float[Tensor, "batch dim"], dims: Dims = None
) -> Float[Tensor, ""]:
    """Cross-entropy of the features, read as logits: -Σ softmax(a) ln softmax(b) (CIBA paper, appendix E.5).

    Here a is the teacher. Sum over dimensions, mean over rows. In [entropy of softmax(a), inf), the lower end iff the
    rows differ by constants; so it is not 0 at equality, and a one-dimensional feature always gives 0.
    """
    least = torch.finfo(student.dtype).min
    log_student = functional.log_softmax(keep_first(student, dims, least), dim=1)
    return -(functional.softmax(keep_first(teacher, dims, least), dim=1) * log_student).sum(dim=1).mean()


def feature_clip(
    student: Float[Tensor, "batch dim"], teacher: Float[Tensor, "batch dim"], temperature: Scalar, dims: Dims = None
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: ½[CE(S, diag) + CE(Sᵀ, diag)], S_ij = cos(b_i, a_j) / τ (Radford et al. 2021, figure 3).

    Each row must pick out its own partner among the batch. Mean over rows. In (0, inf) for two rows or more, ln(batch)
    where all cosines are equal; unchanged by the length of any row.
    """
    similarity = unit_rows(keep_first(student, dims)) @ unit_rows(keep_first(teacher, dims)).T / temperature
    rows = functional.log_softmax(similarity, dim=1).diagonal()
    columns = functional.log_softmax(similarity, dim=0).diagonal()
    return -(rows + columns).mean() / 2


def feature_margin(
    student: Float[Tensor, "batch dim"], teacher: Float[Tensor, "batch dim"], margin: Scalar, dims: Dims = None
) -> Float[Tensor, ""]:
    """Hinge on the cosine: max(0, m - cos(a, b)), a loose alignment after Jin et al. 2023.

    That paper's formula could not be had; this is the project's reading. Mean over rows. In [0, m + 1]; 0 iff each
    cosine reaches the margin.
    """
    return (margin - cosine(keep_first(student, dims), keep_first(teacher, dims))).relu().mean()


def keep_first(features: Float[Tensor, "batch dim"], dims: Dims, rest: float = 0.0) -> Float[Tensor, "batch dim"]:
    """The features with `rest` in the place of all dimensions after the first `dims`."""
    if dims is None:
        return features
    return torch.where(torch.arange(features.shape[1], device=features.device) < dims, features, rest)


def standard_normal_kl(mean: Float[Tensor, "batch dim"], log_variance: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
    """KL(N(μ, σ²) || N(0, 1)) = ½ Σ (μ² + σ² - 1 - ln σ²) (CIBA paper, Algorithm 1, line 9).

    Sum over dimensions, mean over rows. In [0, inf); 0 iff μ = 0 and σ = 1.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2


def cosine(a: Float[Tensor, "batch dim"], b: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
    """Cosine of the angle between rows, in [-1, 1]; 0 where a row is zero."""
    return (unit_rows(a) * unit_rows(b)).sum(dim=1)


def unit_rows(features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    """Each row divided by its Euclidean length; a zero row stays zero, with a finite gradient."""
    return functional.normalize(features, dim=1, eps=COSINE_EPS)
