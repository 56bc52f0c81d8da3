"""Task losses and losses of logit and feature distillation.

All functions are pure. No control flow depends on a tensor's values, so every function also runs under
`torch.func.vmap`. Nothing is detached here: the caller decides which arguments are constants.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

Scalar = float | Float[Tensor, ""]
"""A hyperparameter: a number, or a tensor of no dimensions where trials with different values are stacked."""

Dims = int | Float[Tensor, ""] | None
"""Number of leading feature dimensions to use; None: all. A tensor where trials with different numbers are stacked."""

COSINE_EPS = 1e-8
"""Lower bound of the length that a vector is divided by. The zero vector has cosine 0 with every vector."""

WEIGHT_EPS = 1e-6
"""Lower bound of the sum of weights that is divided by. A batch without any weight has loss 0."""


def labelled_cross_entropy(
    logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"], labelled: Bool[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Cross-entropy of the class labels: -ln softmax(z)[y], the task loss.

    Args:
        logits: scores z.
        labels: classes y; those of rows that are not labelled are not used, and may be any number.
        labelled: rows that have a label.

    Returns:
        Mean over the labelled rows, in nats; 0 with zero gradient if there are none. In [0, inf).

    """
    targets = torch.where(labelled, labels, 0).long()
    per_row = functional.cross_entropy(logits, targets, reduction="none")
    return torch.where(labelled, per_row, 0).sum() / labelled.sum().clamp(min=1)


def labelled_binary_cross_entropy(
    logits: Float[Tensor, "batch classes"], labels: Float[Tensor, "batch classes"], labelled: Bool[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy of each class: -[y ln σ(z) + (1 - y) ln(1 - σ(z))], the task loss of classes that co-occur.

    Args:
        logits: scores z.
        labels: y, 0 or 1 for each class; those of rows that are not labelled are not used.
        labelled: rows that have labels.

    Returns:
        Mean over classes, then over the labelled rows, in nats; 0 with zero gradient if there are none. In [0, inf).

    """
    targets = torch.where(labelled[:, None], labels, 0).to(logits.dtype)
    per_row = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
    return torch.where(labelled, per_row, 0).sum() / labelled.sum().clamp(min=1)


def labelled_squared_error(
    outputs: Float[Tensor, "batch outputs"], labels: Float[Tensor, "batch outputs"], labelled: Bool[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Squared error of the outputs: (y - s)^2, the task loss of numbers.

    Args:
        outputs: predictions s.
        labels: y; those of rows that are not labelled are not used.
        labelled: rows that have labels.

    Returns:
        Mean over outputs, then over the labelled rows; 0 with zero gradient if there are none. In [0, inf).

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

    Args:
        logits: scaled embeddings (see `ModelOutput.logits`); the first vector of a row is the image v, the last the
            text t.
        labels: not used, because the pairing is the label.
        labelled: rows that take part; the others are no candidates either.

    Returns:
        Mean over the labelled rows, in nats; 0 with zero gradient if there are none. In [0, inf).

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

    T^2 keeps the size of the gradient: for large T it approaches the gradient of half the squared difference of centred
    logits, divided by the number of classes.

    Args:
        student: logits z_S.
        teacher: logits z_T.
        temperature: T.

    Returns:
        Sum over classes, mean over rows, in nats. In [0, inf); 0 iff the softened distributions match.

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

    Args:
        student: features b.
        teacher: features a.
        reduction: whether the dimensions are summed, as in the equation, or averaged.
        weights: of the rows in their mean; None: equal weights.
        dims: number of leading dimensions to use; None: all.

    Returns:
        Mean over rows; 0 if all weights are 0. In [0, inf); 0 iff equal.

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

    Args:
        student: features b.
        teacher: features a.
        dims: number of leading dimensions to use; None: all.

    Returns:
        Sum over dimensions, mean over rows, in nats. In [entropy of softmax(a), inf), with the minimum iff the rows
        differ by constants. So it is not 0 at equality, and it is always 0 for one dimension.

    """
    least = torch.finfo(student.dtype).min
    log_student = functional.log_softmax(keep_first(student, dims, least), dim=1)
    return -(functional.softmax(keep_first(teacher, dims, least), dim=1) * log_student).sum(dim=1).mean()


def feature_clip(
    student: Float[Tensor, "batch dim"], teacher: Float[Tensor, "batch dim"], temperature: Scalar, dims: Dims = None
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: ½[CE(S, diag) + CE(Sᵀ, diag)], S_ij = cos(b_i, a_j) / τ (Radford et al. 2021, figure 3).

    Args:
        student: features b.
        teacher: features a; row i is the partner of the student's row i.
        temperature: τ.
        dims: number of leading dimensions to use; None: all.

    Returns:
        Mean over rows, in nats. In (0, inf) for two rows or more; ln(batch) where all cosines are equal. Does not
        depend on the length of any row.

    """
    similarity = unit_rows(keep_first(student, dims)) @ unit_rows(keep_first(teacher, dims)).T / temperature
    rows = functional.log_softmax(similarity, dim=1).diagonal()
    columns = functional.log_softmax(similarity, dim=0).diagonal()
    return -(rows + columns).mean() / 2


def feature_margin(
    student: Float[Tensor, "batch dim"], teacher: Float[Tensor, "batch dim"], margin: Scalar, dims: Dims = None
) -> Float[Tensor, ""]:
    """Hinge on the cosine: max(0, m - cos(a, b)), a loose alignment after Jin et al. 2023.

    The formula of that paper was not available; this is the project's reading.

    Args:
        student: features b.
        teacher: features a.
        margin: m, the cosine above which a row has loss 0.
        dims: number of leading dimensions to use; None: all.

    Returns:
        Mean over rows. In [0, m + 1]; 0 iff each cosine reaches the margin.

    """
    return (margin - cosine(keep_first(student, dims), keep_first(teacher, dims))).relu().mean()


def keep_first(features: Float[Tensor, "batch dim"], dims: Dims, rest: float = 0.0) -> Float[Tensor, "batch dim"]:
    """The features with all dimensions after the first `dims` replaced by `rest`."""
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
