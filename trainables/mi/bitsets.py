"""Exact max-norm nearest neighbours and counts on a CPU, computed with bit sets.

This module exists because k-d trees are slow in many dimensions. It pays for N = 10,000 rows and more: there it was
4.8 times faster than scikit-learn's trees in 8 + 8 dimensions (`benchmarks/README.md`, reproduced by
`benchmarks/mutual_information.py`). For few rows or few dimensions `neighbours` uses other methods, which give the same
numbers.

In the max-norm, the points within a radius of p are those that are near p in every column, and in one column they are
contiguous in sorted order. For each column a table contains, for every r, the set of the first r points in that order,
with one bit for each point. A contiguous run is then the exclusive or of two rows of the table, and a ball is the
intersection of one run for each column, 64 points in one operation. Points are processed in chunks, so that a table
fits into the cache and memory grows linearly with the rows.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, UInt64
from numpy import ndarray

CHUNK = 4096
"""Points in one table: 2 MiB."""
PART = 2048
"""Rows whose candidates are compared at the same time."""


class Runs(NamedTuple):
    """For one column: the positions in sorted order that are near each row."""

    order: Int64[ndarray, " rows"]
    """Rows in ascending order of the column."""
    first: Int64[ndarray, " rows"]
    """First position that is near a row."""
    end: Int64[ndarray, " rows"]
    """The position after the last one."""


class Candidates(NamedTuple):
    """Pairs of a row of one part and a point that may be one of its nearest."""

    row: Int64[ndarray, " pairs"]
    """Ascending, counted from the part's first row."""
    point: Int64[ndarray, " pairs"]


def counts_within(points: Float64[ndarray, "rows dim"], radius: Float64[ndarray, " rows"]) -> Int64[ndarray, " rows"]:
    """Number of points within a radius of each row.

    Args:
        points: the points, float64.
        radius: radius of each row.

    Returns:
        Number of points with a max-norm distance below the radius; the row itself counts unless its radius is 0.

    """
    columns = [near(column, radius, strict=True) for column in points.T]
    if len(columns) == 1:
        return columns[0].end - columns[0].first
    total = np.zeros(len(points), dtype=np.int64)
    for start in range(0, len(points), CHUNK):
        total += np.bitwise_count(ball(columns, start)).sum(axis=1, dtype=np.int64)
    return total


def nearest(
    points: Float64[ndarray, "rows dim"], k: int
) -> tuple[Float64[ndarray, "rows {k}"], Int64[ndarray, "rows {k}"]]:
    """The k nearest other points of each row.

    Args:
        points: the points, float64; at least k + 1.
        k: number of neighbours.

    Returns:
        Max-norm distances in ascending order, and the row numbers of the neighbours.

    """
    radius = bound(points, k)
    distances = np.full((len(points), k), np.inf)
    indices = np.zeros((len(points), k), dtype=np.int64)
    for start in range(0, len(points), CHUNK):
        balls = ball([near(column, radius, strict=False) for column in points.T], start)
        for first in range(0, len(points), PART):
            part = slice(first, first + PART)
            pairs = candidates(balls[part], first, start)
            improve(points, first, pairs, distances[part], indices[part])
        radius = np.minimum(radius, distances[:, -1])
    return distances, indices


def bound(points: Float64[ndarray, "rows dim"], k: int) -> Float64[ndarray, " rows"]:
    """An upper bound of the distance to the k-th neighbour: the distance to the (k+1)-th point of a random sample.

    The sample may contain the row itself, hence k + 1.
    """
    some = min(len(points), round(2 * ((k + 1) * len(points)) ** 0.5))
    sample = torch.from_numpy(points[np.random.default_rng(0).permutation(len(points))[:some]])
    parts = [
        torch.cdist(part, sample, p=torch.inf).topk(k + 1, dim=1, largest=False).values[:, -1]
        for part in torch.from_numpy(points).split(PART)
    ]
    return torch.cat(parts).numpy()


def near(column: Float64[ndarray, " rows"], radius: Float64[ndarray, " rows"], strict: bool) -> Runs:
    """The runs of one column with |value - value of the row| < radius (`strict`) or <= radius.

    Args:
        column: one column of the points.
        radius: radius of each row.
        strict: whether points at the distance of the radius are left out.

    Returns:
        The runs, exact in floating-point arithmetic.

    """
    order = np.argsort(column, kind="stable")
    values = column[order]
    rows = len(column)
    own = np.empty(rows, dtype=np.int64)
    own[order] = np.arange(rows)
    inside = np.less if strict else np.less_equal

    def below(which: Int64[ndarray, " some"], place: Int64[ndarray, " some"]) -> Bool[ndarray, " some"]:
        return ~inside(column[which] - values[place], radius[which])

    def up_to(which: Int64[ndarray, " some"], place: Int64[ndarray, " some"]) -> Bool[ndarray, " some"]:
        return inside(values[place] - column[which], radius[which])

    left, right = ("right", "left") if strict else ("left", "right")
    zero, last = np.zeros(rows, dtype=np.int64), np.full(rows, rows)
    first = turning_point(below, np.searchsorted(values, column - radius, side=left), zero, own)
    end = turning_point(up_to, np.searchsorted(values, column + radius, side=right), own, last)
    return Runs(order, np.minimum(first, end), end)


