"""Theorem 1 and Corollary 1.1 of the CIBA paper hold to 1e-8 relative on completely separated data, in float64."""

from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.helpers.oracles import optimal_student_weight
from trainables.data.synthetic.separable import SeparableConfig, load, matrices
from trainables.diagnostics.collapse import (
    feature_distillation_loss,
    specific_loss_limit,
    split_loss,
)
from trainables.diagnostics.spectra import weight_spectrum

DIM, FEATURES, SAMPLES = 50, 50, 400
RELATIVE = 1e-8


class Separated(NamedTuple):
    """Completely separated data, samples in columns, and a teacher."""

    teacher_weight: Tensor
    teacher_x: Tensor
    student_x: Tensor
    num_shared: int


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def separated(num_shared: int, teacher_rank: int = FEATURES, features: int = FEATURES) -> Separated:
    """Rows of G, S and S' are orthogonal, of different lengths."""
    own = DIM - num_shared
    rows = torch.linalg.qr(normal(SAMPLES, num_shared + 2 * own, seed=num_shared)).Q.T
    rows = rows * (10 + 5 * normal(len(rows), 1, seed=1).tanh())
    shared, student, teacher = rows.split([num_shared, own, own])
    weight = normal(features, teacher_rank, seed=2) @ normal(teacher_rank, DIM, seed=3) / teacher_rank**0.5
    return Separated(weight, torch.cat([shared, teacher]), torch.cat([shared, student]), num_shared)


def rank(weight: Tensor) -> int:
    return int(torch.linalg.matrix_rank(weight, rtol=RELATIVE))


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


def test_the_optimum_is_the_papers_equation_and_has_no_gradient():
    """Lemma 1, on data that are not separated at all, with different dimensions."""
    weight, teacher_x, student_x = normal(6, 9, seed=0), normal(9, 40, seed=1), normal(7, 40, seed=2)
    optimal = optimal_student_weight(weight, teacher_x, student_x)
    written = weight @ teacher_x @ student_x.T @ torch.linalg.inv(student_x @ student_x.T)
    torch.testing.assert_close(optimal, written, rtol=RELATIVE, atol=0)
    optimal.requires_grad_()
    feature_distillation_loss(weight, teacher_x, optimal, student_x).backward()
    assert optimal.grad is not None and optimal.grad.abs().max() < 1e-10


def test_the_loss_is_half_the_sum_of_squares():
    weight, student_weight = normal(3, 4, seed=0), normal(3, 5, seed=1)
    teacher_x, student_x = normal(4, 6, seed=2), normal(5, 6, seed=3)
    expected = 0.0
    for i in range(6):
        for f in range(3):
            target = sum((weight[f, d] * teacher_x[d, i]).item() for d in range(4))
            actual = sum((student_weight[f, d] * student_x[d, i]).item() for d in range(5))
            expected += 0.5 * (target - actual) ** 2
    loss = feature_distillation_loss(weight, teacher_x, student_weight, student_x)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("num_shared", [10, 25, 40])
@pytest.mark.parametrize("teacher_rank", [5, 20, 50])
def test_theorem_1_bounds_the_students_rank(num_shared: int, teacher_rank: int):
    """A random teacher reaches the bound; its optimum is W' with the unshared columns gone (Eq. 26)."""
    weight, teacher_x, student_x, _ = separated(num_shared, teacher_rank)
    optimal = optimal_student_weight(weight, teacher_x, student_x)
    assert rank(weight) == teacher_rank
    assert rank(optimal) == min(teacher_rank, num_shared)
    kept = weight.clone()
    kept[:, num_shared:] = 0
    assert relative_error(optimal, kept) < RELATIVE


def test_theorem_1_is_an_inequality():
    """A teacher that ignores the shared dimensions leaves the student nothing, independent of its rank."""
    weight, teacher_x, student_x, num_shared = separated(25)
    weight[:, :num_shared] = 0
    optimal = optimal_student_weight(weight, teacher_x, student_x)
    assert rank(weight) == 25
    assert optimal.norm() < RELATIVE * weight.norm()


@pytest.mark.parametrize("num_shared", [10, 25, 40])
@pytest.mark.parametrize("features", [20, 50])
def test_corollary_1_1_gives_the_loss_at_the_optimum(num_shared: int, features: int):
    data = separated(num_shared, features=features)
    weight, teacher_x, student_x, _ = data
    optimal = optimal_student_weight(weight, teacher_x, student_x)
    specific = teacher_x.clone()
    specific[:num_shared] = 0
    expected = 0.5 * (weight @ specific).norm().square()
    loss = feature_distillation_loss(weight, teacher_x, optimal, student_x)
    limit = specific_loss_limit(weight, teacher_x, num_shared)
    assert limit.item() == pytest.approx(expected.item(), rel=1e-12)
    assert loss.item() == pytest.approx(limit.item(), rel=RELATIVE)


