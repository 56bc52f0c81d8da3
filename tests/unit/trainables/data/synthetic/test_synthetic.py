"""MFH, separable and joint Gaussian data: the draws are those that the docs describe."""

import numpy as np
import pytest
import torch

from tests.helpers.small_data import checksum, load
from trainables.common.types import Batch
from trainables.data.synthetic import joint_gaussian, mfh, separable


@pytest.mark.parametrize("overlap", [0, 2, 10])
def test_mfh_gamma_mode_shares_what_it_says(overlap: int) -> None:
    batch = load("mfh", overlap=overlap, train=200).train
    assert shared_columns(batch) == [(10 - overlap + i, i) for i in range(overlap)][: len(shared_columns(batch))]
    assert len(shared_columns(batch)) == overlap
    assert batch.student.shape[1] == 50 and batch.teacher.shape[1] == 25


@pytest.mark.parametrize("extra", [0, 20])
def test_mfh_alpha_mode_shares_the_students_ten(extra: int) -> None:
    config = mfh.MFHConfig(mode="alpha", extra=extra, train=2000)
    batch = mfh.load(config).train
    assert shared_columns(batch) == [(i, i) for i in range(10)]
    teacher = accuracy_of_least_squares(batch.teacher, batch.labels)
    assert teacher == pytest.approx(1 - np.arccos(np.sqrt((10 + extra) / 50)) / np.pi, abs=0.05)
    other = mfh.load(config.model_copy(update={"extra": 40})).train
    assert torch.equal(other.student, batch.student) and torch.equal(other.labels, batch.labels)


def test_mfh_extra_changes_the_teacher() -> None:
    data = {extra: mfh.load(mfh.MFHConfig(mode="alpha", extra=extra)) for extra in (0, 10)}
    assert checksum(data[0], ("teacher",)) != checksum(data[10], ("teacher",))
    assert checksum(data[0]) != checksum(mfh.load(mfh.MFHConfig(mode="gamma")))


def test_mfh_labels_are_decided_by_the_decisive_features() -> None:
    """With every feature in sight a linear classifier is perfect; with the student's alone it is not."""
    batch = mfh.load(mfh.MFHConfig(mode="alpha", extra=40, train=2000)).train
    assert accuracy_of_least_squares(batch.teacher, batch.labels) > 0.95
    assert accuracy_of_least_squares(batch.student, batch.labels) < 0.8


def shared_columns(batch: Batch) -> list[tuple[int, int]]:
    """(student column, teacher column) pairs that are equal in every row."""
    equal = (batch.student[:, :, None] == batch.teacher[:, None, :]).all(dim=0)
    return [(int(s), int(t)) for s, t in equal.nonzero()]


def accuracy_of_least_squares(inputs: torch.Tensor, labels: torch.Tensor) -> float:
    target = 2.0 * labels[:, None] - 1
    weight = torch.linalg.lstsq(inputs, target).solution
    return ((inputs @ weight > 0).long()[:, 0] == labels).double().mean().item()


@pytest.mark.parametrize("general_dim", [0, 10, 25, 50])
def test_separable_rows_are_orthogonal_and_shared(general_dim: int) -> None:
    config = separable.SeparableConfig(general_dim=general_dim)
    teacher, student = separable.matrices(config)
    assert teacher.dtype == student.dtype == np.float64 and teacher.shape == student.shape == (50, 200)
    assert np.array_equal(teacher[:general_dim], student[:general_dim])
    rows = np.concatenate([student, teacher[general_dim:]])
    assert np.abs(rows @ rows.T / 200 - np.eye(len(rows))).max() < 1e-12
    batch = separable.load(config).train
    assert np.array_equal(batch.teacher.numpy(), teacher.T.astype(np.float32))
    assert np.array_equal(batch.student.numpy(), student.T.astype(np.float32))


def test_separable_gram_schmidt_against_the_textbook() -> None:
    rows = np.random.default_rng(0).standard_normal((4, 9))
    expected: list[np.ndarray] = []
    for row in rows:
        rest = row - sum((row @ done) * done for done in expected)
        expected.append(rest / np.linalg.norm(rest))
    assert np.allclose(separable.gram_schmidt(rows), np.stack(expected), atol=1e-12)


