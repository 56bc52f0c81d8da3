"""Similarity of a student to its teacher: against loops written from the definitions, and for known answers."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainables.diagnostics.contrastive import (
    NEIGHBOURS,
    clip_arrays,
    mean_cosine,
    neighbour_agreement,
    principal_plane,
    similarity_divergence,
    squared_distance,
)
from trainables.metrics import retrieval


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turn(dim: int) -> Tensor:
    return torch.linalg.qr(normal(dim, dim, seed=9)).Q


@pytest.mark.parametrize("chunk", [2**22, 1, 100])
def test_neighbour_agreement_against_loops(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "CHUNK_NUMBERS", chunk)
    teacher, student = normal(30, 5), normal(30, 5) + 0.4 * normal(30, 5, seed=1)

    def neighbours(points: Tensor, i: int, k: int) -> set[int]:
        unit = points / points.norm(dim=1, keepdim=True)
        return set(sorted((j for j in range(30) if j != i), key=lambda j: -float(unit[i] @ unit[j]))[:k])

    found = neighbour_agreement(student, teacher)
    for k, value in zip(NEIGHBOURS, found.tolist(), strict=True):
        each = [len(neighbours(student, i, k) & neighbours(teacher, i, k)) / k for i in range(30)]
        assert value == pytest.approx(sum(each) / 30) and 0 < value < 1


def test_equal_geometry_has_equal_neighbours() -> None:
    teacher = normal(40, 6)
    assert neighbour_agreement(2 * teacher @ turn(6), teacher).tolist() == [1, 1, 1, 1]


def test_unrelated_and_collapsed_students_agree_by_chance() -> None:
    teacher = normal(400, 6)
    for student in (normal(400, 6, seed=5), torch.ones(400, 6)):
        for k, value in zip(NEIGHBOURS, neighbour_agreement(student, teacher).tolist(), strict=True):
            assert value == pytest.approx(k / 399, abs=0.01)


def test_more_neighbours_than_rows_have_no_agreement() -> None:
    found = neighbour_agreement(normal(10, 3), normal(10, 3))
    assert found[:2].tolist() == [1, 1] and found[2:].isnan().all()


def test_cosine_and_distance_of_known_angles() -> None:
    teacher = functional.normalize(normal(50, 2, 16), dim=-1)
    aside = normal(50, 2, 16, seed=1)
    aside = functional.normalize(aside - (aside * teacher).sum(-1, keepdim=True) * teacher, dim=-1)
    for cosine in (1.0, 0.9, 0.5, 0.0, -1.0):
        student = 7 * (cosine * teacher + math.sqrt(1 - cosine**2) * aside)
        assert mean_cosine(student[:, 0], teacher[:, 0]).item() == pytest.approx(cosine)
        assert squared_distance(student, teacher).item() == pytest.approx(2 * (2 - 2 * cosine))


@pytest.mark.parametrize("chunk", [2**22, 1, 40])
def test_divergence_against_loops(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "CHUNK_NUMBERS", chunk)
    student, teacher, total = normal(12, 2, 5), normal(12, 2, 7, seed=1), 0.0
    for query, candidate in ((0, 1), (1, 0)):
        p, q = (
            np.exp(
                [
                    [float(functional.cosine_similarity(x[i, query], x[j, candidate], dim=0)) / 0.2 for j in range(12)]
                    for i in range(12)
                ]
            )
            for x in (teacher, student)
        )
        p, q = (table / table.sum(axis=1, keepdims=True) for table in (p, q))
        total += 0.5 * (p * np.log(p / q)).sum() / 12
    assert similarity_divergence(student, teacher, 0.2).item() == pytest.approx(total)


def test_divergence_is_zero_at_equal_geometry_and_grows_as_the_temperature_falls() -> None:
    teacher = normal(20, 2, 6)
    assert similarity_divergence(3 * teacher @ turn(6), teacher, 0.07).item() == pytest.approx(0, abs=1e-12)
    other = teacher + 0.3 * normal(20, 2, 6, seed=1)
    assert similarity_divergence(other, teacher, 0.03) > similarity_divergence(other, teacher, 0.07) > 0


def test_the_plane_is_that_of_the_largest_variances() -> None:
    spread = torch.tensor([0.1, 5.0, 0.2, 2.0], dtype=torch.float64)
    points = normal(3000, 4) * spread + torch.arange(4.0)
    plane = principal_plane(points)
    torch.testing.assert_close(plane.axes, torch.eye(4).double()[[1, 3]], atol=0.02, rtol=0)
    torch.testing.assert_close(plane.shares, torch.tensor([25, 4]).double() / 29.05, atol=0.01, rtol=0)
    inside = plane.coordinates(points)
    torch.testing.assert_close(inside.mean(dim=0), torch.zeros(2).double(), atol=1e-9, rtol=0)
    covariance = inside.T @ inside / 3000
    assert covariance[0, 1].abs() < 1e-9
    torch.testing.assert_close(covariance.diagonal(), plane.shares * points.var(dim=0, correction=0).sum())


def test_the_plane_comes_from_the_teacher_alone() -> None:
    teacher, student = normal(50, 2, 6), normal(50, 2, 6, seed=1)
    found = clip_arrays(student, teacher, student, 20)
    rows = np.linspace(0, 49, 20).round().astype(int)
    for side in range(2):
        unit = [functional.normalize(x[:, side], dim=1).numpy() for x in (teacher, student)]
        _, values, axes = np.linalg.svd(unit[0] - unit[0].mean(axis=0), full_matrices=False)
        axes = axes[:2] * np.sign([axis[np.abs(axis).argmax()] for axis in axes[:2]])[:, None]
        for points, name in zip(unit, ("clip/pca_teacher", "clip/pca_student"), strict=True):
            expected = (points[rows] - unit[0].mean(axis=0)) @ axes.T
            np.testing.assert_allclose(found[name][side], expected, atol=1e-5)
        np.testing.assert_allclose(found["clip/pca_shares"][side], values[:2] ** 2 / (values**2).sum(), atol=1e-6)


def test_a_student_that_is_the_teacher_lies_on_it() -> None:
    teacher = normal(50, 2, 6)
    found = clip_arrays(2 * teacher, teacher, 2 * teacher, 20)
    assert torch.equal(found["clip/pca_student"], found["clip/pca_teacher"])
    assert torch.equal(found["clip/joint_student"], found["clip/joint_teacher"])
    assert found["clip/neighbours"].tolist() == [[1] * 4] * 2 and found["clip/rows"].tolist() == [50]
    torch.testing.assert_close(found["clip/cosine"], torch.ones(2))


def test_without_a_way_into_the_teachers_space_there_is_no_cosine() -> None:
    found = clip_arrays(normal(50, 2, 6), normal(50, 2, 9, seed=1), None, 20)
    assert set(found) == {
        *("clip/rows", "clip/neighbours", "clip/pca_teacher", "clip/pca_shares"),
        *("clip/joint_student", "clip/joint_teacher"),
    }


def test_the_joint_plane_shows_the_gap_between_images_and_captions() -> None:
    student = functional.normalize(normal(60, 2, 8), dim=-1) + torch.tensor([[3.0], [-3.0]]) * torch.eye(8)[0]
    joint = clip_arrays(student, normal(60, 2, 8, seed=1), None, 60)["clip/joint_student"]
    assert joint[0, :, 0].min() > 0 > joint[1, :, 0].max()
