"""Nearest-neighbour estimators against double loops written from their equations, and against scikit-learn's."""

import math

import pytest
import torch
from scipy.special import digamma
from torch import Tensor

from trainables.mi import ESTIMATORS, IntervalConfig, estimate
from trainables.mi.base import MIConfig

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