def test_separable_without_gram_schmidt_is_only_nearly_orthogonal() -> None:
    teacher, student = separable.matrices(separable.SeparableConfig(orthogonal=False))
    assert np.array_equal(teacher[:10], student[:10])
    gram = student @ student.T / 200 - np.eye(50)
    assert 0.05 < np.abs(gram).max() < 0.6


@pytest.mark.parametrize("general_dim", [5, 45])
def test_separable_labels_are_what_the_document_says(general_dim: int) -> None:
    """The best student is right with probability 1 - arccos(share) / pi; its share of the normal grows with D_g."""
    config = separable.SeparableConfig(general_dim=general_dim, val=20_000)
    data = separable.load(config)
    normal = separable.generators(config)[0].standard_normal(100 - general_dim)
    share = np.linalg.norm(normal[:50]) / np.linalg.norm(normal)
    best = 1 - np.arccos(share) / np.pi
    assert accuracy_of_least_squares(data.val.student, data.val.labels) == pytest.approx(best, abs=0.01)
    everything = torch.cat([data.val.student, data.val.teacher[:, general_dim:]], dim=1)
    assert accuracy_of_least_squares(everything, data.val.labels) > 0.97


def test_separable_rows_are_centred_unless_asked_otherwise() -> None:
    teacher, student = separable.matrices(separable.SeparableConfig())
    assert max(np.abs(teacher.mean(axis=1)).max(), np.abs(student.mean(axis=1)).max()) < 1e-12
    assert np.abs(separable.matrices(separable.SeparableConfig(centred=False))[0].mean(axis=1)).max() > 0.05


def test_mfh_axes_are_the_papers_gamma_and_alpha() -> None:
    gamma, alpha = mfh.MFHConfig.axes["overlap"][1], mfh.MFHConfig.axes["extra"][1]
    assert [round(gamma(overlap), 2) for overlap in (0, 2, 4, 6, 8, 10)] == [0, 0.11, 0.25, 0.43, 0.67, 1]
    assert [round(alpha(extra), 2) for extra in (0, 10, 40)] == [0, 0.5, 0.8]


@pytest.mark.parametrize(("gamma", "tau", "sigma"), [(0.6, 0.4, 0.8), (0.0, 2.0, 0.0), (1.0, 0.0, 1.5)])
def test_joint_gaussian_has_the_moments_of_its_design(gamma: float, tau: float, sigma: float) -> None:
    """Over 40,000 rows: the views' covariances, the target's variance, and E[y | x2] with its error."""
    config = joint_gaussian.JointGaussianConfig(p=3, gamma=gamma, tau=tau, sigma=sigma, train=40_000, val=500, test=2)
    data = joint_gaussian.load(config)
    x1, x2, y = data.train.teacher.double(), data.train.student.double(), data.train.labels[:, 0].double()
    eye = torch.eye(3, dtype=torch.float64)
    for covariance, expected in ((x2.T @ x2, 1.0), (x1.T @ x1, 1 + tau**2), (x1.T @ x2, gamma)):
        torch.testing.assert_close(covariance / 40_000, expected * eye, rtol=0, atol=0.05 * (1 + tau**2))
    assert y.var().item() == pytest.approx(1 + sigma**2, rel=0.03)
    weights = torch.linalg.lstsq(x2, y[:, None]).solution
    assert torch.linalg.vector_norm(weights).item() == pytest.approx(gamma, abs=0.03)
    assert (y[:, None] - x2 @ weights).var().item() == pytest.approx(1 + sigma**2 - gamma**2, rel=0.03)
    expected = joint_gaussian.load(config.model_copy(update={"expected_targets": True}))
    assert torch.equal(expected.train.labels, data.train.labels)
    torch.testing.assert_close(expected.val.labels.double(), data.val.student.double() @ weights, rtol=0, atol=0.15)


def test_joint_gaussian_without_noise_gives_the_teacher_the_target() -> None:
    batch = joint_gaussian.load(joint_gaussian.JointGaussianConfig(p=4, tau=0.0, sigma=0.0, train=50)).train
    solution = torch.linalg.lstsq(batch.teacher, batch.labels)
    assert torch.linalg.vector_norm(solution.solution).item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(batch.teacher @ solution.solution, batch.labels, rtol=0, atol=1e-4)
