"""The closed form of the joint Gaussian model: known answers, and simulations that do not use it."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.oracles import first_slope, largest_useful_lambda
from trainables.theory.joint_gaussian import (
    Design,
    criterion,
    excess_risk,
    fitted_scale,
    information,
    moments,
    simulate,
    wishart_factor,
)

N, P, GAMMA, SIGMA = 400, 40, 0.6, 0.8
VERIFIED = {0.3: (0.104, 0.104), 1.0: (0.115, 0.119), 2.0: (0.153, 0.155), 3.0: (0.214, 0.208)}
"""By tau, at lambda = 0.5: excess risk by the formula, and by an earlier simulation of others' code."""
BASELINE = 0.143


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def closed_form(design: Design, lambdas: list[float], n: int, p: int) -> Tensor:
    return excess_risk(moments(*map(number, design)), torch.tensor(lambdas, dtype=torch.float64), n, p)


def one_student(design: Design, lambda_kd: float, n: int, p: int, generator: np.random.Generator) -> float:
    """Excess risk of one student, from rows of data and the two sums of squares as they are written."""
    gamma, tau, sigma, scale = design
    beta = generator.standard_normal(p)
    beta /= np.linalg.norm(beta)
    u, v, noise = generator.standard_normal((3, n, p))
    x2, x1 = gamma * u + math.sqrt(1 - gamma**2) * v, u + tau * noise
    y, t = u @ beta + sigma * generator.standard_normal(n), scale * x1 @ beta
    rows, targets = np.vstack([x2, math.sqrt(lambda_kd) * x2]), np.concatenate([y, math.sqrt(lambda_kd) * t])
    weights = np.linalg.lstsq(rows, targets, rcond=None)[0]
    return float(((weights - gamma * beta) ** 2).sum())


@pytest.mark.parametrize("tau", VERIFIED)
def test_the_verified_risks(tau: float) -> None:
    predicted, earlier = VERIFIED[tau]
    without, exact = closed_form(Design(GAMMA, tau, SIGMA), [0.0, 0.5], N, P).tolist()
    assert (round(exact, 3), round(without, 3)) == (predicted, BASELINE)
    simulated = simulate(Design(GAMMA, tau, SIGMA), [0.0, 0.5], N, P, 1000, np.random.default_rng(0)).mean(dim=0)
    assert simulated[1] == pytest.approx(predicted, rel=0.05)
    assert simulated[1] == pytest.approx(earlier, rel=0.05)
    assert simulated[0] == pytest.approx(BASELINE, rel=0.05)


def test_distillation_turns_harmful_at_root_five_sigma() -> None:
    """At lambda = 0.5, sigma = 0.8: helps at tau = 1.78, hurts at 1.80, by the formula and in the simulation."""
    flip = math.sqrt(5) * SIGMA
    assert largest_useful_lambda(number(flip), number(SIGMA)) == pytest.approx(0.5)
    gains = []
    for tau in (flip - 0.01, flip, flip + 0.01):
        without, distilled = closed_form(Design(GAMMA, tau, SIGMA), [0.0, 0.5], N, P)
        gains.append(float(without - distilled))
    assert gains[0] > 0 > gains[2]
    assert gains[1] == pytest.approx(0, abs=1e-12)
    for tau, sign in ((0.8 * flip, 1), (1.2 * flip, -1)):
        risks = simulate(Design(GAMMA, tau, SIGMA), [0.0, 0.5], N, P, 2000, np.random.default_rng(1))
        gain = risks[:, 0] - risks[:, 1]
        assert sign * gain.mean() > 4 * gain.std() / math.sqrt(len(gain))


def test_the_simulation_agrees_with_the_closed_form_over_a_grid() -> None:
    """Each cell is some standard errors away, normally distributed: none far, their mean square near 1."""
    generator = np.random.default_rng(2)
    lambdas = [0.0, 0.2, 0.5, 2.0]
    scores = []
    for gamma in (0.0, 0.3, 0.9, 1.0):
        for tau in (0.0, 0.4, 0.8, 2.4):
            for scale in (1.0, 0.7):
                design = Design(gamma, tau, SIGMA, scale)
                risks = simulate(design, lambdas, 60, 8, 2000, generator)
                error = risks.std(dim=0) / math.sqrt(len(risks))
                scores.append((risks.mean(dim=0) - closed_form(design, lambdas, 60, 8)) / error)
    every = torch.stack(scores)
    assert every.abs().max() < 4
    assert 0.5 < every.square().mean() < 1.7