@pytest.mark.parametrize("num_shared", [10, 25, 40])
def test_gradient_descent_ends_at_the_limit_with_the_general_part_at_0(num_shared: int):
    """Lemma 1's second proof, by running it: the loss falls to the limit, its two parts as in Fig. 3c."""
    weight, teacher_x, student_x, _ = separated(num_shared)
    student_weight = normal(FEATURES, DIM, seed=4).requires_grad_()
    begin = split_loss(weight, teacher_x, student_weight, student_x, num_shared)
    limit = specific_loss_limit(weight, teacher_x, num_shared)
    step = 1 / torch.linalg.matrix_norm(student_x, 2).square()
    losses = []
    for _ in range(400):
        loss = feature_distillation_loss(weight, teacher_x, student_weight, student_x)
        (gradient,) = torch.autograd.grad(loss, student_weight)
        student_weight = (student_weight - step * gradient).detach().requires_grad_()
        losses.append(loss.item())
    end = split_loss(weight, teacher_x, student_weight, student_x, num_shared)
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(losses))
    assert losses[-1] == pytest.approx(limit.item(), rel=RELATIVE)
    assert end.general < RELATIVE * begin.general
    assert begin.specific > 1.05 * limit
    assert end.specific.item() == pytest.approx(limit.item(), rel=RELATIVE)
    optimal = optimal_student_weight(weight, teacher_x, student_x)
    assert relative_error(student_weight, optimal) < RELATIVE


def test_the_two_parts_add_up_to_the_loss_on_separated_data_alone():
    weight, teacher_x, student_x, num_shared = separated(25)
    student_weight = normal(FEATURES, DIM, seed=5)
    parts = split_loss(weight, teacher_x, student_weight, student_x, num_shared)
    loss = feature_distillation_loss(weight, teacher_x, student_weight, student_x)
    assert (parts.general + parts.specific).item() == pytest.approx(loss.item(), rel=RELATIVE)
    mixed = torch.cat([student_x[:num_shared], student_x[num_shared:] + student_x[:num_shared]])
    parts = split_loss(weight, teacher_x, student_weight, mixed, num_shared)
    loss = feature_distillation_loss(weight, teacher_x, student_weight, mixed)
    assert (parts.general + parts.specific).item() != pytest.approx(loss.item(), rel=1e-3)


@pytest.mark.parametrize("num_shared", [10, 25, 40, 50])
def test_theorem_and_corollary_hold_on_the_separable_data_set(num_shared: int):
    config = SeparableConfig(dim=DIM, general_dim=num_shared)
    teacher_x, student_x = (torch.from_numpy(matrix) for matrix in matrices(config))
    weight = normal(FEATURES, DIM, seed=2)
    optimal = optimal_student_weight(weight, teacher_x, student_x)
    assert rank(optimal) == num_shared
    assert relative_error(optimal[:, :num_shared], weight[:, :num_shared]) < RELATIVE
    loss = feature_distillation_loss(weight, teacher_x, optimal, student_x).item()
    scale = feature_distillation_loss(weight, teacher_x, torch.zeros_like(weight), student_x).item()
    assert loss == pytest.approx(
        specific_loss_limit(weight, teacher_x, num_shared).item(), rel=RELATIVE, abs=1e-20 * scale
    )


def test_theorem_1_survives_the_float32_in_which_separable_is_delivered():
    train = load(SeparableConfig(dim=DIM, general_dim=25)).train
    weight = normal(FEATURES, DIM, seed=2)
    optimal = optimal_student_weight(weight, train.teacher.double().T, train.student.double().T)
    values = weight_spectrum(optimal)
    assert values[25] < 1e-6 * values[24]


def test_without_orthogonality_the_collapse_is_gradual():
    """The paper's appendix E.6: rows as drawn share information by chance, so nothing is lost altogether."""
    config = SeparableConfig(dim=DIM, general_dim=25, orthogonal=False)
    teacher_x, student_x = (torch.from_numpy(matrix) for matrix in matrices(config))
    values = weight_spectrum(optimal_student_weight(normal(FEATURES, DIM, seed=2), teacher_x, student_x))
    assert rank(torch.diag(values)) == DIM
    assert values[-1] < 0.1 * values[24]
