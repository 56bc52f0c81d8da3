"""Loss functions: pure, each with its equation."""

from typing import Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


def labelled_cross_entropy(
    logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"], labelled: Bool[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Cross-entropy, mean over the labelled rows; 0 when the batch has none."""
    per_row = functional.cross_entropy(logits, labels.long(), reduction="none")
    weight = labelled.to(per_row.dtype)
    return (per_row * weight).sum() / weight.sum().clamp(min=1)


def logit_kl(
    student_logits: Float[Tensor, "batch classes"], teacher_logits: Float[Tensor, "batch classes"], temperature: float
) -> Float[Tensor, ""]:
    """T^2 KL(softmax(z_T / T) || softmax(z_S / T)), mean over rows; 0 iff the distributions match (Hinton 2015)."""
    student = functional.log_softmax(student_logits / temperature, dim=1)
    teacher = functional.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(dim=1).mean()


def feature_mse(
    student: Float[Tensor, "batch dim"], teacher: Float[Tensor, "batch dim"], reduction: Literal["mean", "sum"] = "mean"
) -> Float[Tensor, ""]:
    """||a - b||^2 (CIBA paper, Eq. 1 without its 1/2), mean over the batch; 0 iff equal.

    `reduction` says whether the feature dimensions are averaged too or summed.
    """
    squared = (student - teacher).square()
    return squared.mean() if reduction == "mean" else squared.sum(dim=1).mean()
