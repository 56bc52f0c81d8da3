"""Nearest-neighbour estimators: KSG-1 and KSG-2 (Kraskov et al. 2004), Ross (2014) for a discrete target.

All distances are max-norms; ψ is the digamma function, N the number of pairs, ⟨.⟩ the mean over them.
"""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float64, Int64
from pydantic import Field
from torch import Tensor

from trainables.mi.base import MIConfig, Pairs, Value
from trainables.mi.neighbours import counts_within, k_nearest

RELIABLE_DIM = 20
"""Number of dimensions of the joint space up to which nearest-neighbour estimates are usually reliable."""


class NeighbourConfig(MIConfig):
    """Fields of the nearest-neighbour estimators."""

    k: Annotated[int, Field(ge=1)] = 3
    """Number of neighbours; more neighbours give less variance and more bias."""


class KSG1Config(NeighbourConfig):
    """ψ(k) + ψ(N) - ⟨ψ(n_x + 1) + ψ(n_y + 1)⟩ (Eq. 8)."""

    estimator: Literal["ksg1"] = "ksg1"
    """First algorithm of Kraskov, Stögbauer and Grassberger."""


class KSG2Config(NeighbourConfig):
    """ψ(k) - 1/k + ψ(N) - ⟨ψ(n_x) + ψ(n_y)⟩ (Eq. 9)."""

    estimator: Literal["ksg2"] = "ksg2"
    """Second algorithm of Kraskov, Stögbauer and Grassberger."""


class RossConfig(NeighbourConfig):
    """ψ(N) + ⟨ψ(k_i)⟩ - ⟨ψ(N_y)⟩ - ⟨ψ(m)⟩ for a discrete target."""

    estimator: Literal["ross"] = "ross"
    """Ross's estimator between continuous columns and classes."""


class KSGConfig(NeighbourConfig):
    """KSG-1 for a continuous y, Ross for classes: related estimators for the two sides of a criterion."""

    estimator: Literal["ksg"] = "ksg"
    """KSG-1, or Ross for a discrete target."""


def minimum_rows(config: NeighbourConfig) -> int:
    """Least number of pairs: k neighbours, the row itself and one more."""
    return config.k + 2


def ksg1(pairs: Pairs, config: NeighbourConfig, seed: int) -> Value:
    """ψ(k) + ψ(N) - ⟨ψ(n_x + 1) + ψ(n_y + 1)⟩ in nats (Kraskov et al. 2004, Eq. 8).

    ε_i is the distance to the k-th neighbour in the joint space; n_x and n_y count the other points whose x, or y, is
    strictly closer than ε_i.
    """
    return Value(ksg1_nats(pairs.x, pairs.y, config.k), dimension_note(pairs))


def ksg1_nats(x: Float64[Tensor, "rows dim_x"], y: Float64[Tensor, "rows dim_y"], k: int) -> float:
    """KSG-1 of prepared columns, in nats."""
    radius = k_nearest(torch.cat([x, y], dim=1), k).distances[:, -1]
    # The counts include the point itself, so they are n + 1. If k other points equal it, ε and the count are 0.
    total = sum(mean_psi(counts_within(side, radius).clamp(min=1)) for side in (x, y))
    return psi(k) + psi(len(x)) - total


def ksg2(pairs: Pairs, config: KSG2Config, seed: int) -> Value:
    """ψ(k) - 1/k + ψ(N) - ⟨ψ(n_x) + ψ(n_y)⟩ in nats (Kraskov et al. 2004, Eq. 9).

    The k nearest neighbours in the joint space span ε_x and ε_y around a point; n_x and n_y count the other points
    whose x, or y, is within them, borders included.
    """
    x, y, k = pairs.x, pairs.y, config.k
    near = k_nearest(torch.cat([x, y], dim=1), k).indices
    total = 0.0
    for side in (x, y):
        extent = (side[:, None] - side[near]).abs().amax(dim=(1, 2))
        beyond = torch.nextafter(extent, extent.new_tensor(math.inf))
        total += mean_psi(counts_within(side, beyond) - 1)
    return Value(psi(k) - 1 / k + psi(len(x)) - total, dimension_note(pairs))


def ross(pairs: Pairs, config: NeighbourConfig, seed: int) -> Value:
    """ψ(N) + ⟨ψ(k_i)⟩ - ⟨ψ(N_y)⟩ - ⟨ψ(m)⟩ in nats (Ross 2014).

    k_i = min(k, N_y - 1); d_i is the distance to the k_i-th neighbour of the same class; m_i counts the points of any
    class strictly closer than d_i, the point itself included. Classes with one example are left out.

    Raises:
        ValueError: if every class has one example.
    """
    counts = torch.bincount(pairs.y)
    pairs = pairs.take((counts[pairs.y] > 1).nonzero().flatten())
    if not pairs.rows:
        raise ValueError("Ross's estimator needs a class with two examples or more, but each has one; use more data")
    x, classes = pairs
    in_class = counts[classes]
    neighbours = (in_class - 1).clamp(max=config.k)
    radius = x.new_empty(len(x))
    for number in classes.unique().tolist():
        members = classes == number
        radius[members] = k_nearest(x[members], min(config.k, int(members.sum()) - 1)).distances[:, -1]
    closer = counts_within(x, radius).clamp(min=1)
    value = psi(len(x)) + mean_psi(neighbours) - mean_psi(in_class) - mean_psi(closer)
    return Value(value, dimension_note(pairs))


def ksg(pairs: Pairs, config: KSGConfig, seed: int) -> Value:
    """KSG-1 for a continuous y, Ross for classes."""
    return ross(pairs, config, seed) if pairs.num_classes else ksg1(pairs, config, seed)


def dimension_note(pairs: Pairs) -> tuple[str, ...]:
    """A warning if the joint space has too many dimensions for neighbour estimates."""
    dim = pairs.x.shape[1] + pairs.dim_y
    if dim <= RELIABLE_DIM:
        return ()
    return (
        f"nearest-neighbour estimates are unreliable above some {RELIABLE_DIM} dimensions, and these have {dim}; "
        "reduce them (pca: 8) or use latentmi",
    )


def mean_psi(counts: Int64[Tensor, " rows"]) -> float:
    """⟨ψ⟩ of counts."""
    return float(torch.special.digamma(counts.double()).mean())


def psi(count: int) -> float:
    """ψ of one count."""
    return float(torch.special.digamma(torch.tensor(count, dtype=torch.float64)))
