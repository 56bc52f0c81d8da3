"""Standard errors by subsampling without replacement (Politis and Romano 1994)."""

import math
from collections.abc import Callable

import torch

from trainables.mi.base import IntervalConfig, Pairs


def standard_error(
    pairs: Pairs, compute: Callable[[Pairs, int], float], config: IntervalConfig, minimum: int, seed: int
) -> float:
    """Standard error of `compute` on all N pairs, from its values on parts of b pairs drawn without replacement.

    The variance of an estimate is about V/N. The values of parts vary by V/b - V/N around the value of all pairs,
    because parts overlap. So V/N = var(parts) (b/N) / (1 - b/N), which equals var(parts) for halves.

    Args:
        pairs: all pairs.
        compute: `compute(part, seed)`, the estimate in nats.
        config: number and size of the parts.
        minimum: least number of pairs of a part.
        seed: seed of the parts.

    Raises:
        ValueError: if a part would have fewer than `minimum` pairs.
    """
    size = round(config.fraction * pairs.rows)
    if size < minimum:
        raise ValueError(
            f"an interval needs at least {minimum} pairs in each part, but {config.fraction:g} of {pairs.rows} are "
            f"{size}; use more data, a larger fraction, or subsamples: 0 for no interval"
        )
    generator = torch.Generator().manual_seed(seed)
    values = []
    for number in range(config.subsamples):
        part = torch.randperm(pairs.rows, generator=generator)[:size].to(pairs.x.device)
        values.append(compute(pairs.take(part), seed + 1 + number))
    share = size / pairs.rows
    return float(torch.tensor(values, dtype=torch.float64).std()) * math.sqrt(share / (1 - share))


def interval_around(value: float, error: float, config: IntervalConfig) -> tuple[float, float]:
    """The confidence interval value ± t · error, with Student's t for the number of parts."""
    from scipy.stats import t

    width = float(t.ppf((1 + config.level) / 2, config.subsamples - 1)) * error
    return (value - width, value + width)
