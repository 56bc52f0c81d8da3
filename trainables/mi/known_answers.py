"""The error of an estimator on Gaussian data with known MI, with the rows and dimensions of the study.

It is shown next to an estimate. Real features are not Gaussian: an estimator that fails here cannot be trusted there,
and one that succeeds here may still fail there.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from trainables.mi import estimate
from trainables.mi.base import IntervalConfig, MIConfig

NATS = (0.0, 0.5, 1.0, 2.0)
"""True values in nats for a continuous target."""
SHARES = (0.0, 0.25, 0.5, 0.9)
"""True values for classes, as shares of ln(classes)."""
DRAWS = 20_000
"""Samples of the Monte Carlo integral of the true value for classes; its standard error is below 0.01."""


class SelfTestRow(NamedTuple):
    """Estimates of one true value."""

    true: float
    """True value in nats; for classes the mean over the data sets, whose true values differ slightly."""
    mean: float
    """Mean estimate in nats."""
    bias: float
    """Mean estimate - true value."""
    spread: float
    """Standard deviation of the errors; 0 for one."""
    repeats: int
    """Number of data sets."""


@dataclass(frozen=True)
class SelfTest:
    """Error of an estimator for each true value, in ascending order."""

    rows: tuple[SelfTestRow, ...]
    warnings: tuple[str, ...]
    """Distinct warnings of the estimates."""

    def at(self, value: float) -> tuple[float, float]:
        """Bias and spread of an estimate of `value` nats, interpolated between the mean estimates."""
        rows = sorted(self.rows, key=lambda row: row.mean)
        if value <= rows[0].mean:
            return rows[0].bias, rows[0].spread
        for low, high in pairwise(rows):
            if value <= high.mean:
                share = (value - low.mean) / (high.mean - low.mean)
                return low.bias + share * (high.bias - low.bias), low.spread + share * (high.spread - low.spread)
        return rows[-1].bias, rows[-1].spread


def self_test(
    n: int,
    dim_x: int,
    dim_y: int,
    config: MIConfig,
    *,
    num_classes: int = 0,
    repeats: int = 3,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> SelfTest:
    """Estimate known MI at several true values.

    Args:
        n: number of pairs.
        dim_x: columns of x.
        dim_y: columns of y; ignored for classes.
        config: the estimator; its intervals are not computed.
        num_classes: classes of a discrete target; 0: y is continuous.
        repeats: data sets for each true value.
        seed: seed of the data.
        device: device of the estimates.

    Returns:
        Bias and spread for each true value.

    Raises:
        ValueError: as `estimate` does, for example if there are too few rows.

    """
    config = config.model_copy(update={"interval": IntervalConfig(subsamples=0)})
    shares = [share * math.log(num_classes) for share in SHARES] if num_classes else NATS
    rows, warnings = [], {}
    for number, nats in enumerate(shares):
        values, true = [], []
        for repeat in range(repeats):
            generator = torch.Generator().manual_seed(seed + 1000 * number + repeat)
            if num_classes:
                x, y, exact = separated_classes(n, dim_x, num_classes, nats, generator)
            else:
                x, y = correlated_normals(n, dim_x, dim_y, nats, generator)
                exact = nats
            result = estimate(x.to(device), y.to(device), config, discrete_y=num_classes > 0, seed=repeat)
            values.append(result.value)
            true.append(exact)
            warnings |= dict.fromkeys(result.warnings)
        rows.append(row_of(true, values))
    return SelfTest(tuple(rows), tuple(warnings))


def row_of(true: list[float], values: list[float]) -> SelfTestRow:
    """Mean, bias and spread of estimates."""
    mean, known = sum(values) / len(values), sum(true) / len(true)
    errors = torch.tensor(values, dtype=torch.float64) - torch.tensor(true, dtype=torch.float64)
    spread = float(errors.std()) if len(values) > 1 else 0.0
    return SelfTestRow(known, mean, mean - known, spread, len(values))


def correlated_normals(
    n: int, dim_x: int, dim_y: int, nats: float, generator: torch.Generator
) -> tuple[Float64[Tensor, "n dim_x"], Float64[Tensor, "n dim_y"]]:
    """Normal x and y with I(x; y) = `nats`, spread evenly over d = min(dim_x, dim_y) directions.

    d pairs of columns have the correlation ρ = √(1 - e^(-2 nats / d)); then each side is rotated at random, so that, as
    in features, no column of x matches one column of y.

    Args:
        n: number of pairs.
        dim_x: columns of x.
        dim_y: columns of y.
        nats: the true MI.
        generator: source of random numbers.

    """
    common = min(dim_x, dim_y)
    rho = math.sqrt(-math.expm1(-2 * nats / common))
    x, y = (torch.randn(n, dim, generator=generator, dtype=torch.float64) for dim in (dim_x, dim_y))
    y[:, :common] = rho * x[:, :common] + math.sqrt(1 - rho**2) * y[:, :common]
    return x @ rotation(dim_x, generator), y @ rotation(dim_y, generator)


def rotation(dim: int, generator: torch.Generator) -> Float64[Tensor, "{dim} {dim}"]:
    """A random orthogonal matrix."""
    return torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q


def separated_classes(
    n: int, dim: int, num_classes: int, nats: float, generator: torch.Generator
) -> tuple[Float64[Tensor, "n dim"], Int64[Tensor, " n"], float]:
    """Equally frequent classes y and x ~ N(s μ_y, 1), with s such that I(x; y) is about `nats`.

    The means μ are orthonormal if dim >= num_classes, and normal vectors otherwise.

    Args:
        n: number of pairs.
        dim: columns of x.
        num_classes: number of classes.
        nats: the wanted MI.
        generator: source of random numbers.

    Returns:
        x, y and the true MI of these s and μ in nats (a Monte Carlo integral).

    """
    means = torch.randn(num_classes, dim, generator=generator, dtype=torch.float64)
    if dim >= num_classes:
        means = torch.linalg.qr(means.T).Q.T
    draws = torch.arange(DRAWS) % num_classes
    noise = torch.randn(DRAWS, dim, generator=generator, dtype=torch.float64) @ means.T
    some = slice(DRAWS // 10)
    low, high = 0.0, 1.0
    while class_information(high, means, draws[some], noise[some]) < nats:
        high *= 2
    for _ in range(20):
        middle = (low + high) / 2
        less = class_information(middle, means, draws[some], noise[some]) < nats
        low, high = (middle, high) if less else (low, middle)
    size = low if nats else 0.0
    y = torch.arange(n) % num_classes
    x = size * means[y] + torch.randn(n, dim, generator=generator, dtype=torch.float64)
    return x, y, class_information(size, means, draws, noise)


def class_information(
    size: float,
    means: Float64[Tensor, "classes dim"],
    y: Int64[Tensor, " draws"],
    noise: Float64[Tensor, "draws classes"],
) -> float:
    """I(x; y) = ln C + E ln p(y | x) in nats, by Monte Carlo.

    Args:
        size: s, length of the class means.
        means: μ of each class.
        y: class of each sample.
        noise: standard normal noise of each sample, projected on the means.

    """
    products = means @ means.T
    logits = size * (size * (products[y] - products.diagonal() / 2) + noise)
    return math.log(len(means)) + float(logits.log_softmax(dim=1).gather(1, y[:, None]).mean())
