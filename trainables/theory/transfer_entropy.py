"""Exact transfer entropy of Gaussian processes, and what a simulation of one shows of it.

For a stationary process z⁺ = A z + e, e ~ N(0, Q), with z = (x, y, ...), the transfer entropy from X to Y is half of
Granger's causality (Barnett et al. 2009), in nats:

    TE(X → Y) = ½ ln [det Σ(Y⁺ | Y) / det Σ(Y⁺ | Y, X)]

with conditional covariances by Schur complements of Σ = A Σ Aᵀ + Q and Cov(z⁺, z) = A Σ. One step of the past is
looked at, as the definition writes; where y alone is no Markov process, more of its past would give a smaller value.
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
    """TE from the variables `source` to `target` of z⁺ = A z + e, e ~ N(0, Q), in nats; other variables are left out.

    Args:
        transition: A.
        noise: Q, positive definite.
        source: numbers of the driving variables.
        target: numbers of the driven ones.

    Raises:
        ValueError: if the process is not stationary.

    """
    joint = joint_covariance(transition, noise)
    future = [len(transition) + number for number in target]
    alone = conditional_covariance(joint, future, target)
    driven = conditional_covariance(joint, future, [*target, *source])
    return float(np.linalg.slogdet(alone).logabsdet - np.linalg.slogdet(driven).logabsdet) / 2


def joint_covariance(transition: Matrix, noise: Matrix) -> Float64[np.ndarray, "both both"]:
    """Covariance of (z, z⁺), from Σ = A Σ Aᵀ + Q and Cov(z⁺, z) = A Σ.

    Raises:
        ValueError: if the process is not stationary.

    """
    from scipy.linalg import solve_discrete_lyapunov

    radius = float(np.abs(np.linalg.eigvals(transition)).max())
    if radius >= 1:
        raise ValueError(f"a stationary process needs eigenvalues of A below 1 in size, but the largest is {radius:g}")
    stationary = solve_discrete_lyapunov(transition, noise)
    ahead = transition @ stationary
    return np.block([[stationary, ahead.T], [ahead, stationary]])


def conditional_covariance(
    covariance: Matrix, wanted: list[int], given: list[int]
) -> Float64[np.ndarray, "wanted wanted"]:
    """Σ(W | G) = Σ_WW - Σ_WG Σ_GG⁻¹ Σ_GW, the Schur complement, of the variables numbered so."""
    cross = covariance[np.ix_(wanted, given)]
    explained = cross @ np.linalg.solve(covariance[np.ix_(given, given)], cross.T)
    return covariance[np.ix_(wanted, wanted)] - explained


def simulate_process(
    transition: Matrix, noise: Matrix, steps: int, series: int, generator: np.random.Generator
) -> Float64[np.ndarray, "steps series variables"]:
    """Independent realisations of the process, from its stationary distribution on. Raises ValueError as above."""
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
    """TE of the Gaussian with the sample's covariances: `gaussian_transfer_entropy` as measured, in nats."""
    variables = states.shape[-1]
    pairs = np.concatenate([states[:-1], states[1:]], axis=2).reshape(-1, 2 * variables)
    covariance = np.cov(pairs, rowvar=False)
    future = [variables + number for number in target]
    alone = conditional_covariance(covariance, future, target)
    driven = conditional_covariance(covariance, future, [*target, *source])
    return float(np.linalg.slogdet(alone).logabsdet - np.linalg.slogdet(driven).logabsdet) / 2
