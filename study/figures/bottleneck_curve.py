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
"""Most arms with an H in one panel."""


class Curve(NamedTuple):
    """One arm along a swept hyperparameter."""

    best: list[Point]
    """At each x the group that validation chose."""
    groups: list[tuple[float, float]]
    """(x, mean) of every group."""


class Panel(NamedTuple):
    """One panel of the figure."""

    label: str
    curves: dict[str, Curve]
    bands: dict[str, Point]
    """By arm without H, its best group."""

    def ends(self) -> list[float]:
        """Both ends of every error bar."""
        points = [point for curve in self.curves.values() for point in curve.best]
        return [y for point in [*points, *self.bands.values()] for y in ends(point)]

    def group_means(self) -> list[float]:
        """The mean of every group."""
        return [y for curve in self.curves.values() for _, y in curve.groups]


@mpl.rc_context(STYLE)
def bottleneck_curve(
    panels: dict[str, dict[str, Curve]],
    bands: dict[str, dict[str, Point]],
    styles: dict[str, ArmStyle],
    counterparts: dict[str, tuple[str, ...]],
) -> Figure | None:
    """A metric against the bottleneck dimension H (CIBA paper, Fig. 5c), one panel for each metric.

    Args:
        panels: By y label and arm, the arm's curve over H. More than MOST_CURVES arms get a panel each, of the last
            metric.
        bands: By y label and arm, the best group of the arms that have no H.
        styles: By arm, its colour and marker.
        counterparts: By arm, the arms without H that its panel shows, where each arm has a panel.

    Returns:
        The figure, or None if no arm has a point.

    """
    panels = {label: curves for label, curves in panels.items() if any(curve.best for curve in curves.values())}
    if not panels:
        return None
    shown = chosen_panels(panels, bands, counterparts)
    figure, axes = canvas(len(shown), 2.9 if len(shown) <= len(panels) else 2.2, columns=2, sharey=True)
    core = [y for panel in shown for y in panel.ends()]
    every = [y for panel in shown for y in panel.group_means()]
    for ax, panel in zip(axes, shown, strict=True):
        draw_arms(ax, panel.curves, panel.bands, styles)
        focus(ax, core, every, panel.group_means())
        log_axis(ax, 2, sorted({point.x for curve in panel.curves.values() for point in curve.best}))
        ax.set(xlabel="bottleneck dimension H", ylabel=panel.label)
    share_legend(figure, *axes)
    return figure


def chosen_panels(
    panels: dict[str, dict[str, Curve]], bands: dict[str, dict[str, Point]], counterparts: dict[str, tuple[str, ...]]
) -> list[Panel]:
    """One panel for each metric or, with more than MOST_CURVES arms, one for each arm (see `bottleneck_curve`)."""
    label, curves = list(panels.items())[-1]
    if len(curves) <= MOST_CURVES:
        return [Panel(name, {arm: panels[name][arm] for arm in curves}, bands[name]) for name in panels]
    return [
        Panel(label, {arm: curve}, {name: bands[label][name] for name in counterparts.get(arm, ())})
        for arm, curve in curves.items()
        if curve.best
    ]


def draw_arms(ax: Axes, curves: dict[str, Curve], bands: dict[str, Point], styles: dict[str, ArmStyle]) -> None:
    """Draw the arms without H as dashed lines and the others as curves, moved apart so that no error bars overlap.

    Args:
        ax: The panel.
        curves: By arm, its curve over H.
        bands: By arm without H, its best group.
        styles: By arm, its colour and marker.
    """
    for place, (arm, band) in enumerate(bands.items()):
        draw_band(ax, band, styles[arm], f"{arm} (no H)", 1.02 + 0.02 * place)
    for place, (arm, curve) in enumerate(curves.items()):
        draw_curve(ax, curve, styles[arm], f"{arm}, best at each H", 1 + 0.04 * place)


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
