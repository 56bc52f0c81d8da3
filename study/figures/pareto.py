"""The Pareto front: one panel for each pair of objectives."""

from itertools import combinations
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.figures.style import STYLE, ArmStyle, canvas, share_legend
from trainables.metrics.classification import Direction

FRONT_COLOUR = "#444444"


class FrontPoint(NamedTuple):
    """One complete configuration, mean over seeds."""

    values: tuple[float, ...]
    """One for each objective."""
    on_arm_front: bool
    on_overall_front: bool


class ObjectiveAxis(NamedTuple):
    """How an objective is drawn."""

    label: str
    direction: Direction

    @property
    def text(self) -> str:
        """Axis label with the direction that is better."""
        return f"{self.label}, {'higher' if self.direction == 'maximize' else 'lower'} is better"


@mpl.rc_context(STYLE)
def pareto_figure(
    arms: dict[str, list[FrontPoint]], objectives: list[ObjectiveAxis], styles: dict[str, ArmStyle]
) -> Figure | None:
    """Every complete configuration against two objectives, the fronts marked.

    Args:
        arms: By arm, its complete configurations.
        objectives: The objectives in the order of the points' values. Each pair gets a panel.
        styles: By arm, its colour and marker.

    Returns:
        The figure, or None if no configuration is complete.

    """
    arms = {arm: points for arm, points in arms.items() if points}
    pairs = list(combinations(range(len(objectives)), 2))
    if not arms or not pairs:
        return None
    figure, axes = canvas(len(pairs), 3.1, columns=2)
    for ax, (first, second) in zip(axes, pairs, strict=True):
        for arm, points in arms.items():
            draw_arm(ax, [(point.values[first], point.values[second]) for point in points], points, styles[arm], arm)
        front = [point for points in arms.values() for point in points if point.on_overall_front]
        draw_front(ax, [(point.values[first], point.values[second]) for point in front], objectives[first].direction)
        if len(objectives) > 2:
            ax.lines[-1].set_linestyle("none")  # a front in more than two objectives is no line in a plane
        ax.set(xlabel=objectives[first].text, ylabel=objectives[second].text)
    share_legend(figure, *axes)
    return figure


def draw_arm(
    ax: Axes, places: list[tuple[float, float]], points: list[FrontPoint], style: ArmStyle, label: str
) -> None:
    """One arm's configurations: those on its front in full colour, the others faint."""
    for on_front, alpha, size in ((False, 0.3, 12), (True, 1.0, 26)):
        shown = [place for place, point in zip(places, points, strict=True) if point.on_arm_front == on_front]
        if shown:
            look = {"color": style.colour, "marker": style.marker, "linewidths": 0}
            ax.scatter(*zip(*shown, strict=True), s=size, alpha=alpha, label=label if on_front else None, **look)


def draw_front(ax: Axes, places: list[tuple[float, float]], direction: Direction) -> None:
    """The front over all arms: rings, joined by the border of the region that it dominates.

    Args:
        ax: The panel.
        places: Points of the front.
        direction: Whether the objective on the x axis is maximised; only this affects the shape of the border.
    """
    ax.plot(
        *zip(*sorted(places), strict=True),
        color=FRONT_COLOUR,
        linewidth=0.9,
        drawstyle="steps-pre" if direction == "maximize" else "steps-post",
        marker="o",
        markersize=9,
        markerfacecolor="none",
        markeredgewidth=0.9,
        zorder=1,
        label="front over all arms",
    )
