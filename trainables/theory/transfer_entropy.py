"""Exact transfer entropy of Gaussian processes, and its estimate from a simulation.

For a stationary process z⁺ = A z + e, e ~ N(0, Q), with z = (x, y, ...), the transfer entropy from X to Y is half of
Granger's causality (Barnett et al. 2009), in nats:

    TE(X → Y) = ½ ln [det Σ(Y⁺ | Y) / det Σ(Y⁺ | Y, X)]

with conditional covariances by Schur complements of Σ = A Σ Aᵀ + Q and Cov(z⁺, z) = A Σ. One step of the past is used,
as in the definition; if y alone is not a Markov process, more of its past would give a smaller value.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

Matrix = Float64[np.ndarray, "variables variables"]
"""Square; the same size throughout a call."""


class Coupled(NamedTuple):
    """Two scalar series, the first driving the second: x⁺ = a x + e_x, y⁺ = b y + c x + e_y."""

    a: float
    b: float
    c: float
    """The coupling; without it TE is 0."""
    sigma_x: float
    """Standard deviation of e_x."""
    sigma_y: float
    """Standard deviation of e_y."""

    @property
    def transition(self) -> Matrix:
        """A, for z = (x, y)."""
        return np.array([[self.a, 0.0], [self.c, self.b]])

    @property
    def noise(self) -> Matrix:
        """Q."""
        return np.diag([self.sigma_x**2, self.sigma_y**2])


def coupled_transfer_entropy(model: Coupled) -> float:
    """TE(X → Y) = ½ ln(1 + c² (v_x - k² / v_y) / σ_y²), in nats, with the stationary moments

    v_x = σ_x² / (1 - a²), k = Cov(x, y) = a c v_x / (1 - a b), v_y = (c² v_x + 2 b c k + σ_y²) / (1 - b²).

    Raises:
        ValueError: if the process is not stationary.

    """
    a, b, c, sigma_x, sigma_y = model
    if max(abs(a), abs(b)) >= 1:
        raise ValueError(f"a stationary process needs |a| < 1 and |b| < 1, but got a = {a}, b = {b}")
    var_x = sigma_x**2 / (1 - a**2)
    cov = a * c * var_x / (1 - a * b)
    var_y = (c**2 * var_x + 2 * b * c * cov + sigma_y**2) / (1 - b**2)
    return math.log1p(c**2 * (var_x - cov**2 / var_y) / sigma_y**2) / 2


def gaussian_transfer_entropy(transition: Matrix, noise: Matrix, source: list[int], target: list[int]) -> float:
    """TE from the variables `source` to `target` of z⁺ = A z + e, e ~ N(0, Q), in nats; other variables are ignored.

    Args:
        transition: A.
        noise: Q, positive definite.
        source: indices of the driving variables.
        target: indices of the driven variables.

    Raises:
        ValueError: if the process is not stationary.

    """
    joint = joint_covariance(transition, noise)
    future = [len(transition) + number for number in target]
    undriven = conditional_covariance(joint, future, target)
    driven = conditional_covariance(joint, future, [*target, *source])
    return float(np.linalg.slogdet(undriven).logabsdet - np.linalg.slogdet(driven).logabsdet) / 2


def joint_covariance(transition: Matrix, noise: Matrix) -> Float64[np.ndarray, "both both"]:
    """Covariance of (z, z⁺), from Σ = A Σ Aᵀ + Q and Cov(z⁺, z) = A Σ.

    Raises:
        ValueError: if the process is not stationary.

    """
    from scipy.linalg import solve_discrete_lyapunov

    radius = float(np.abs(np.linalg.eigvals(transition)).max())
    if radius >= 1:
        raise ValueError(
            f"a stationary process needs eigenvalues of A with absolute values below 1, but the largest is {radius:g}"
        )
    stationary = solve_discrete_lyapunov(transition, noise)
    ahead = transition @ stationary
    return np.block([[stationary, ahead.T], [ahead, stationary]])


def conditional_covariance(
    covariance: Matrix, variables: list[int], conditions: list[int]
) -> Float64[np.ndarray, "chosen chosen"]:
    """Σ(V | C) = Σ_VV - Σ_VC Σ_CC⁻¹ Σ_CV, the Schur complement.

    Args:
        covariance: Σ of all variables.
        variables: indices V.
        conditions: indices C of the variables that are known.

    """
    cross = covariance[np.ix_(variables, conditions)]
    explained = cross @ np.linalg.solve(covariance[np.ix_(conditions, conditions)], cross.T)
    return covariance[np.ix_(variables, variables)] - explained


def simulate_process(
    transition: Matrix, noise: Matrix, steps: int, series: int, generator: np.random.Generator
) -> Float64[np.ndarray, "steps series variables"]:
    """Independent realisations of the process, which start in its stationary distribution.

    Args:
        transition: A.
        noise: Q, positive definite.
        steps: length of a realisation.
        series: number of realisations.
        generator: source of random numbers.

    Raises:
        ValueError: if the process is not stationary.

    """
    variables = len(transition)
    start = joint_covariance(transition, noise)[:variables, :variables]
    states = np.empty((steps, series, variables))
    states[0] = generator.standard_normal((series, variables)) @ np.linalg.cholesky(start).T
    shocks = generator.standard_normal((steps - 1, series, variables)) @ np.linalg.cholesky(noise).T
    for step, shock in enumerate(shocks, start=1):
        states[step] = states[step - 1] @ transition.T + shock
    return states


def sample_transfer_entropy(
    states: Float64[np.ndarray, "steps series variables"], source: list[int], target: list[int]
) -> float:
    """TE of a Gaussian process with the covariances of a sample, in nats.

    Args:
        states: realisations of the process.
        source: indices of the driving variables.
        target: indices of the driven variables.

    """
    variables = states.shape[-1]
    pairs = np.concatenate([states[:-1], states[1:]], axis=2).reshape(-1, 2 * variables)
    covariance = np.cov(pairs, rowvar=False)
    future = [variables + number for number in target]
    undriven = conditional_covariance(covariance, future, target)
    driven = conditional_covariance(covariance, future, [*target, *source])
    return float(np.linalg.slogdet(undriven).logabsdet - np.linalg.slogdet(driven).logabsdet) / 2
