"""Losses of contrastive image-text distillation, on the embeddings of a student and of a teacher.

CLIP-KD is Yang et al. 2024. KL, MSE and MI follow the TE study.

All functions take L2-normalised embeddings, where row i of image and text is a pair, and a temperature τ. Similarities
are sim[i, j] = v_i · t_j / τ. v are images, t texts; S is the student, T the teacher. Each loss is a mean over rows;
MSE also sums over the dimensions. No loss depends on the order of the pairs.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trainables.losses.distillation import Scalar, feature_mse, unit_rows


class EmbeddingPair(NamedTuple):
    """L2-normalised embeddings of a batch of pairs."""

    image: Float[Tensor, "batch dim"]
    text: Float[Tensor, "batch dim"]


def similarities(embedded: EmbeddingPair, temperature: Scalar) -> Float[Tensor, "batch batch"]:
    """sim[i, j] = v_i · t_j / τ."""
    return embedded.image @ embedded.text.T / temperature


def matching(
    anchors: Float[Tensor, "batch dim"], keys: Float[Tensor, "batch dim"], temperature: Scalar
) -> Float[Tensor, ""]:
    """Cross-entropy of finding each anchor's key: CE(A Kᵀ / τ, diag) (van den Oord et al. 2018, Eq. 4).

    Args:
        anchors: the rows A.
        keys: the rows K; row i is the key of anchor i.
        temperature: τ.

    Returns:
        Mean over rows, in nats. In (0, inf) for two rows or more; ln(batch) where all products are equal.

    """
    return -functional.log_softmax(anchors @ keys.T / temperature, dim=1).diagonal().mean()


def contrastive(embedded: EmbeddingPair, temperature: Scalar) -> Float[Tensor, ""]:
    """CL = ½[CE(sim_S, diag) + CE(sim_Sᵀ, diag)] (Radford et al. 2021, figure 3). In (0, inf)."""
    similarity = similarities(embedded, temperature)
    rows = functional.log_softmax(similarity, dim=1).diagonal()
    columns = functional.log_softmax(similarity, dim=0).diagonal()
    return -(rows + columns).mean() / 2


def relation_kl(
    student: EmbeddingPair, teacher: EmbeddingPair, student_temperature: Scalar, teacher_temperature: Scalar
) -> Float[Tensor, ""]:
    """½[KL(softmax sim_T || softmax sim_S) + the same on the transposes].

    This is KL of the TE study, with one temperature for both (our reading), and CRD of CLIP-KD (Yang et al. 2024),
    where the teacher has a separate temperature.

    Args:
        student: embeddings of the student.
        teacher: embeddings of the teacher for the same pairs; the dimension may differ.
        student_temperature: τ of the student's similarities.
        teacher_temperature: τ of the teacher's similarities.

    Returns:
        Mean over rows, in nats, without a factor τ². In [0, inf); 0 iff all distributions match.

    """
    own, target = similarities(student, student_temperature), similarities(teacher, teacher_temperature)
    return (rows_kl(target, own) + rows_kl(target.T, own.T)) / 2


def rows_kl(target: Float[Tensor, "rows columns"], own: Float[Tensor, "rows columns"]) -> Float[Tensor, ""]:
    """KL(softmax target || softmax own), mean over rows."""
    log_target, log_own = functional.log_softmax(target, dim=1), functional.log_softmax(own, dim=1)
    return (log_target.exp() * (log_target - log_own)).sum(dim=1).mean()


def embedding_mse(student: EmbeddingPair, teacher: EmbeddingPair) -> Float[Tensor, ""]:
    """MSE = mean ||v_S - v_T||² + mean ||t_S - t_T||² (TE study), summed over dimensions. In [0, 8]; 0 iff equal."""
    return feature_mse(student.image, teacher.image, "sum") + feature_mse(student.text, teacher.text, "sum")


def feature_distance(student: EmbeddingPair, teacher: EmbeddingPair) -> Float[Tensor, ""]:
    """FD = MSE(v_S, v_T) + MSE(t_S, t_T), mean over elements (CLIP-KD).

    MFD is the same with v_S from images whose patches are partly hidden. In [0, 8 / dim]; 0 iff equal.
    """
    return feature_mse(student.image, teacher.image) + feature_mse(student.text, teacher.text)


def interactive(student: EmbeddingPair, teacher: EmbeddingPair, temperature: Scalar) -> Float[Tensor, ""]:
    """ICL = ½[CE(v_S · t_Tᵀ / τ, diag) + CE(t_S · v_Tᵀ / τ, diag)] (CLIP-KD).

    Args:
        student: embeddings of the student, in the teacher's dimension.
        teacher: embeddings of the teacher for the same pairs.
        temperature: τ.

    Returns:
        Mean over rows, in nats. In (0, inf).

    """
    crossed = matching(student.image, teacher.text, temperature) + matching(student.text, teacher.image, temperature)
    return crossed / 2


def negative_information(student: EmbeddingPair, teacher: EmbeddingPair, temperature: Scalar) -> Float[Tensor, ""]:
    """MI = -[I(v_S; v_T) + I(t_S; t_T)] by InfoNCE (van den Oord et al. 2018, Eq. 5): I = ln B - CE(diag).

    The student's rows are the anchors, the teacher's are the keys; this form of the baseline is the project's reading.

    Args:
        student: embeddings of the student, in the teacher's dimension.
        teacher: embeddings of the teacher for the same pairs.
        temperature: τ.

    Returns:
        The negative bound in nats, so that a lower loss is a higher bound. In (-2 ln B, inf).

    """
    ceiling = 2 * math.log(len(student.image))
    picked = matching(student.image, teacher.image, temperature) + matching(student.text, teacher.text, temperature)
    return picked - ceiling


def contrastive_gradients(
    anchors: Float[Tensor, "batch dim"], keys: Float[Tensor, "batch dim"], temperature: Scalar
) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
    """Gradients of `matching` for anchors and keys: (P - I) K / (τB) and (P - I)ᵀ A / (τB), P = softmax(A Kᵀ / τ).

    They are computed in closed form, so a loss on them can be differentiated.

    Args:
        anchors: the rows A.
        keys: the rows K; row i is the key of anchor i.
        temperature: τ.

    Returns:
        The gradients for anchors and for keys.

    """
    wrong = functional.softmax(anchors @ keys.T / temperature, dim=1)
    wrong = (wrong - torch.eye(len(keys), dtype=wrong.dtype, device=wrong.device)) / (temperature * len(keys))
    return wrong @ keys, wrong.T @ anchors


def gradient_distance(
    student: EmbeddingPair, teacher: EmbeddingPair, student_temperature: Scalar, teacher_temperature: Scalar
) -> Float[Tensor, ""]:
    """GD: MSE between the student's and the teacher's gradients of the contrastive loss (CLIP-KD).

    Args:
        student: embeddings of the student, in the teacher's dimension.
        teacher: embeddings of the teacher for the same pairs.
        student_temperature: τ of the student's loss.
        teacher_temperature: τ of the teacher's loss.

    Returns:
        Sum of four terms, for anchors and keys in both directions; each is a mean over elements. In [0, inf); 0 iff the
        gradients match.

    """
    own = (*contrastive_gradients(*student, student_temperature), *gradients_of_text(student, student_temperature))
    target = (*contrastive_gradients(*teacher, teacher_temperature), *gradients_of_text(teacher, teacher_temperature))
    return torch.stack([feature_mse(one, other) for one, other in zip(own, target, strict=True)]).sum()


def gradients_of_text(embedded: EmbeddingPair, temperature: Scalar) -> tuple[Tensor, Tensor]:
    """`contrastive_gradients` with the texts as anchors."""
    return contrastive_gradients(embedded.text, embedded.image, temperature)


def fused(mapped: EmbeddingPair, temperature: Scalar) -> Float[Tensor, ""]:
    """AFD: CL of the normalised linear maps of [student; teacher], one map for each modality (CLIP-KD)."""
    return contrastive(EmbeddingPair(unit_rows(mapped.image), unit_rows(mapped.text)), temperature)
