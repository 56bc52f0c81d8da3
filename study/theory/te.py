"""The TE proxies against an exact Gaussian transfer entropy, over the strength of the coupling.

No trial is run. Teacher and student are two coupled series, x⁺ = a x + e_x and y⁺ = b y + c x + e_y, with independent
realisations as dimensions and two more of them as the second modality. Rows are moments of time, so along the batch
there is a transfer entropy; shuffled, as batches are in training, there is none.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from study.analysis.correlation import spearman
from study.errors import StudyError
from trainables.losses.contrastive import EmbeddingPair
from trainables.losses.distillation import unit_rows
from trainables.losses.te_proxies import Lag, te1, te2
from trainables.theory.transfer_entropy import (
    Coupled,
    coupled_transfer_entropy,
    gaussian_transfer_entropy,
    sample_transfer_entropy,
    simulate_process,
)

PROCESSES = ((0.6, 0.4), (0.0, 0.4), (0.9, 0.8))
"""(a, b): memory of the driving and of the driven series. The first is the definition's example."""

SIGMA_X, SIGMA_Y = 1.0, 0.7

COUPLINGS = tuple(round(c, 2) for c in np.linspace(-1, 1, 41).tolist())

EXAMPLE, EXAMPLE_STEPS, EXAMPLE_SERIES = Coupled(0.6, 0.4, 0.5, SIGMA_X, SIGMA_Y), 4000, 100
"""The example of known TE, and the size of its simulation: 4e5 steps."""

MODALITIES = 2

FEWEST_REPEATS = 10
"""With fewer repeats, a 95 % range is not informative."""


class Proxy(NamedTuple):
    """A proxy, and the order of the rows."""

    compute: Callable[[EmbeddingPair, EmbeddingPair, Lag], Tensor]
    lag: Lag
    shuffled: bool


PROXIES = {
    "TE1": Proxy(te1, 0, False),
    "TE2": Proxy(te2, 0, False),
    "TE1, lag 1": Proxy(te1, 1, False),
    "TE2, lag 1": Proxy(te2, 1, False),
    "TE1, shuffled": Proxy(te1, 0, True),
    "TE2, shuffled": Proxy(te2, 0, True),
}


class Point(NamedTuple):
    """One process at one coupling."""

    model: Coupled
    exact: float
    """TE(X → Y) in nats, along time."""
    proxies: dict[str, list[float]]
    """By name in PROXIES, one value for each repeat."""


class Rank(NamedTuple):
    """Spearman's correlation of a proxy with the exact TE."""

    mean: float
    low: float
    high: float
    """Mean over the repeats and their central 95 %."""


class TheoryOfTE(NamedTuple):
    """The results of the sweep."""

    steps: int
    dim: int
    repeats: int
    points: list[Point]
    example: tuple[float, float, float]
    """TE of EXAMPLE in nats: closed form, general form, measured on a simulation."""

    def of(self, process: tuple[float, float] | None, signed: bool) -> list[Point]:
        """The points of a process (None: of all), with couplings of both signs or from 0 on."""
        return [
            point
            for point in self.points
            if process in (None, (point.model.a, point.model.b)) and (signed or point.model.c >= 0)
        ]


def compute(steps: int, dim: int, repeats: int, seed: int = 0) -> TheoryOfTE:
    """Exact TE and proxies over PROCESSES x COUPLINGS.

    Raises:
        StudyError: if a size is below its minimum.

    """
    if steps < 8 or dim < 2:
        raise StudyError(
            f"the proxies need steps >= 8 and dim >= 2, but got steps = {steps}, dim = {dim}; use larger values"
        )
    if repeats < FEWEST_REPEATS:
        raise StudyError(f"a range over repeats needs at least {FEWEST_REPEATS}, but got {repeats}; use more")
    generator = np.random.default_rng(seed)
    models = [Coupled(a, b, c, SIGMA_X, SIGMA_Y) for a, b in PROCESSES for c in COUPLINGS]
    points = [
        Point(model, coupled_transfer_entropy(model), proxies_of(model, steps, dim, repeats, generator))
        for model in models
    ]
    return TheoryOfTE(steps, dim, repeats, points, example_three_ways(generator))


def example_three_ways(generator: np.random.Generator) -> tuple[float, float, float]:
    """TE of EXAMPLE by the scalar closed form, by Lyapunov's equation, and measured on a simulation."""
    states = simulate_process(EXAMPLE.transition, EXAMPLE.noise, EXAMPLE_STEPS, EXAMPLE_SERIES, generator)
    return (
        coupled_transfer_entropy(EXAMPLE),
        gaussian_transfer_entropy(EXAMPLE.transition, EXAMPLE.noise, [0], [1]),
        sample_transfer_entropy(states, [0], [1]),
    )


