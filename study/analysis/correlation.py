"""Spearman's rank correlation with its confidence interval."""

from math import atanh, sqrt, tanh
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from study.analysis.comparison import LEVEL
from study.analysis.scipy_functions import ranks

LEAST_FOR_CORRELATION = 4
"""Fisher's transformation has the variance 1 / (n - 3)."""


class Correlation(NamedTuple):
    """Spearman's rank correlation with its 95 % interval; None where it is not defined."""

    rho: float
    low: float | None
    high: float | None
    n: int


def spearman(xs: list[float], ys: list[float]) -> Correlation | None:
    """Rank correlation, interval by Fisher's z with the variance (1 + ρ²/2) / (n - 3) of Bonett and Wright (2000).

    None with fewer than three pairs or a side without ranks.
    """
    if len(xs) < 3 or len(set(xs)) < 2 or len(set(ys)) < 2:
        return None
    rho, n = float(np.corrcoef(ranks(xs), ranks(ys))[0, 1]), len(xs)
    if n < LEAST_FOR_CORRELATION or abs(rho) >= 1 - 1e-12:
        return Correlation(rho, None, None, n)
    half = NormalDist().inv_cdf(1 - LEVEL / 2) * sqrt((1 + rho * rho / 2) / (n - 3))
    return Correlation(rho, tanh(atanh(rho) - half), tanh(atanh(rho) + half), n)
