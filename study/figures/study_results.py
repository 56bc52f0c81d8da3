"""The figures of a study: each function takes plain numbers and returns a matplotlib Figure, or None without any.

No pyplot: figures are objects that nothing else holds. An arm has the same colour and marker in each of them (Okabe and
Ito's palette, which colour-blind readers can tell apart; the markers survive black-and-white print). Bands and bars are
the standard deviation over seeds, and say so.
"""

from typing import Literal, NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.figures.style import (
    STYLE,
    ArmStyle,
    Point,
    best_part,
    canvas,
    ends,
    focus,
    legend_inside,
    log_axis,
    share_legend,
)
from trainables.diagnostics.spectra import effective_rank
from trainables.metrics.classification import Direction

SWEEP_COLUMNS, HISTORY_COLUMNS = 3, 4
MOST_CURVES = 4
"""Arms with an H whose curves one panel can hold."""
MOST_FLAT_LABELS = 5
"""Arms beside each other whose names still fit without being turned."""


class Curve(NamedTuple):
    """One arm along a swept hyperparameter."""

    best: list[Point]
    """At each x the group that validation chose."""
    groups: list[tuple[float, float]]
    """(x, mean) of every group."""


class Sweep(NamedTuple):
    """One panel: a metric against one swept hyperparameter."""

    label: str
    base: Literal[0, 2, 10]
    """Base of a logarithmic axis, or 0 for a linear one."""
    arms: dict[str, list[tuple[float, float]]]


class Outcome(NamedTuple):
    """One proposal of an arm's search."""

    number: int
    value: float | None
    """Mean objective over seeds; for a pruned one the last value of its first seed."""
    status: str


@mpl.rc_context(STYLE)
def bottleneck_curve(
    panels: dict[str, dict[str, Curve]],
    bands: dict[str, dict[str, Point]],
    styles: dict[str, ArmStyle],
    counterparts: dict[str, tuple[str, ...]],
) -> Figure | None:
    """A metric against the bottleneck dimension H (CIBA paper, Fig. 5c), one panel for each metric.

    `panels` holds, by y label, each arm's curve over H; `bands` the best group of the arms that have no H. More than
    MOST_CURVES arms get a panel each, of the last metric, with those bands that are their `counterparts`.
    """
    panels = {label: curves for label, curves in panels.items() if any(curve.best for curve in curves.values())}
    if not panels:
        return None
    label, curves = list(panels.items())[-1]
    if len(curves) > MOST_CURVES:
        shown = [(label, [arm], counterparts.get(arm, ())) for arm, curve in curves.items() if curve.best]
    else:
        shown = [(label, list(curves), tuple(bands[label])) for label, curves in panels.items()]
    figure, axes = canvas(len(shown), 2.9 if len(shown) <= len(panels) else 2.2, columns=2, sharey=True)
    core = [
        y
        for label, arms, beside in shown
        for point in [
            *(point for arm in arms for point in panels[label][arm].best),
            *(bands[label][arm] for arm in beside),
        ]
        for y in ends(point)
    ]
    every = [[y for arm in arms for _, y in panels[label][arm].groups] for label, arms, _ in shown]
    for ax, own, (label, arms, beside) in zip(axes, every, shown, strict=True):
        for shift, arm in enumerate(beside):
            draw_band(ax, bands[label][arm], styles[arm], f"{arm} (no H)", 1.02 + 0.02 * shift)
        for shift, arm in enumerate(arms):
            draw_curve(ax, panels[label][arm], styles[arm], f"{arm}, best at each H", 1 + 0.04 * shift)
        focus(ax, core, [y for values in every for y in values], own)
        log_axis(ax, 2, sorted({point.x for arm in arms for point in panels[label][arm].best}))
        ax.set(xlabel="bottleneck dimension H", ylabel=label)
    share_legend(figure, *axes)
    return figure


def draw_band(ax: Axes, band: Point, style: ArmStyle, label: str, margin: float) -> None:
    """An arm without H: its mean as a dashed line, its standard deviation as a bar in the right margin."""
    ax.axhline(band.mean, color=style.colour, linestyle="--", linewidth=1, label=label)
    look = {"color": style.colour, "transform": ax.get_yaxis_transform(), "clip_on": False, "linewidth": 1.4}
    ax.plot([margin, margin], ends(band), marker="_", markersize=4, **look)


def draw_curve(ax: Axes, curve: Curve, style: ArmStyle, label: str, dodge: float) -> None:
    """One arm's means with error bars, and every group behind them, faint."""
    xs = [x * dodge for x, _ in curve.groups]
    ax.scatter(xs, [y for _, y in curve.groups], s=9, color=style.colour, alpha=0.3, linewidths=0)
    ax.errorbar(
        [point.x * dodge for point in curve.best],
        [point.mean for point in curve.best],
        yerr=[point.std or 0 for point in curve.best],
        color=style.colour,
        marker=style.marker,
        markersize=4,
        capsize=2,
        label=label,
    )


