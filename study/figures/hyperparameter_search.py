"""Figures of the search: swept values, optimisation history, importance of hyperparameters."""

from typing import Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.figures.style import (
    STYLE,
    ArmStyle,
    best_part,
    canvas,
    focus,
    log_axis,
    share_legend,
)
from trainables.metrics.classification import Direction

SWEEP_COLUMNS, HISTORY_COLUMNS = 3, 4
FAILED = "#B00020"


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
    """Mean objective over seeds; of a pruned proposal, the last value of its first seed."""
    status: str


@mpl.rc_context(STYLE)
def sweep_panels(sweeps: list[Sweep], ylabel: str, direction: Direction, styles: dict[str, ArmStyle]) -> Figure | None:
    """Every group's mean against each swept numeric hyperparameter, one panel for each.

    Args:
        sweeps: The panels.
        ylabel: Axis label of the metric.
        direction: Whether the metric is maximised or minimised.
        styles: By arm, its colour and marker.

    Returns:
        The figure, or None without panels.
    """
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
def optimisation_history(
    arms: dict[str, list[Outcome]], ylabel: str, direction: Direction, styles: dict[str, ArmStyle]
) -> Figure | None:
    """The objective by proposal number and its running best, one panel for each arm.

    Args:
        arms: By arm, its proposals in order.
        ylabel: Axis label of the objective.
        direction: Whether the objective is maximised or minimised.
        styles: By arm, its colour and marker.

    Returns:
        The figure, or None if no arm has a proposal.

    """
    arms = {arm: outcomes for arm, outcomes in arms.items() if outcomes}
    if not arms:
        return None
    figure, axes = canvas(len(arms), 2.2, columns=HISTORY_COLUMNS, sharey=True)
    outcomes = [outcome for own in arms.values() for outcome in own]
    every = values_of(outcomes)
    complete = values_of([outcome for outcome in outcomes if outcome.status == "complete"])
    for ax, (arm, own) in zip(axes, arms.items(), strict=True):
        draw_history(ax, own, direction, styles[arm])
        if every:
            focus(ax, best_part(complete or every, direction), every, values_of(own))
        ax.set(title=arm, xlabel="proposal", xlim=(-0.5, max(outcome.number for outcome in own) + 0.5))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for ax in axes[::HISTORY_COLUMNS]:
        ax.set_ylabel(ylabel)
    share_legend(figure, *axes)
    return figure


def values_of(outcomes: list[Outcome]) -> list[float]:
    """The objective of every outcome that has one."""
    return [outcome.value for outcome in outcomes if outcome.value is not None]


def draw_history(ax: Axes, outcomes: list[Outcome], direction: Direction, style: ArmStyle) -> None:
    """One arm's proposals by status, and the best complete one so far."""
    looks: dict[str, tuple[str, dict[str, str]]] = {
        "complete": ("complete (mean over seeds)", {"marker": "o", "color": style.colour}),
        "pruned": ("pruned (last value of its first seed)", {"marker": "v", "color": "#999999"}),
        "failed": ("failed", {"marker": "x", "color": FAILED}),
        "unfinished": ("unfinished", {"marker": "o", "color": style.colour, "facecolors": "none"}),
    }
    for status, (label, look) in looks.items():
        own = [outcome for outcome in outcomes if outcome.status == status]
        points = [(outcome.number, outcome.value) for outcome in own if outcome.value is not None]
        if own:
            ax.scatter(*np.array(points or [(np.nan, np.nan)]).T, s=18, label=label, **look)
    for outcome in outcomes:
        if outcome.status == "failed" and outcome.value is None:
            ax.plot(outcome.number, 0.03, "x", color=FAILED, transform=ax.get_xaxis_transform(), clip_on=False)
    draw_running_best(ax, [outcome for outcome in outcomes if outcome.status == "complete"], direction, style)


def draw_running_best(ax: Axes, complete: list[Outcome], direction: Direction, style: ArmStyle) -> None:
    """The best objective after each complete proposal, as a step line."""
    points = [(outcome.number, outcome.value) for outcome in complete if outcome.value is not None]
    if points:
        numbers, values = zip(*points, strict=True)
        best = (np.maximum if direction == "maximize" else np.minimum).accumulate(values)
        ax.step(numbers, best, where="post", color=style.colour, linewidth=1, label="best so far")


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
