"""Figure 5c of the CIBA paper: a metric against the bottleneck dimension H."""

from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.figures.style import (
    STYLE,
    ArmStyle,
    Point,
    canvas,
    ends,
    focus,
    log_axis,
    share_legend,
)

MOST_CURVES = 4
"""Arms with an H whose curves one panel can hold."""


class Curve(NamedTuple):
    """One arm along a swept hyperparameter."""

    best: list[Point]
    """At each x the group that validation chose."""
    groups: list[tuple[float, float]]
    """(x, mean) of every group."""


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
