"""The synthetic study of CCH: compares simulation and closed form, and tests the criterion.

No trial is run. Least squares has an exact simulation (`trainables.theory.joint_gaussian`), which fits a thousand
students in less than a second.
"""

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from study.errors import StudyError
from trainables.theory.joint_gaussian import Design, Moments, criterion, excess_risk, fitted_scale, moments, simulate

GAMMAS = (0.2, 0.4, 0.6, 0.8, 0.9)

TAUS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
"""In units of sigma."""

LAMBDAS = (0.2, 0.3, 0.5, 0.7, 0.8, 2.0, 5.0)
"""The study's grid, and two that are larger."""

FEWEST_REPEATS = 200
"""With fewer repeats, the mean of the skewed risk is not normal, and its standard error is not informative."""

SURE = 0.05
"""Probability that a cell of the grid deviates as far as `Theory.limit` if the closed form is right."""

Teacher = Literal["beta", "fitted"]

SCALES: dict[Teacher, Callable[[Tensor], Tensor]] = {"beta": torch.ones_like, "fitted": fitted_scale}
"""The teacher's weights as a multiple of beta: the true ones, or those of a linear teacher with unlimited data."""


class Cell(NamedTuple):
    """One gamma, tau and lambda. Risks are excess risks over the best linear student."""

    gamma: float
    tau: float
    lambda_kd: float
    gap: float
    """G = I(t; s) - I(s; y) in nats. The criterion predicts a gain if it is positive."""
    alone: float
    """Risk without distillation, by the closed form."""
    risk: float
    """Risk with distillation, by the closed form."""
    simulated: float
    standard_error: float
    gain: float
    """Simulated risk without distillation minus with it, on the same training sets."""
    gain_error: float

    @property
    def deviation(self) -> float:
        """Simulated minus closed form, in standard errors."""
        return (self.simulated - self.risk) / self.standard_error

    @property
    def predicted(self) -> bool:
        """Whether the criterion predicts that distillation helps."""
        return self.gap > 0

    @property
    def helps(self) -> bool:
        """Whether distillation helps, by the closed form."""
        return self.risk < self.alone


class Theory(NamedTuple):
    """The whole grid."""

    n: int
    p: int
    sigma: float
    repeats: int
    teacher: Teacher
    cells: list[Cell]

    def moments(self, gamma: Tensor, tau: Tensor) -> Moments:
        """Moments of the design with this target noise and this teacher."""
        return moments(gamma, tau, torch.full_like(tau, self.sigma), SCALES[self.teacher](tau))

    @property
    def worst(self) -> float:
        """Largest deviation of a cell, in standard errors."""
        return max(abs(cell.deviation) for cell in self.cells)

    @property
    def limit(self) -> float:
        """The deviation that the worst cell exceeds with a probability of at most SURE."""
        return NormalDist().inv_cdf(1 - SURE / 2 / len(self.cells))


def compute(n: int, p: int, sigma: float, repeats: int, teacher: Teacher, seed: int = 0) -> Theory:
    """Closed form and simulation over GAMMAS x TAUS x LAMBDAS.

    Args:
        n: training pairs of a student.
        p: inputs of the student.
        sigma: standard deviation of the target's noise.
        repeats: number of training sets.
        teacher: the teacher's weights, a key of `SCALES`.
        seed: seed of the training sets.

    Raises:
        StudyError: if a size or the teacher is outside its range.

    """
    if p < 1 or n <= p + 2:
        raise StudyError(
            f"least squares needs p >= 1 and n > p + 2, but got n = {n}, p = {p}; use a larger n or a smaller p"
        )
    if sigma <= 0:
        raise StudyError(f"sigma, the target's noise, must be above 0, but got {sigma}; write for example 0.8")
    if repeats < FEWEST_REPEATS:
        raise StudyError(f"a standard error needs at least {FEWEST_REPEATS} repeats, but got {repeats}; use more")
    theory = Theory(n, p, sigma, repeats, teacher, [])
    generator = np.random.default_rng(seed)
    for gamma in GAMMAS:
        for tau in TAUS:
            theory.cells.extend(cells_at(theory, gamma, tau * sigma, generator))
    return theory


def cells_at(theory: Theory, gamma: float, tau: float, generator: np.random.Generator) -> list[Cell]:
    """One cell for each lambda, all from the same training sets.

    Args:
        theory: the settings of the grid.
        gamma: correlation of the modalities.
        tau: standard deviation of the teacher's noise.
        generator: source of random numbers.
    """
    gammas, taus = torch.tensor([gamma, tau], dtype=torch.float64)
    weights = torch.tensor([0.0, *LAMBDAS], dtype=torch.float64)
    exact = excess_risk(theory.moments(gammas, taus), weights, theory.n, theory.p).tolist()
    gap = float(criterion(gammas, taus, torch.full_like(taus, theory.sigma)).gap)
    design = Design(gamma, tau, theory.sigma, float(SCALES[theory.teacher](taus)))
    risks = simulate(design, weights.tolist(), theory.n, theory.p, theory.repeats, generator)
    gains = risks[:, :1] - risks
    columns = (*mean_and_error(risks), *mean_and_error(gains))
    measured = list(zip(*columns, strict=True))
    return [
        Cell(gamma, tau, lambda_kd, gap, exact[0], risk, *values)
        for lambda_kd, risk, values in zip(LAMBDAS, exact[1:], measured[1:], strict=True)
    ]


def mean_and_error(values: Tensor) -> tuple[list[float], list[float]]:
    """Mean over the repeats and its standard error, for each column."""
    return values.mean(dim=0).tolist(), (values.std(dim=0) / len(values) ** 0.5).tolist()


def findings(theory: Theory) -> list[str]:
    """The results on the grid, one sentence each."""
    cells = theory.cells
    agrees = "agrees with" if theory.worst <= theory.limit else "DEVIATES from"
    within = sum(abs(cell.deviation) <= 2 for cell in cells)
    yes, no = ([cell for cell in cells if cell.predicted is side] for side in (True, False))
    share = f"{within / len(cells):.1%}; 95.4% expected"
    sufficient = "" if all(cell.helps for cell in yes) else ", so it is not sufficient at these lambda"
    necessary = ", so it is not necessary" if any(cell.helps for cell in no) else ""
    return [
        f"The simulation {agrees} the closed form: of {len(cells)} cells {within} are within 2 standard errors "
        f"({share}), the worst is {theory.worst:.2f} away (limit {theory.limit:.2f}).",
        f"Where the criterion holds (tau < sigma), distillation helps in {helped(yes)} cells{sufficient}.",
        f"Where it does not, distillation still helps in {helped(no)} cells{necessary}.",
    ]


def helped(cells: Sequence[Cell]) -> str:
    """`12 of 140`."""
    return f"{sum(cell.helps for cell in cells)} of {len(cells)}"