@pytest.mark.parametrize("design", [Design(0.6, 1.5, 0.8), Design(0.3, 0.2, 1.0, 0.5)])
def test_rows_of_data_and_wishart_factors_give_the_same_risks(design: Design) -> None:
    """The naive loop has the simulation's mean and spread, each within its own error, and the closed form's mean."""
    generator = np.random.default_rng(3)
    naive = torch.tensor([one_student(design, 0.5, 50, 6, generator) for _ in range(1500)], dtype=torch.float64)
    fast = simulate(design, [0.5], 50, 6, 1500, generator)[:, 0]
    error = math.sqrt(float(naive.var() + fast.var()) / 1500)
    assert abs(float(naive.mean() - fast.mean())) < 3.5 * error
    assert float(naive.mean()) == pytest.approx(closed_form(design, [0.5], 50, 6).item(), abs=3.5 * error)
    assert float(naive.std() / fast.std()) == pytest.approx(1, abs=0.15)
    quantiles = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    torch.testing.assert_close(naive.quantile(quantiles), fast.quantile(quantiles), rtol=0.12, atol=0)


def test_the_factors_are_those_of_gram_matrices() -> None:
    """A A' has mean n I and variances n (1 + [i = j])."""
    factor = wishart_factor(7, 3, 20_000, np.random.default_rng(4))
    gram = factor @ factor.mT
    torch.testing.assert_close(gram.mean(dim=0), 7 * torch.eye(3, dtype=torch.float64), rtol=0, atol=0.15)
    expected = 7 * (1 + torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(gram.var(dim=0), expected, rtol=0.06, atol=0)


def test_a_chunk_more_is_no_other_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.theory.joint_gaussian.CHUNK_NUMBERS", 100)
    risks = simulate(Design(0.6, 1.0, 0.8), [0.0, 1.0], 30, 4, 50, np.random.default_rng(5))
    assert risks.shape == (50, 2)
    assert len(risks.unique()) == 100


def test_the_first_slope_is_the_derivative() -> None:
    grid = [torch.tensor([0.1, 0.6, 0.9], dtype=torch.float64), number(1.3), number(0.8), number(0.7)]
    lambda_kd = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    excess_risk(moments(*grid), lambda_kd, N, P).sum().backward()
    torch.testing.assert_close(lambda_kd.grad, first_slope(moments(*grid), N, P))


def test_the_criterion_is_sufficient_and_not_necessary() -> None:
    """Where G > 0 every lambda helps; where G < 0 a small one still does, and a large one hurts."""
    tau = torch.linspace(0, 3, 31, dtype=torch.float64)[:, None]
    lambdas = torch.logspace(-3, 3, 25, dtype=torch.float64)
    sigma = number(SIGMA)
    for gamma in (0.2, 0.6, 0.9):
        values = moments(number(gamma), tau, sigma)
        gains = excess_risk(values, number(0.0), N, P) - excess_risk(values, lambdas, N, P)
        pays = criterion(number(gamma), tau, sigma).gap > 0
        torch.testing.assert_close(pays, tau < sigma)
        assert (gains[pays[:, 0]] > 0).all()
        assert (gains[:, 0] > 0).all()
        assert (gains[tau[:, 0] > 0.9, -1] < 0).all()
        torch.testing.assert_close(gains > 0, lambdas < largest_useful_lambda(tau, sigma))


def test_informations() -> None:
    assert information(number(0.8)) == pytest.approx(0.5108, abs=5e-5)
    both = criterion(number(0.6), number(1.0), number(0.8))
    mixing = Design(0.6, 1.0, 0.8).mixing(3)
    covariance = mixing @ mixing.T
    assert covariance.diagonal().tolist() == pytest.approx([1, 1, 1, 1 + 0.8**2, 2])
    variance_s, with_t, with_y = 0.36, 0.6 * covariance[0, 4], 0.6 * covariance[0, 3]
    determinant_t = variance_s * covariance[4, 4] - with_t**2
    determinant_y = variance_s * covariance[3, 3] - with_y**2
    assert both.teacher_student == pytest.approx(0.5 * math.log(variance_s * covariance[4, 4] / determinant_t))
    assert both.student_target == pytest.approx(0.5 * math.log(variance_s * covariance[3, 3] / determinant_y))


def test_the_fitted_scale_is_the_best_linear_teachers() -> None:
    """E(y - s beta'x1)^2 = (1 - s)^2 + s^2 tau^2 + sigma^2 is least there."""
    tau = number(1.7)
    scales = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    best = scales[((1 - scales) ** 2 + scales**2 * tau**2).argmin()]
    assert fitted_scale(tau) == pytest.approx(float(best), abs=1e-5)


def test_too_few_pairs() -> None:
    with pytest.raises(ValueError, match=r"finite for n > p \+ 1 = 41 pairs, but got n = 41"):
        closed_form(Design(0.6, 1.0, 0.8), [0.5], 41, 40)