@mpl.rc_context(STYLE)
def sweep_panels(sweeps: list[Sweep], ylabel: str, direction: Direction, styles: dict[str, ArmStyle]) -> Figure | None:
    """Every group's mean against each swept numeric hyperparameter, one panel for each."""
    if not sweeps:
        return None
    figure, axes = canvas(len(sweeps), 2.2, columns=SWEEP_COLUMNS, sharey=True)
    every = [y for sweep in sweeps for points in sweep.arms.values() for _, y in points]
    for ax, sweep in zip(axes, sweeps, strict=True):
        for arm, points in sweep.arms.items():
            xs, ys = zip(*points, strict=True)
            style = styles[arm]
            ax.scatter(xs, ys, s=16, color=style.colour, marker=style.marker, alpha=0.75, linewidths=0, label=arm)
        ys = [y for points in sweep.arms.values() for _, y in points]
        focus(ax, best_part(every, direction), every, ys)
        if sweep.base:
            log_axis(ax, sweep.base, sorted({x for points in sweep.arms.values() for x, _ in points}))
        ax.set_xlabel(sweep.label)
    for ax in axes[::SWEEP_COLUMNS]:
        ax.set_ylabel(ylabel)
    share_legend(figure, *axes)
    return figure


@mpl.rc_context(STYLE)
def spectra(values: dict[str, list[Float[np.ndarray, " dim"]]], styles: dict[str, ArmStyle]) -> Figure | None:
    """Singular values of the student's feature covariance on a log axis (CIBA paper, Fig. 5a), mean over seeds.

    Mean and band are taken of the logarithms. Values of exactly 0 (fewer rows than dimensions, dead units) have no
    logarithm: the line ends there.
    """
    values = {arm: arrays for arm, arrays in values.items() if arrays}
    if not values:
        return None
    figure, (ax,) = canvas(1, 3.2)
    for arm, arrays in values.items():
        width = min(int(np.count_nonzero(array > 0)) for array in arrays)
        logs = np.stack([np.log(array[:width].astype(np.float64)) for array in arrays])
        mean, std = logs.mean(axis=0), logs.std(axis=0, ddof=1) if len(logs) > 1 else np.zeros(width)
        index, colour = np.arange(1, width + 1), styles[arm].colour
        label = f"{arm} (effective rank {np.mean([effective_rank(torch.from_numpy(array)) for array in arrays]):.1f})"
        ax.plot(index, mean, color=colour, label=label, marker=styles[arm].marker, markersize=4, markevery=0.12)
        ax.fill_between(index, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
    seeds = max(len(arrays) for arrays in values.values())
    ax.set(xlabel="index of singular value", ylabel="log singular value of feature covariance")
    legend_inside(ax, figure, f"mean ± 1 std over {seeds} seeds" if seeds > 1 else None)
    return figure


@mpl.rc_context(STYLE)
def optimisation_history(
    arms: dict[str, list[Outcome]], ylabel: str, direction: Direction, styles: dict[str, ArmStyle]
) -> Figure | None:
    """The objective by proposal number and its running best, one panel for each arm."""
    arms = {arm: outcomes for arm, outcomes in arms.items() if outcomes}
    if not arms:
        return None
    figure, axes = canvas(len(arms), 2.2, columns=HISTORY_COLUMNS, sharey=True)
    every = [outcome.value for outcomes in arms.values() for outcome in outcomes if outcome.value is not None]
    complete = [
        outcome.value
        for outcomes in arms.values()
        for outcome in outcomes
        if outcome.status == "complete" and outcome.value is not None
    ]
    for ax, (arm, outcomes) in zip(axes, arms.items(), strict=True):
        draw_history(ax, outcomes, direction, styles[arm])
        if every:
            own = [outcome.value for outcome in outcomes if outcome.value is not None]
            focus(ax, best_part(complete or every, direction), every, own)
        for outcome in outcomes:
            if outcome.status == "failed" and outcome.value is None:
                ax.plot(outcome.number, 0.03, "x", color="#B00020", transform=ax.get_xaxis_transform(), clip_on=False)
        ax.set(title=arm, xlabel="proposal", xlim=(-0.5, max(outcome.number for outcome in outcomes) + 0.5))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for ax in axes[::HISTORY_COLUMNS]:
        ax.set_ylabel(ylabel)
    share_legend(figure, *axes)
    return figure


def draw_history(ax: Axes, outcomes: list[Outcome], direction: Direction, style: ArmStyle) -> None:
    """One arm's proposals by status, and the best complete one so far."""
    looks = {
        "complete": {"marker": "o", "color": style.colour},
        "pruned": {"marker": "v", "color": "#999999"},
        "failed": {"marker": "x", "color": "#B00020"},
        "unfinished": {"marker": "o", "color": style.colour, "facecolors": "none"},
    }
    for status, look in looks.items():
        found = [(outcome.number, outcome.value) for outcome in outcomes if outcome.status == status]
        shown = [(number, value) for number, value in found if value is not None]
        if found:
            label = {"complete": "complete (mean over seeds)", "pruned": "pruned (last value of its first seed)"}
            ax.scatter(*np.array(shown or [(np.nan, np.nan)]).T, s=18, label=label.get(status, status), **look)
    done = [(o.number, o.value) for o in outcomes if o.status == "complete" and o.value is not None]
    if done:
        best = (np.maximum if direction == "maximize" else np.minimum).accumulate([value for _, value in done])
        ax.step(
            [number for number, _ in done], best, where="post", color=style.colour, linewidth=1, label="best so far"
        )


@mpl.rc_context(STYLE)
def seed_spread(values: dict[str, dict[int, float]], ylabel: str, styles: dict[str, ArmStyle]) -> Figure | None:
    """Each arm's best group, seed by seed, with mean and standard deviation; thin lines join equal seeds."""
    values = {arm: by_seed for arm, by_seed in values.items() if by_seed}
    if not values:
        return None
    figure, (ax,) = canvas(1, 2.8)
    arms = list(values)
    for seed in sorted({seed for by_seed in values.values() for seed in by_seed}):
        found = [(position, values[arm][seed]) for position, arm in enumerate(arms) if seed in values[arm]]
        ax.plot(*zip(*found, strict=True), color="#bbbbbb", linewidth=0.7, zorder=1)
    for position, arm in enumerate(arms):
        points = list(values[arm].values())
        style = styles[arm]
        ax.scatter([position] * len(points), points, s=20, alpha=0.8, color=style.colour, marker=style.marker, zorder=3)
        ax.errorbar(
            position + 0.16,
            np.mean(points),
            yerr=np.std(points, ddof=1) if len(points) > 1 else None,
            color=style.colour,
            marker="_",
            markersize=9,
            capsize=3,
        )
    crowded = len(arms) > MOST_FLAT_LABELS
    names = [f"{arm} (n = {len(values[arm])})" if crowded else f"{arm}\nn = {len(values[arm])}" for arm in arms]
    look = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    ax.set_xticks(range(len(arms)), names, **look)
    ax.set(xlim=(-0.5, len(arms) - 0.5), ylabel=ylabel)
    ax.grid(visible=False, axis="x")
    return figure


@mpl.rc_context(STYLE)
def learning_curves(
    curves: dict[str, list[dict[int, float]]], ylabel: str, styles: dict[str, ArmStyle]
) -> Figure | None:
    """The objective after each epoch, mean and band over seeds; only epochs that every seed reached.

    The axis is scaled by the second half of the epochs, where the arms differ; the beginning may lie outside.

    `curves` holds, by arm, one {epoch: value} for each seed.
    """
    curves = {arm: seeds for arm, seeds in curves.items() if seeds and all(seeds)}
    if not curves:
        return None
    figure, (ax,) = canvas(1, 2.8)
    late = []
    for arm, seeds in curves.items():
        epochs = sorted(set.intersection(*(set(seed) for seed in seeds)))
        table = np.array([[seed[epoch] for epoch in epochs] for seed in seeds])
        mean, std = table.mean(axis=0), table.std(axis=0, ddof=1) if len(seeds) > 1 else np.zeros(len(epochs))
        style = styles[arm]
        ax.plot(epochs, mean, color=style.colour, marker=style.marker, markersize=3.5, markevery=0.15, label=arm)
        ax.fill_between(epochs, mean - std, mean + std, color=style.colour, alpha=0.15, linewidth=0)
        half = len(epochs) // 2
        late += [*(mean - std)[half:], *(mean + std)[half:]]
    span = max(late) - min(late) or 1.0
    ax.set(xlabel="epoch", ylabel=ylabel, ylim=(min(late) - span, max(late) + 0.1 * span))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    seeds = max(map(len, curves.values()))
    legend_inside(ax, figure, f"mean ± 1 std over {seeds} seeds" if seeds > 1 else None)
    return figure


@mpl.rc_context(STYLE)
def importance_bars(importances: dict[str, dict[str, float]], styles: dict[str, ArmStyle]) -> Figure | None:
    """Share of each hyperparameter in reaching an arm's best configurations, one panel for each arm."""
    importances = {arm: values for arm, values in importances.items() if len(values) > 1}
    if not importances:
        return None
    figure, axes = canvas(len(importances), 0.7 + 0.28 * max(map(len, importances.values())), columns=2)
    for ax, (arm, values) in zip(axes, importances.items(), strict=True):
        ax.barh(list(values), list(values.values()), color=styles[arm].colour, height=0.6)
        ax.invert_yaxis()
        ax.grid(visible=False, axis="y")
        ax.set(title=arm, xlabel="importance", xlim=(0, 1))
    return figure
