"""Exact max-norm neighbours and counts by sets of bits: the fast way on a CPU.

In the max-norm, the points around p within a radius are those that are near p in every column; in one column they are
contiguous in sorted order. A table holds the set of the first r points in that order, for every r, with one bit a
point, so that any contiguous run is the exclusive or of two of its rows, and a ball is the intersection of one run a
column: 64 points in each operation. Points are taken in chunks, so that a table stays in the cache and memory grows
with the rows, not with their square.
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
"""Rows for which candidates are looked at together."""


class Runs(NamedTuple):
    """For one column: which places of the sorted order are near each row."""

    order: Int64[ndarray, " rows"]
    """Rows in ascending order of the column."""
    first: Int64[ndarray, " rows"]
    """First place that is near a row."""
    end: Int64[ndarray, " rows"]
    """The place after the last."""


class Candidates(NamedTuple):
    """Pairs of a row of one part and a point that may be one of its nearest."""

    row: Int64[ndarray, " pairs"]
    """Ascending, counted from the part's first row."""
    point: Int64[ndarray, " pairs"]


def counts_within(points: Float64[ndarray, "rows dim"], radius: Float64[ndarray, " rows"]) -> Int64[ndarray, " rows"]:
    """How many points are strictly closer to each row than its radius, itself included if the radius is not 0."""
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
    """Distances to the k nearest other points, in ascending order, and which they are."""
    radius = bound(points, k)
    distances = np.full((len(points), k), np.inf)
    indices = np.zeros((len(points), k), dtype=np.int64)
    for start in range(0, len(points), CHUNK):
        balls = ball([near(column, radius, strict=False) for column in points.T], start)
        for first in range(0, len(points), PART):
            part = slice(first, first + PART)
            found = candidates(balls[part], first, start)
            improve(points, first, found, distances[part], indices[part])
        radius = np.minimum(radius, distances[:, -1])
    return distances, indices


def bound(points: Float64[ndarray, "rows dim"], k: int) -> Float64[ndarray, " rows"]:
    """A radius that holds the k nearest others: that to the (k+1)-th of some points, of which one may be the row."""
    some = min(len(points), round(2 * ((k + 1) * len(points)) ** 0.5))
    sample = torch.from_numpy(points[np.random.default_rng(0).permutation(len(points))[:some]])
    parts = [
        torch.cdist(part, sample, p=torch.inf).topk(k + 1, dim=1, largest=False).values[:, -1]
        for part in torch.from_numpy(points).split(PART)
    ]
    return torch.cat(parts).numpy()


def near(column: Float64[ndarray, " rows"], radius: Float64[ndarray, " rows"], strict: bool) -> Runs:
    """The runs |column - row's value| < radius, or <= radius, exactly as floating-point numbers compare."""
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
    """For each row, the first place in [low, high) where `holds` does not, or high; it never holds again after one.

    The guess is right but for rounding; where it is not, bisection finds the place.
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
    """For each row, the set of the points from `start` to the chunk's end that are near it in every column."""
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
    """The members of the balls around rows `first`..., without the rows themselves."""
    row, word = np.nonzero(balls)
    octets = balls[row, word].astype("<u8").view(np.uint8).reshape(-1, 8)
    which, bit = np.nonzero(np.unpackbits(octets, axis=1, bitorder="little"))
    row, point = row[which], start + 64 * word[which] + bit
    other = row + first != point
    return Candidates(row[other], point[other])


def improve(
    points: Float64[ndarray, "rows dim"],
    first: int,
    found: Candidates,
    distances: Float64[ndarray, "part k"],
    indices: Int64[ndarray, "part k"],
) -> None:
    """Put the nearest of the known neighbours and of the candidates into `distances` and `indices`."""
    if not len(found.row):
        return
    away = np.zeros(len(found.row))
    for column in points.T:
        np.maximum(away, np.abs(column[found.row + first] - column[found.point]), out=away)
    rows, k = distances.shape
    each = np.bincount(found.row, minlength=rows)
    place = k + np.arange(len(found.row)) - (np.cumsum(each) - each)[found.row]
    all_distances = np.full((rows, k + each.max()), np.inf)
    all_indices = np.zeros(all_distances.shape, dtype=np.int64)
    all_distances[:, :k], all_indices[:, :k] = distances, indices
    all_distances[found.row, place], all_indices[found.row, place] = away, found.point
    best, where = torch.from_numpy(all_distances).topk(k, dim=1, largest=False)
    distances[:] = best.numpy()
    indices[:] = np.take_along_axis(all_indices, where.numpy(), axis=1)
