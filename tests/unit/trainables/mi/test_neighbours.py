"""Nearest-neighbour estimators against double loops written from their equations, and against scikit-learn's."""

import math

import pytest
import torch
from scipy.special import digamma
from torch import Tensor

from trainables.mi import ESTIMATORS, IntervalConfig, bitsets, estimate
from trainables.mi import neighbours as neighbours_module
from trainables.mi.base import MIConfig
from trainables.mi.neighbours import Nearest, counts_in_blocks, k_nearest_in_blocks, k_nearest_in_tree

NO_INTERVAL = IntervalConfig(subsamples=0)


def exact(name: str, k: int = 3) -> MIConfig:
    """The estimator without jitter and interval: what the loops compute."""
    return ESTIMATORS[name].config.model_validate({"k": k, "jitter": 0, "standardise": False, "interval": NO_INTERVAL})


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(a: list[float], b: list[float]) -> float:
    return max(abs(p - q) for p, q in zip(a, b, strict=True))


def neighbours(x: list[list[float]], y: list[list[float]], i: int, k: int) -> list[int]:
    others = [j for j in range(len(x)) if j != i]
    return sorted(others, key=lambda j: max(distance(x[i], x[j]), distance(y[i], y[j])))[:k]


def naive_ksg1(x: list[list[float]], y: list[list[float]], k: int) -> float:
    rows, total = len(x), 0.0
    for i in range(rows):
        last = neighbours(x, y, i, k)[-1]
        epsilon = max(distance(x[i], x[last]), distance(y[i], y[last]))
        for side in (x, y):
            total += digamma(sum(distance(side[i], side[j]) < epsilon for j in range(rows) if j != i) + 1)
    return digamma(k) + digamma(rows) - total / rows


def naive_ksg2(x: list[list[float]], y: list[list[float]], k: int) -> float:
    rows, total = len(x), 0.0
    for i in range(rows):
        nearest = neighbours(x, y, i, k)
        for side in (x, y):
            extent = max(distance(side[i], side[j]) for j in nearest)
            total += digamma(sum(distance(side[i], side[j]) <= extent for j in range(rows) if j != i))
    return digamma(k) - 1 / k + digamma(rows) - total / rows


def naive_ross(x: list[list[float]], classes: list[int], k: int) -> float:
    kept = [i for i in range(len(x)) if classes.count(classes[i]) > 1]
    total = 0.0
    for i in kept:
        same = [j for j in kept if j != i and classes[j] == classes[i]]
        own = min(k, len(same))
        radius = sorted(distance(x[i], x[j]) for j in same)[own - 1]
        strictly_closer = sum(distance(x[i], x[j]) < radius for j in kept)
        total += digamma(own) - digamma(len(same) + 1) - digamma(strictly_closer)
    return digamma(len(kept)) + total / len(kept)


@pytest.mark.parametrize(("name", "naive"), [("ksg1", naive_ksg1), ("ksg", naive_ksg1), ("ksg2", naive_ksg2)])
@pytest.mark.parametrize(("dim_x", "dim_y", "k"), [(1, 1, 3), (3, 2, 1), (8, 8, 3), (2, 11, 5)])
def test_ksg_against_a_double_loop(name: str, naive, dim_x: int, dim_y: int, k: int):
    x = normal(83, dim_x)
    y = 0.7 * x[:, :1] + normal(83, dim_y, seed=1)
    expected = naive(x.tolist(), y.tolist(), k)
    assert estimate(x, y, exact(name, k)).value == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("dim", "k"), [(1, 3), (4, 1), (9, 5)])
@pytest.mark.parametrize("name", ["ross", "ksg"])
def test_ross_against_a_double_loop_with_small_classes_and_singletons(name: str, dim: int, k: int):
    classes = torch.tensor([0, 1, 2, 2] * 20 + [3, 3, 3, 4, 5])
    x = normal(85, dim) + classes[:, None]
    found = estimate(x, classes, exact(name, k), discrete_y=True)
    assert found.value == pytest.approx(naive_ross(x.tolist(), classes.tolist(), k), abs=1e-10)
    assert found.warnings == ("2 of 6 classes have one example only and were dropped",)
    assert found.settings["rows"] == 83
    assert found.settings["classes"] == 4


def test_ksg_of_correlated_normals_is_the_closed_form():
    x = normal(5000, 1)
    y = 0.8 * x + 0.6 * normal(5000, 1, seed=1)
    config = ESTIMATORS["ksg"].config(interval=NO_INTERVAL)
    assert estimate(x, y, config).value == pytest.approx(-math.log(1 - 0.64) / 2, abs=0.05)


TIED = torch.randint(0, 4, (1700, 6), generator=torch.Generator().manual_seed(0)).double() / 10
"""Few values in each column: many ties and copies, and boundaries that rounding would put on the wrong side."""
UNTIED = {"normal": normal(1700, 7), "line": normal(1700, 1), "heavy tails": normal(1700, 6, seed=2) ** 5 + 100}
POINTS = UNTIED | {"ties": TIED, "one chunk": normal(130, 6), "chunk's end": normal(bitsets.CHUNK + 1, 2)}


@pytest.mark.parametrize("points", POINTS.values(), ids=list(POINTS))
@pytest.mark.parametrize("k", [1, 4])
def test_trees_and_bits_find_what_all_distances_say(points: Tensor, k: int):
    expected = k_nearest_in_blocks(points, k)
    by_bits = Nearest(*map(torch.from_numpy, bitsets.nearest(points.numpy(), k)))
    for found in (by_bits, k_nearest_in_tree(points, k)):
        assert found.distances.equal(expected.distances)
        chosen = points[found.indices]
        assert (chosen - points[:, None]).abs().amax(dim=2).equal(expected.distances)
        assert found.indices.ne(torch.arange(len(points))[:, None]).all()
        assert found.indices.sort(dim=1).values.diff(dim=1).ne(0).all()


@pytest.mark.parametrize("points", POINTS.values(), ids=list(POINTS))
def test_bits_count_what_all_distances_say(points: Tensor):
    radius = k_nearest_in_blocks(points, 3).distances[:, -1]
    radius[::7] = 0
    radius[1::7] = torch.inf
    expected = counts_in_blocks(points, radius)
    assert bitsets.counts_within(points.numpy(), radius.numpy()).tolist() == expected.tolist()
    assert expected[::7].eq(0).all() and expected[1::7].eq(len(points)).all()


@pytest.mark.slow
def test_large_and_small_data_go_different_ways_to_the_same_estimate(monkeypatch):
    x = normal(1600, 4)
    y = x.abs() + normal(1600, 4, seed=1)
    both = {}
    for rows in (0, 10**6):
        monkeypatch.setattr(neighbours_module, "FEW_ROWS", rows)
        both[rows] = [estimate(x, y, exact(name)).value for name in ("ksg1", "ksg2")]
        both[rows].append(estimate(x, (y[:, 0] > 1).long(), exact("ross"), discrete_y=True).value)
    assert both[0] == both[10**6]
