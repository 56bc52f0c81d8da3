"""Closed forms that only tests need, as references for the results of the product."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.theory.joint_gaussian import Moments


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def optimal_student_weight(
    teacher_weight: Float[Tensor, "features teacher_dim"],
    teacher_x: Float[Tensor, "teacher_dim samples"],
    student_x: Float[Tensor, "student_dim samples"],
) -> Float[Tensor, "features student_dim"]:
    """The student weight to which feature distillation converges: W* = W' X' Xᵀ (X Xᵀ)⁻¹ (Lemma 1, Eq. 2).

    Xᵀ (X Xᵀ)⁻¹ is taken as the pseudo-inverse of X: the same if X has full row rank, which the lemma requires, and
    otherwise the limit of gradient descent from zero.
    """
    return teacher_weight @ teacher_x @ torch.linalg.pinv(student_x)


def first_slope(moments: Moments, n: int, p: int) -> Float[Tensor, "..."]:
    """d excess_risk / d lambda at lambda = 0: 2 p / (n - p - 1) (c - Var(y | x2)).

    Distillation with a small weight helps iff it is negative. The criterion (with Var t <= Var y) implies
    c < Var(y | x2), and the converse is false: it is sufficient for a gain at small lambda, but not necessary.
    """
    return 2 * p / (n - p - 1) * (moments.cov - moments.var_y)


def largest_useful_lambda(tau: Float[Tensor, "..."], sigma: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Distillation from the teacher beta'x1 helps iff lambda is below this: 2 sigma^2 / (tau^2 - sigma^2).

    Infinite for tau <= sigma, the region of the criterion. It does not depend on gamma, n or p.
    """
    lambda_kd = 2 * sigma**2 / (tau**2 - sigma**2)
    return torch.where(tau <= sigma, torch.inf, lambda_kd)