def turning_point(
    holds: Callable[[Int64[ndarray, " some"], Int64[ndarray, " some"]], Bool[ndarray, " some"]],
    guess: Int64[ndarray, " rows"],
    low: Int64[ndarray, " rows"],
    high: Int64[ndarray, " rows"],
) -> Int64[ndarray, " rows"]:
    """For each row, the first position in [low, high) where `holds` is false, or high.

    Args:
        holds: predicate of rows and positions; once false for a row, it stays false at larger positions.
        guess: expected position of each row; where rounding makes it wrong, bisection finds the position.
        low: first position of each row.
        high: end of the positions of each row.

    """
    rows = np.arange(len(guess))
    place = np.clip(guess, low, high)
    too_late = (place > low) & ~holds(rows, np.maximum(place - 1, 0))
    too_soon = (place < high) & holds(rows, np.minimum(place, len(rows) - 1))
    wrong = np.flatnonzero(too_late | too_soon)
    low, high = low[wrong], high[wrong]
    while (active := low < high).any():
        middle = (low + high) // 2
        later = active & holds(wrong, np.minimum(middle, len(rows) - 1))
        low = np.where(later, middle + 1, low)
        high = np.where(active & ~later, middle, high)
    place[wrong] = low
    return place


def ball(columns: list[Runs], start: int) -> UInt64[ndarray, "rows words"]:
    """For each row, the set of points of one chunk that are near it in every column.

    Args:
        columns: the runs of each column.
        start: first point of the chunk.

    Returns:
        One bit for each point of the chunk: point start + p is bit p % 64 of word p // 64.

    """
    balls = None
    for order, first, end in columns:
        in_chunk = (order >= start) & (order < start + CHUNK)
        before = np.concatenate([[0], np.cumsum(in_chunk)])
        sets = first_points(order[in_chunk] - start)
        run = sets.take(before[end], axis=0)
        run ^= sets.take(before[first], axis=0)
        balls = run if balls is None else np.bitwise_and(balls, run, out=balls)
    assert balls is not None
    return balls


def first_points(order: Int64[ndarray, " points"]) -> UInt64[ndarray, "ranks words"]:
    """Row r is the set of the first r points of `order`: point p is bit p % 64 of word p // 64."""
    sets = np.zeros((len(order) + 1, -(-len(order) // 64)), dtype=np.uint64)
    sets[np.arange(1, len(order) + 1), order // 64] = np.uint64(1) << (order % 64).astype(np.uint64)
    return np.bitwise_or.accumulate(sets, axis=0, out=sets)


def candidates(balls: UInt64[ndarray, "part words"], first: int, start: int) -> Candidates:
    """The pairs of a row and a point in its ball, without the pairs of a row with itself.

    Args:
        balls: the sets of points, one for each row of the part.
        first: first row of the part.
        start: first point of the chunk.

    """
    row, word = np.nonzero(balls)
    octets = balls[row, word].astype("<u8").view(np.uint8).reshape(-1, 8)
    which, bit = np.nonzero(np.unpackbits(octets, axis=1, bitorder="little"))
    row, point = row[which], start + 64 * word[which] + bit
    other = row + first != point
    return Candidates(row[other], point[other])


def improve(
    points: Float64[ndarray, "rows dim"],
    first: int,
    pairs: Candidates,
    distances: Float64[ndarray, "part k"],
    indices: Int64[ndarray, "part k"],
) -> None:
    """Update the k nearest neighbours of a part of the rows with new candidates, in place.

    Args:
        points: all points.
        first: first row of the part.
        pairs: the candidates of the part.
        distances: distances to the nearest points so far; updated.
        indices: row numbers of the nearest points so far; updated.

    """
    if not len(pairs.row):
        return
    away = np.zeros(len(pairs.row))
    for column in points.T:
        np.maximum(away, np.abs(column[pairs.row + first] - column[pairs.point]), out=away)
    rows, k = distances.shape
    counts = np.bincount(pairs.row, minlength=rows)
    place = k + np.arange(len(pairs.row)) - (np.cumsum(counts) - counts)[pairs.row]
    all_distances = np.full((rows, k + counts.max()), np.inf)
    all_indices = np.zeros(all_distances.shape, dtype=np.int64)
    all_distances[:, :k], all_indices[:, :k] = distances, indices
    all_distances[pairs.row, place], all_indices[pairs.row, place] = away, pairs.point
    best, where = torch.from_numpy(all_distances).topk(k, dim=1, largest=False)
    distances[:] = best.numpy()
    indices[:] = np.take_along_axis(all_indices, where.numpy(), axis=1)
