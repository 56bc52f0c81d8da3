"""The joint Gaussian model of the CCH study: the exact risk of a distilled linear student, and the criterion.

Our design (the study's covariance is not published), with a unit vector beta and u, v, n1 ~ N(0, I_p), e ~ N(0, 1):

    x2 = gamma u + sqrt(1 - gamma^2) v    the student's input
    y  = beta'u + sigma e                 the target
    x1 = u + tau n1                       the teacher's input
    t  = scale beta'x1                    the teacher's prediction

The student minimises sum (y - w'x2)^2 + lambda sum (t - w'x2)^2 over n training pairs, which is least squares on
(y + lambda t) / (1 + lambda). The teacher is independent of these pairs. A teacher fitted to the same labels
would pass on its overfitting: a part of the risk (about gamma^2 times the teacher's) that does not vanish with n.
White x2 is no restriction, because least squares and its risk do not change under an invertible linear map of x2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

CHUNK_NUMBERS = 2**24
"""Most numbers that a simulation has in memory."""


class Moments(NamedTuple):
    """The moments that determine the risk: y and t given x2, each a regression on x2 plus noise."""

    bias: Float[Tensor, "..."]
    """||a - w*||^2, where w* is the regression of y on x2, and a that of t."""
    var_y: Float[Tensor, "..."]
    """Var(y | x2)."""
    cov: Float[Tensor, "..."]
    """c = Cov(y, t | x2)."""
    var_t: Float[Tensor, "..."]
    """Var(t | x2)."""


class Criterion(NamedTuple):
    """Both sides of the criterion, in nats: distillation is predicted to help where `gap` is positive."""

    teacher_student: Float[Tensor, "..."]
    """I(t; s) of the predictions of teacher and student."""
    student_target: Float[Tensor, "..."]
    """I(s; y)."""

    @property
    def gap(self) -> Float[Tensor, "..."]:
        """G = I(t; s) - I(s; y); positive iff tau < sigma (and gamma > 0)."""
        return self.teacher_student - self.student_target


def moments(
    gamma: Float[Tensor, "..."],
    tau: Float[Tensor, "..."],
    sigma: Float[Tensor, "..."],
    scale: Float[Tensor, "..."] | float = 1.0,
) -> Moments:
    """Moments of the design; all arguments broadcast.

    w* = gamma beta, a = scale w*, Var(y | x2) = 1 + sigma^2 - gamma^2, Cov(y, t | x2) = scale (1 - gamma^2),
    Var(t | x2) = scale^2 (1 + tau^2 - gamma^2).

    Args:
        gamma: correlation of the modalities, in [0, 1].
        tau: standard deviation of the teacher's noise.
        sigma: standard deviation of the target's noise.
        scale: length of the teacher's weights: 1 (they are beta), or `fitted_scale(tau)`.

    """
    unseen = 1 - gamma**2
    scale = torch.as_tensor(scale, dtype=gamma.dtype)
    return Moments((scale - 1) ** 2 * gamma**2, unseen + sigma**2, scale * unseen, scale**2 * (unseen + tau**2))


def fitted_scale(tau: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Length of the weights of the best linear teacher, the limit of a fitted one: 1 / (1 + tau^2)."""
    return 1 / (1 + tau**2)


def excess_risk(moments: Moments, lambda_kd: Float[Tensor, "..."], n: int, p: int) -> Float[Tensor, "..."]:
    """Expected E(y - w'x2)^2 of the distilled student above the optimum Var(y | x2); exact for n > p + 1.

    (lambda / (1 + lambda))^2 ||a - w*||^2 + p / (n - p - 1) Var(y + lambda t | x2) / (1 + lambda)^2.

    Args:
        moments: moments of y and t given x2.
        lambda_kd: weight of the distillation term, at least 0.
        n: training pairs.
        p: inputs of the student.

    Raises:
        ValueError: if n <= p + 1, where the risk of least squares is infinite.

    """
    if n <= p + 1:
        raise ValueError(
            f"the risk of least squares is finite for n > p + 1 = {p + 1} pairs, but got n = {n}; use more pairs"
        )
    shrink = 1 / (1 + lambda_kd)
    noise = moments.var_y + 2 * lambda_kd * moments.cov + lambda_kd**2 * moments.var_t
    return (lambda_kd * shrink) ** 2 * moments.bias + p / (n - p - 1) * noise * shrink**2


