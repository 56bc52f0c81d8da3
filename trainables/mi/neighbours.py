"""Exact nearest neighbours in the max-norm, with memory that grows linearly with the rows.

Three methods give the same numbers: a k-d tree in few dimensions, bit sets (`bitsets`) for many points on a CPU, and
blocks of all distances on a GPU and for few points. `benchmarks/mutual_information.py` compares them.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from trainables.mi import bitsets

CPU_BLOCK = 2**19
"""Distances in one block on a CPU: 4 MiB, so that a block fits into the cache."""
GPU_BLOCK = 2**26
"""Distances in one block on a GPU: 512 MiB."""
FEW_ROWS = 500
"""Number of rows up to which all distances are computed on a CPU."""
FEW_DIMS = 5
"""Number of dimensions up to which a tree is fastest on a CPU."""


class Nearest(NamedTuple):
    """The k nearest other points of each row; the order of ties is arbitrary."""

    distances: Float64[Tensor, "rows k"]
    """Ascending."""
    indices: Int64[Tensor, "rows k"]


def k_nearest(points: Float64[Tensor, "rows dim"], k: int) -> Nearest:
    """The k nearest other points of each."""
    if points.device.type != "cpu":
        return k_nearest_in_blocks(points, k)
    if points.shape[1] <= FEW_DIMS:
        return k_nearest_in_tree(points, k)
    if len(points) <= FEW_ROWS:
        return k_nearest_in_blocks(points, k)
    distances, indices = bitsets.nearest(points.numpy(), k)
    return Nearest(torch.from_numpy(distances), torch.from_numpy(indices))


def counts_within(points: Float64[Tensor, "rows dim"], radius: Float64[Tensor, " rows"]) -> Int64[Tensor, " rows"]:
    """Number of points closer to each row than its radius; the row itself counts unless its radius is 0."""
    if points.device.type != "cpu" or (len(points) <= FEW_ROWS and points.shape[1] > 1):
        return counts_in_blocks(points, radius)
    return torch.from_numpy(bitsets.counts_within(points.numpy(), radius.numpy()))


def k_nearest_in_tree(points: Float64[Tensor, "rows dim"], k: int) -> Nearest:
    """`k_nearest` by a k-d tree, on a CPU."""
    from scipy.spatial import KDTree

    distances, indices = (torch.from_numpy(array) for array in KDTree(points).query(points, k + 1, p=math.inf))
    # The result contains the point itself at any position, or not at all, if other points have distance 0.
    itself = indices == torch.arange(len(points))[:, None]
    itself[:, -1] |= ~itself.any(dim=1)
    shape = (len(points), k)
    return Nearest(distances[~itself].reshape(shape), indices[~itself].reshape(shape))


def k_nearest_in_blocks(points: Float64[Tensor, "rows dim"], k: int) -> Nearest:
    """`k_nearest` from all distances."""
    parts = []
    for block in blocks(points):
        distances = max_norm(points[block], points)
        rows = torch.arange(len(distances), device=points.device)
        distances[rows, rows + block.start] = torch.inf
        parts.append(distances.topk(k, dim=1, largest=False))
    return Nearest(torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts]))


def counts_in_blocks(points: Float64[Tensor, "rows dim"], radius: Float64[Tensor, " rows"]) -> Int64[Tensor, " rows"]:
    """`counts_within` from all distances."""
    return torch.cat([(max_norm(points[block], points) < radius[block, None]).sum(dim=1) for block in blocks(points)])


def blocks(points: Float64[Tensor, "rows dim"]) -> Iterator[slice]:
    """Slices of the rows, each small enough for one block of distances."""
    budget = CPU_BLOCK if points.device.type == "cpu" else GPU_BLOCK
    step = max(1, budget // max(1, len(points)))
    for start in range(0, len(points), step):
        yield slice(start, start + step)


def max_norm(points: Float64[Tensor, "part dim"], others: Float64[Tensor, "rows dim"]) -> Float64[Tensor, "part rows"]:
    """max_d |p_d - q_d| of every pair of a point and an other point."""
    return torch.cdist(points, others, p=math.inf)
