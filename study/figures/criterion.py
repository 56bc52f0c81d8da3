"""The criterion against the measured gains: one point for each pair, and the calibration curve."""

from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.figures.style import STYLE, canvas, share_legend
from study.planning.criterion_agreement import Bin, PairOutcome

AGREES, FAILS = "#0072B2", "#D55E00"
MOST_NAMES = 8
"""Number of failures that are named in the figure."""


class CriterionPanels(NamedTuple):
    """The content of the figure; gains are in the unit of the label."""

    outcomes: list[PairOutcome]
    named: list[PairOutcome]
    """The points that are named: the clearest failures."""
    bins: list[Bin]
    scale: float
    """Factor of the gains."""
    label: str
    """Label of the axis of gains."""


@mpl.rc_context(STYLE)
def criterion_figure(panels: CriterionPanels) -> Figure | None:
    """Gain against gap with both intervals, coloured by whether the signs agree; and the share that gained, by gap."""
    if len(panels.outcomes) < 2:
        return None
    figure, axes = canvas(2 if panels.bins else 1, 3.3, columns=2)
    draw_points(axes[0], panels)
    if panels.bins:
        draw_calibration(axes[1], panels)
    share_legend(figure, *axes)
    return figure


def draw_points(ax: Axes, panels: CriterionPanels) -> None:
    """One point for each pair; the quadrants in which the signs agree are shaded."""
    for agrees, colour, marker in ((True, AGREES, "o"), (False, FAILS, "D")):
        outcomes = [one for one in panels.outcomes if one.agrees == agrees]
        label = "gap and gain agree" if agrees else "gap and gain differ"
        for clear in (True, False):
            part = [one for one in outcomes if one.clear == clear]
            look = {"color": colour, "marker": marker, "markersize": 4.5, "linestyle": "none"}
            look |= {} if clear else {"markerfacecolor": "white"}
            if part:
                ax.errorbar(
                    [one.estimate.gap.mean for one in part],
                    [one.gain.mean * panels.scale for one in part],
                    xerr=list(zip(*(sides(*one.estimate.gap[:3]) for one in part), strict=True)),
                    yerr=list(zip(*(gain_sides(one, panels.scale) for one in part), strict=True)),
                    elinewidth=0.5,
                    ecolor=colour + "70",
                    label=label if clear else f"{label}, an interval contains 0",
                    **look,
                )
    ax.axhline(0, color="#444444", linewidth=0.8)
    ax.axvline(0, color="#444444", linewidth=0.8)
    shade(ax)
    for one in apart(panels.named, ax, panels.scale):
        place = (one.estimate.gap.mean, one.gain.mean * panels.scale)
        ax.annotate(one.name, place, xytext=(4, 4), textcoords="offset points", fontsize=6, color=FAILS)
    ax.set(xlabel="gap G = I(H1;H2) - I(H2;Y), nats", ylabel=panels.label)


def apart(named: list[PairOutcome], ax: Axes, scale: float) -> list[PairOutcome]:
    """The points whose names do not overlap with the name of an earlier point.

    Args:
        named: The points, the most important first.
        ax: The panel.
        scale: Factor of the gains.
    """
    width, height = np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())
    labelled: list[PairOutcome] = []
    for one in named:
        near = (
            abs(one.estimate.gap.mean - other.estimate.gap.mean) < 0.2 * width
            and abs(one.gain.mean - other.gain.mean) * scale < 0.04 * height
            for other in labelled
        )
        labelled += [] if any(near) else [one]
    return labelled


def sides(mean: float, low: float, high: float) -> tuple[float, float]:
    """Lengths of an interval below and above its mean."""
    return mean - low, high - mean


def gain_sides(one: PairOutcome, scale: float) -> tuple[float, float]:
    """The same for a gain; zeros if its interval is not defined."""
    low, high = one.gain.low, one.gain.high
    if low is None or high is None:
        return 0.0, 0.0
    return (one.gain.mean - low) * scale, (high - one.gain.mean) * scale


def shade(ax: Axes) -> None:
    """Shade the two quadrants in which the criterion is right, within the present limits of the axes."""
    left, right, bottom, top = *ax.get_xlim(), *ax.get_ylim()
    left, right, bottom, top = min(left, 0.0), max(right, 0.0), min(bottom, 0.0), max(top, 0.0)
    ax.fill_between([0, right], 0, top, color=AGREES, alpha=0.06, linewidth=0, zorder=0)
    ax.fill_between([left, 0], bottom, 0, color=AGREES, alpha=0.06, linewidth=0, zorder=0)
    ax.set(xlim=(left, right), ylim=(bottom, top))


def draw_calibration(ax: Axes, panels: CriterionPanels) -> None:
    """Share of the pairs that gained, in bins of equal number by gap."""
    ax.axvline(0, color="#444444", linewidth=0.8)
    ax.axhline(0.5, color="#888888", linewidth=0.8, linestyle=":")
    shares = [one.helped.k / one.helped.n for one in panels.bins]
    errors = [sides(p, one.helped.low, one.helped.high) for p, one in zip(shares, panels.bins, strict=True)]
    ax.errorbar(
        [one.gap for one in panels.bins],
        shares,
        yerr=list(zip(*((max(0.0, low), max(0.0, high)) for low, high in errors), strict=True)),
        color="#222222",
        marker="s",
        markersize=4,
        capsize=2,
        label="share that gained, Wilson's 95 % interval",
    )
    for one, p in zip(panels.bins, shares, strict=True):
        note = f"n = {one.helped.n}"
        ax.annotate(note, (one.gap, p), xytext=(4, -9), textcoords="offset points", fontsize=6)
    ax.set(xlabel="gap G, nats (mean of a bin)", ylabel="share of pairs with a gain", ylim=(-0.05, 1.05))
