"""Dimensional collapse of linear feature distillation (CIBA paper, sections 3.3 and 3.4, appendix B).

As in the paper, samples are columns: x' is (teacher_dim, samples), x is (student_dim, samples), and W', W map them to
features. Data are completely separated with D_g shared dimensions if x' = [G; S'], x = [G; S], where G is the first
D_g rows and the rows of G, S and S' are mutually orthogonal. Then (Theorem 1) rank W* <= min(rank W', D_g): the
student's features collapse to what both modalities know, and (Corollary 1.1) the loss stops at `specific_loss_limit`.
"""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class SplitLoss(NamedTuple):
    """The feature distillation loss, divided by its causes."""

    general: Float[Tensor, ""]
    """½ ||(W'_g - W_g) G||²_F, from the shared dimensions; distillation brings it to 0."""
    specific: Float[Tensor, ""]
    """½ ||W'_s S' - W_s S||²_F, from the others; distillation brings it to `specific_loss_limit`."""


def feature_distillation_loss(
    teacher_weight: Float[Tensor, "features teacher_dim"],
    teacher_x: Float[Tensor, "teacher_dim samples"],
    student_weight: Float[Tensor, "features student_dim"],
    student_x: Float[Tensor, "student_dim samples"],
) -> Float[Tensor, ""]:
    """½ Σ_i ||W' x'_i - W x_i||² (Eq. 1): summed over features and samples. In [0, inf); 0 iff all features match."""
    return half_square(teacher_weight @ teacher_x - student_weight @ student_x)


def specific_loss_limit(
    teacher_weight: Float[Tensor, "features teacher_dim"],
    teacher_x: Float[Tensor, "teacher_dim samples"],
    num_shared: int,
) -> Float[Tensor, ""]:
    """Where the loss stops on completely separated data: ½ ||W' [0; S']||²_F (Corollary 1.1, Eq. 6).

    `num_shared` is D_g; S' is the rest of the teacher's rows. In [0, inf); 0 if the teacher ignores S'.
    """
    return half_square(teacher_weight[:, num_shared:] @ teacher_x[num_shared:])


def split_loss(
    teacher_weight: Float[Tensor, "features teacher_dim"],
    teacher_x: Float[Tensor, "teacher_dim samples"],
    student_weight: Float[Tensor, "features student_dim"],
    student_x: Float[Tensor, "student_dim samples"],
    num_shared: int,
) -> SplitLoss:
    """The modality-general and modality-specific parts of `feature_distillation_loss` (Fig. 3c).

    On completely separated data their sum is the loss; on other data a cross term is missing. The paper draws both
    parts without a definition; with this one its limits hold. The arguments are those of `feature_distillation_loss`,
    and `num_shared` is D_g.
    """
    shared, specific = slice(None, num_shared), slice(num_shared, None)
    return SplitLoss(
        *(
            feature_distillation_loss(
                teacher_weight[:, rows], teacher_x[rows], student_weight[:, rows], student_x[rows]
            )
            for rows in (shared, specific)
        )
    )


def half_square(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, ""]:
    """½ ||M||²_F."""
    return matrix.square().sum() / 2
