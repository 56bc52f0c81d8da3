"""joint_gaussian: two views of one Gaussian vector and a number to predict, whose optimum is known (CCH, synthetic).

With a unit vector beta and u, v, n1 ~ N(0, I_p), e ~ N(0, 1), the student sees x2 = gamma u + sqrt(1 - gamma^2) v, the
teacher x1 = u + tau n1, and the target is y = beta'u + sigma e. The best student predicts gamma beta'x2, with a mean
squared error of 1 + sigma^2 - gamma^2. The criterion I(t; s) > I(s; y) is met iff tau < sigma. The published covariance
is not known; this design is ours, and `trainables.theory.joint_gaussian` has its closed form.
"""

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from search_spaces.domains import Choice
from trainables.common.types import PairedData
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.raw_files import fingerprint_of
from trainables.data.common.splits import join_splits

VERSION = 1
"""Increase it when `load` makes other arrays from the same config."""


class JointGaussianConfig(DataConfig):
    """Correlation of the two views, noise of the teacher's view and noise of the target."""

    task: ClassVar[str] = "regression"
    teacher_only: ClassVar[tuple[str, ...]] = ("tau",)
    axes: ClassVar[dict[str, tuple[str, Callable[[float], float]]]] = {
        "gamma": ("γ, correlation of the views", float),
        "tau": ("τ, noise of the teacher's view", float),
        "sigma": ("σ, noise of the target", float),
    }
    dataset: Literal["joint_gaussian"] = "joint_gaussian"
    """Two correlated Gaussian views and a number to predict, with a known optimum."""
    p: Annotated[int, Field(ge=1)] = 100
    """Inputs of each view."""
    gamma: Annotated[float, Field(ge=0, le=1), Choice((0.2, 0.4, 0.6, 0.8, 0.9))] = 0.6
    """Correlation of the views, input by input."""
    tau: Annotated[float, Field(ge=0), Choice((0.0, 0.4, 0.8, 1.2, 1.6, 2.4))] = 0.4
    """Noise of the teacher's view; the criterion is met if it is below `sigma`."""
    sigma: Annotated[float, Field(ge=0)] = 0.8
    """Noise of the target."""
    expected_targets: bool = False
    """Measure against E[y | x2] instead of y: validation and test `mse` are then the excess risk, without the noise of
    the target. Do not set it in a study that estimates I(H2; Y) from these splits."""
    train: Annotated[int, Field(ge=2)] = 10_000
    """Training pairs."""
    val: Annotated[int, Field(ge=2)] = 2000
    """Validation pairs."""
    test: Annotated[int, Field(ge=2)] = 10_000
    """Test pairs."""
    data_seed: Annotated[int | None, Field(ge=0)] = 0
    """Seed of beta and of all pairs; null: the trial's seed, so that every seed has other data."""

    def for_student(self) -> DataConfig:
        return self.model_copy(update={"tau": 0.0})


def load(config: JointGaussianConfig) -> PairedData:
    """The three splits, not standardised. A config without a `data_seed` draws with seed 0."""
    first, *sources = [np.random.default_rng(seed) for seed in np.random.SeedSequence(config.data_seed or 0).spawn(4)]
    beta = first.standard_normal(config.p)
    beta /= np.linalg.norm(beta)
    sizes = (config.train, config.val, config.test)
    parts = [draw(config, size, beta, source) for size, source in zip(sizes, sources, strict=True)]
    if config.expected_targets:
        parts[1:] = [(teacher, student, config.gamma * student @ beta) for teacher, student, _ in parts[1:]]
    return join_splits([(teacher, student, y[:, None].astype(np.float32)) for teacher, student, y in parts], 1)


def draw(
    config: JointGaussianConfig, rows: int, beta: ndarray, generator: np.random.Generator
) -> tuple[ndarray, ndarray, ndarray]:
    """One split. The teacher's noise is drawn last.

    Args:
        config: the config of the data.
        rows: number of pairs.
        beta: unit vector of p weights.
        generator: source of all draws.

    Returns:
        Teacher inputs (rows, p), student inputs (rows, p) and targets (rows,).
    """
    u, v = generator.standard_normal((2, rows, config.p))
    y = u @ beta + config.sigma * generator.standard_normal(rows)
    student = config.gamma * u + math.sqrt(1 - config.gamma**2) * v
    teacher = u + config.tau * generator.standard_normal((rows, config.p))
    return teacher, student, y


def fingerprint(config: JointGaussianConfig) -> str:
    """Hash of `VERSION`: everything else is in the config."""
    return fingerprint_of("joint_gaussian", VERSION)


def shape(config: JointGaussianConfig) -> DataShape:
    """Shapes of the inputs, one output instead of classes, and the sizes of the config."""
    return DataShape((config.p,), (config.p,), 1, config.train, config.val, config.test)


JOINT_GAUSSIAN = Dataset(JointGaussianConfig, load, fingerprint, shape)
