"""Comparison of a contrastive student with its teacher: divergence, distances, neighbours, and PCA coordinates.

Rows are pairs of one image and one caption, (rows, 2, dim): of several captions the first.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trainables.metrics.retrieval import row_chunks

NEIGHBOURS = (1, 5, 10, 20)
"""The numbers k of nearest neighbours that are compared."""

Pairs = Float[Tensor, "rows 2 dim"]


def neighbour_agreement(
    student: Float[Tensor, "rows dim"], teacher: Float[Tensor, "rows other"]
) -> Float[Tensor, " k"]:
    """mean_i |N_k^S(i) ∩ N_k^T(i)| / k for each k of NEIGHBOURS, N_k the k nearest other rows by cosine.

    Rows are compared in chunks; ties count in the order of the rows.

    Args:
        student: the student's embeddings.
        teacher: the teacher's embeddings of the same rows.

    Returns:
        One value in [0, 1] for each k; k / (rows - 1) is chance level. NaN if there are fewer than k other rows.

    """
    ours, theirs = (functional.normalize(side.double(), dim=1) for side in (student, teacher))
    shared = [
        common_neighbours(nearest(ours, chunk), nearest(theirs, chunk)) for chunk in row_chunks(len(ours), len(ours))
    ]
    agreement = torch.cat(shared).mean(dim=0)
    possible = torch.tensor([k < len(ours) for k in NEIGHBOURS], device=agreement.device)
    return torch.where(possible, agreement, torch.nan)


def nearest(points: Float[Tensor, "rows dim"], chunk: slice) -> Float[Tensor, "chunk most"]:
    """Row numbers of the most similar other rows, the nearest first, for the largest k."""
    similarities = points[chunk] @ points.T
    similarities[torch.arange(len(similarities)), torch.arange(chunk.start, chunk.stop)] = -torch.inf
    order = similarities.argsort(dim=1, descending=True, stable=True)
    return order[:, : max(NEIGHBOURS)].double()


def common_neighbours(
    ours: Float[Tensor, "chunk most"], theirs: Float[Tensor, "chunk most"]
) -> Float[Tensor, "chunk k"]:
    """|N_k^S ∩ N_k^T| / k for each row and each k."""
    same = ours[:, :, None] == theirs[:, None, :]
    return torch.stack([same[:, :k, :k].sum(dim=(1, 2)) / k for k in NEIGHBOURS], dim=1).double()


def mean_cosine(student: Float[Tensor, "rows dim"], teacher: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """Mean over the rows of cos(student, teacher), in [-1, 1]."""
    return functional.cosine_similarity(student.double(), teacher.double(), dim=1).mean()


def squared_distance(student: Pairs, teacher: Pairs) -> Float[Tensor, ""]:
    """MSE = mean ‖v_S - v_T‖² + mean ‖t_S - t_T‖² of unit vectors, in [0, 8]."""
    ours, theirs = (functional.normalize(side.double(), dim=-1) for side in (student, teacher))
    return (ours - theirs).square().sum(dim=(1, 2)).mean()


def similarity_divergence(
    student: Pairs, teacher: Float[Tensor, "rows 2 other"], temperature: float
) -> Float[Tensor, ""]:
    """KL = ½ [KL(softmax(T/τ) ‖ softmax(S/τ)) + the same on the transposes], mean over rows, of cosine similarities.

    S and T are the similarities of all images with all captions of the rows. In nats, 0 iff all distributions agree.
    """
    ours, theirs = (functional.normalize(side.double(), dim=-1) for side in (student, teacher))
    ways = ((0, 1), (1, 0))
    return sum((one_way(ours, theirs, way, temperature) for way in ways), torch.zeros(()).to(ours)) / 2


def one_way(ours: Pairs, theirs: Float[Tensor, "rows 2 other"], way: tuple[int, int], temperature: float) -> Tensor:
    """Mean over the rows of KL(teacher ‖ student) of a query's distribution over all candidates, in chunks."""
    query, candidate = way
    total = torch.zeros((), dtype=torch.float64, device=ours.device)
    for chunk in row_chunks(len(ours), len(ours)):
        logits = [side[chunk, query] @ side[:, candidate].T / temperature for side in (ours, theirs)]
        log_student, log_teacher = (each.log_softmax(dim=1) for each in logits)
        total += functional.kl_div(log_student, log_teacher, reduction="sum", log_target=True)
    return total / len(ours)


class Plane(NamedTuple):
    """The first two principal components of points."""

    mean: Float[Tensor, " dim"]
    axes: Float[Tensor, "2 dim"]
    """Orthonormal; in each the component with the largest absolute value is positive."""
    shares: Float[Tensor, " 2"]
    """Share of the variance of the points along each axis."""

    def coordinates(self, points: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows 2"]:
        """The coordinates of points in this plane."""
        return (points.double() - self.mean) @ self.axes.T


def principal_plane(points: Float[Tensor, "rows dim"]) -> Plane:
    """The plane fitted to `points`; an axis without variance is arbitrary."""
    points = points.double()
    mean = points.mean(dim=0)
    covariance = (points - mean).T @ (points - mean) / len(points)
    values, vectors = torch.linalg.eigh(covariance)
    axes = vectors.flip(1).T[:2]
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    total = values.clamp(min=0).sum()
    shares = torch.where(total > 0, values.flip(0)[:2].clamp(min=0) / torch.where(total > 0, total, 1), 0)
    return Plane(mean, axes * largest.sign(), shares)


def clip_arrays(
    student: Pairs, teacher: Float[Tensor, "rows 2 other"], projected: Float[Tensor, "rows 2 other"] | None, most: int
) -> dict[str, Tensor]:
    """The arrays that a trial stores about a split.

    Args:
        student: the student's embeddings.
        teacher: the teacher's embeddings.
        projected: the student's embeddings in the teacher's space; None if the method has no such projection.
        most: most rows whose coordinates are stored, evenly spaced.

    Returns:
        `clip/rows` (1,), `clip/neighbours` (2, k), and, with `projected`, `clip/cosine` (2,): images, then captions.
        `clip/pca_teacher`, `clip/pca_student` (2, n, 2): coordinates in the teacher's planes of images and of captions,
        and `clip/pca_shares` (2, 2); `clip/joint_teacher`, `clip/joint_student` (2, n, 2): images and captions in one
        plane, that of the network's own.

    """
    sides = [functional.normalize(side.double(), dim=-1) for side in (student, teacher)]
    ours, theirs = sides
    rows = torch.linspace(0, len(ours) - 1, min(most, len(ours))).round().long().to(ours.device)
    planes = [principal_plane(theirs[:, side]) for side in range(2)]
    arrays = {
        "clip/rows": torch.tensor([float(len(ours))]),
        "clip/neighbours": torch.stack([neighbour_agreement(ours[:, side], theirs[:, side]) for side in range(2)]),
        "clip/pca_teacher": torch.stack([planes[side].coordinates(theirs[rows, side]) for side in range(2)]),
        "clip/pca_shares": torch.stack([plane.shares for plane in planes]),
    }
    for name, side in zip(("student", "teacher"), sides, strict=True):
        joint = principal_plane(side.flatten(0, 1))
        arrays[f"clip/joint_{name}"] = joint.coordinates(side[rows].transpose(0, 1))
    if projected is not None:
        there = functional.normalize(projected.double(), dim=-1)
        arrays["clip/cosine"] = torch.stack([mean_cosine(there[:, side], theirs[:, side]) for side in range(2)])
        arrays["clip/pca_student"] = torch.stack([planes[side].coordinates(there[rows, side]) for side in range(2)])
    return {name: array.float() for name, array in arrays.items()}