def proxies_of(
    model: Coupled, steps: int, dim: int, repeats: int, generator: np.random.Generator
) -> dict[str, list[float]]:
    """Every proxy on simulated series, the driven one as the student of the driving one."""
    states = simulate_process(model.transition, model.noise, steps, repeats * MODALITIES * dim, generator)
    rows = torch.from_numpy(states).view(steps, repeats, MODALITIES, dim, 2).permute(1, 4, 2, 0, 3)
    rows = unit_rows(rows.reshape(-1, dim)).view(repeats, 2, MODALITIES, steps, dim)
    mixed = shuffle(rows, generator)
    return {name: measure(proxy, mixed if proxy.shuffled else rows) for name, proxy in PROXIES.items()}


def shuffle(rows: Tensor, generator: np.random.Generator) -> Tensor:
    """Batches of independent rows: moments in random order, each of another repeat than the one before."""
    repeats, steps = len(rows), rows.shape[-2]
    order = torch.from_numpy(generator.permutation(steps))
    whose = (torch.arange(repeats)[:, None] + torch.arange(steps)) % repeats
    return rows.movedim(-2, 1)[whose, order].movedim(1, -2)


def measure(proxy: Proxy, rows: Tensor) -> list[float]:
    """The proxy for each repeat; `rows` are (repeats, teacher and student, modalities, steps, dim)."""

    def one(both: Tensor) -> Tensor:
        teacher, student = (EmbeddingPair(series[0], series[1]) for series in both)
        return proxy.compute(student, teacher, proxy.lag)

    return vmap(one)(rows).tolist()


def rank(points: Sequence[Point], name: str) -> Rank:
    """Spearman over these points, repeat by repeat."""
    exact = [point.exact for point in points]
    found = [spearman(exact, list(values)) for values in zip(*(point.proxies[name] for point in points), strict=True)]
    rhos = [one.rho for one in found if one]
    low, high = np.quantile(rhos, [0.025, 0.975])
    return Rank(float(np.mean(rhos)), float(low), float(high))


def table(theory: TheoryOfTE) -> list[tuple[str, ...]]:
    """Header and a row for each proxy: Spearman within each process, over all, and with couplings of both signs."""
    columns: list[tuple[str, tuple[float, float] | None, bool]] = [
        (f"a={a:g} b={b:g}", (a, b), False) for a, b in PROCESSES
    ]
    columns += [("all, c >= 0", None, False), ("all, both signs", None, True)]
    rows = [("Spearman with TE", *(title for title, *_ in columns))]
    for name in PROXIES:
        cells = [show(rank(theory.of(process, signed), name)) for _, process, signed in columns]
        rows.append((name, *cells))
    return rows


def show(found: Rank) -> str:
    """`0.93 [0.90, 0.96]`."""
    return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"


def findings(theory: TheoryOfTE) -> list[str]:
    """The results of the sweep, one sentence each."""
    closed, general, measured = theory.example
    lagged, same, shuffled = (
        [rank(theory.of(process, False), name) for process in PROCESSES]
        for name in ("TE1, lag 1", "TE1", "TE1, shuffled")
    )
    return [
        f"Exact TE of the example: {closed:.4f} nats in closed form, {general:.4f} by Lyapunov's equation, "
        f"{measured:.4f} on {EXAMPLE_STEPS * EXAMPLE_SERIES:,} simulated steps.",
        f"Along time, c >= 0: with lag 1, where the teacher precedes the student in time, TE1 "
        f"{course(lagged)}. With lag 0, as it is trained, it {course(same)}.",
        "Rows of a shuffled batch are drawn independently, so along their order the true TE is 0. What a shuffled "
        f"proxy sees is how alike the series are at the same moment; against the TE along time it {course(shuffled)}.",
        "A coupling of -c transfers as much as c, but the proxies are signed: over both signs the rank correlation of "
        f"TE1 with lag 1 and TE is {show(rank(theory.of(None, True), 'TE1, lag 1'))}.",
    ]


def course(ranks: Sequence[Rank]) -> str:
    """In how many processes a proxy rises or falls with the exact TE: `rises in 2 of 3, falls in 1`."""
    rises, falls = (sum(sign * one.low > 0 and sign * one.high > 0 for one in ranks) for sign in (1, -1))
    return f"rises with the exact TE in {rises} of {len(ranks)} processes and falls with it in {falls}"
