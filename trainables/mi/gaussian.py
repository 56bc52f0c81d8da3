"""The closed form of the MI of jointly Gaussian columns."""

from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from trainables.mi.base import MIConfig, Pairs, Value


class GaussianConfig(MIConfig):
    """1/2 ln(det Σx det Σy / det Σ): exact for Gaussian data; for other data the information of the linear relation."""

    estimator: Literal["gaussian"] = "gaussian"
    """Closed form for jointly Gaussian columns."""
    correct_bias: bool = True
    """Whether the bias of the sample covariance is subtracted (about d_x d_y / 2N; exact for Gaussian data)."""


def minimum_rows(config: GaussianConfig) -> int:
    """Least number of pairs. That N exceeds the dimensions is checked by `gaussian`, which knows them."""
    return 3


def gaussian(pairs: Pairs, config: GaussianConfig, seed: int) -> Value:
    """-1/2 Σ ln(1 - ρ_i²) in nats, with ρ the canonical correlations: 1/2 ln(det Σx det Σy / det Σ) of the samples.

    Columns that are linear combinations of others are left out.

    Raises:
        ValueError: if there are no more rows than dimensions, or if x determines a direction of y completely.
    """
    x, y = (orthonormal_columns(side) for side in pairs)
    rank_x, rank_y = x.shape[1], y.shape[1]
    if pairs.rows - 1 <= rank_x + rank_y:
        raise ValueError(
            f"the closed form needs more pairs than {rank_x} + {rank_y} dimensions, but there are {pairs.rows}; "
            "use more data or fewer dimensions (pca: 8)"
        )
    left_over = 1 - torch.linalg.svdvals(x.T @ y).square()
    if bool((left_over < 1e-12).any()):
        raise ValueError(
            "the MI must be finite, but x determines a direction of y completely; leave out columns that are copies"
        )
    value = float(-left_over.log().sum() / 2)
    notes = tuple(
        f"{side.shape[1] - rank} of {side.shape[1]} dimensions of {name} are linear combinations of the others"
        for name, side, rank in (("x", pairs.x, rank_x), ("y", pairs.y, rank_y))
        if rank < side.shape[1]
    )
    return Value(value - bias(pairs.rows, rank_x, rank_y) if config.correct_bias else value, notes)


def orthonormal_columns(columns: Float64[Tensor, "rows dim"]) -> Float64[Tensor, "rows rank"]:
    """An orthonormal basis of the centred columns, without directions that are noise of the arithmetic or jitter."""
    left, sizes, _ = torch.linalg.svd(columns - columns.mean(dim=0), full_matrices=False)
    return left[:, sizes > 1e-8 * sizes[0]]


def bias(rows: int, dim_x: int, dim_y: int) -> float:
    """Expected difference of the plug-in value and the true value, from E ln det of a Wishart matrix."""
    return (log_det_bias(rows, dim_x) + log_det_bias(rows, dim_y) - log_det_bias(rows, dim_x + dim_y)) / 2


def log_det_bias(rows: int, dim: int) -> float:
    """E ln det S - ln det Σ for the scatter matrix S of `rows` points, up to a term linear in `dim`."""
    degrees = (rows - 1 - torch.arange(dim, dtype=torch.float64)) / 2
    return float(torch.special.digamma(degrees).sum())