def criterion(gamma: Float[Tensor, "..."], tau: Float[Tensor, "..."], sigma: Float[Tensor, "..."]) -> Criterion:
    """Both mutual informations of the scalar predictions, in nats.

    They follow from the correlations rho(t, s) = gamma / sqrt(1 + tau^2) and rho(s, y) = gamma / sqrt(1 + sigma^2), and
    do not depend on the lengths of the weights.

    Args:
        gamma: correlation of the modalities, in [0, 1].
        tau: standard deviation of the teacher's noise.
        sigma: standard deviation of the target's noise.

    """
    return Criterion(information(gamma / (1 + tau**2).sqrt()), information(gamma / (1 + sigma**2).sqrt()))


def information(correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """I = -1/2 ln(1 - rho^2) of two jointly Gaussian scalars, in nats."""
    return -torch.log1p(-(correlation**2)) / 2


class Design(NamedTuple):
    """The parameters of one point of the design."""

    gamma: float
    tau: float
    sigma: float
    scale: float = 1.0

    def mixing(self, p: int) -> Float64[Tensor, "variables sources"]:
        """(x2, y, t) as a linear map of p + 3 independent standard normals: x2, the rest of beta'u, both noises.

        beta'u = gamma beta'x2 + sqrt(1 - gamma^2) w with w independent of x2; beta is the first axis.
        """
        gamma, tau, sigma, scale = self
        mixed = torch.zeros(p + 2, p + 3, dtype=torch.float64)
        mixed[:p, :p] = torch.eye(p)
        mixed[p:, 0] = gamma
        mixed[p:, p:] = torch.tensor([[(1 - gamma**2) ** 0.5, sigma, 0], [(1 - gamma**2) ** 0.5, 0, tau]])
        mixed[p + 1] *= scale
        return mixed


def simulate(
    design: Design, lambdas: Sequence[float], n: int, p: int, repeats: int, generator: np.random.Generator
) -> Float64[Tensor, "repeats lambdas"]:
    """Excess risks of students fitted to `repeats` independent training sets; each set is used for every lambda.

    Least squares depends on a training set only through its Gram matrix. That of n rows of (x2, y, t) has a Wishart
    distribution, whose Cholesky factor is drawn exactly (Bartlett 1933): about p^2 / 2 numbers for each repeat instead
    of n (2 p + 2). `excess_risk` is not used: the normal equations are solved and the weights compared with w*.

    Args:
        design: the point of the design.
        lambdas: weights of the distillation term.
        n: training pairs, more than p + 2.
        p: inputs of the student.
        repeats: number of training sets.
        generator: source of random numbers.

    Returns:
        Excess risk of each training set and lambda, float64.

    """
    mixing = design.mixing(p)
    weight = torch.tensor(lambdas, dtype=torch.float64)
    best = mixing[p, :p]
    risks: list[Tensor] = []
    chunk = max(1, CHUNK_NUMBERS // (p + 3) ** 2)
    for start in range(0, repeats, chunk):
        factor = wishart_factor(n, p + 3, min(chunk, repeats - start), generator)
        inputs, outputs = factor[:, :p, :p], (mixing[p:] @ factor)[:, :, :p]
        fitted = torch.linalg.solve_triangular(inputs.mT, outputs.mT, upper=True)
        on_target, on_teacher = fitted.unbind(dim=2)
        student = (on_target[:, None] + weight[:, None] * on_teacher[:, None]) / (1 + weight[:, None])
        risks.append((student - best).square().sum(dim=2))
    return torch.cat(risks)


def wishart_factor(
    n: int, dim: int, repeats: int, generator: np.random.Generator
) -> Float64[Tensor, "repeats dim dim"]:
    """Lower triangular A with A A' ~ Wishart(n, I): normal below the diagonal, A_ii^2 ~ chi^2 with n - i (i from 0).

    Args:
        n: degrees of freedom, at least `dim`.
        dim: rows of A.
        repeats: number of matrices.
        generator: source of random numbers.

    """
    factor = np.zeros((repeats, dim, dim))
    for row in range(dim):
        factor[:, row, :row] = generator.standard_normal((repeats, row))
    diagonal = np.arange(dim)
    factor[:, diagonal, diagonal] = np.sqrt(generator.chisquare(n - diagonal, (repeats, dim)))
    return torch.from_numpy(factor)
