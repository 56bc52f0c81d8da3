"""Figure 12 of the CIBA paper: the spectrum of ẑ' by H above, performance against H below, the suggested H marked."""

from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.figures.bottleneck_curve import Curve, draw_arms
from study.figures.style import STYLE, ArmStyle, Point, canvas, ends, focus, log_axis, share_legend

COLUMNS = 3
"""Most sets of bottlenecks in one row."""


class SpectrumPanels(NamedTuple):
    """One set of bottlenecks, and the arms that distil them."""

    spectra: dict[int, tuple[float, ...]]
    """By H: ln σ of ẑ', mean over seeds."""
    suggested: int
    curves: dict[str, Curve]
    """By arm, a metric along H."""
    bands: dict[str, Point]
    """The arms without H to compare with."""


@mpl.rc_context(STYLE)
def suggested_h_figure(panels: list[SpectrumPanels], ylabel: str, styles: dict[str, ArmStyle]) -> Figure | None:
    """Two rows of panels for each COLUMNS sets: spectra, and `ylabel` against H.

    Args:
        panels: The sets of bottlenecks.
        ylabel: Axis label of the metric.
        styles: By arm, its colour and marker.

    Returns:
        The figure, or None without a set.
    """
    if not panels:
        return None
    columns = min(COLUMNS, len(panels))
    rows = 2 * -(-len(panels) // columns)
    figure, axes = canvas(rows * columns, 2.3, columns=columns)
    for place, panel in enumerate(panels):
        row, column = 2 * (place // columns), place % columns
        upper, lower = axes[row * columns + column], axes[(row + 1) * columns + column]
        draw_spectra(upper, panel)
        draw_performance(lower, panel, ylabel, styles)
    for place in range(len(panels), rows * columns // 2):
        row, column = 2 * (place // columns), place % columns
        axes[row * columns + column].remove()
        axes[(row + 1) * columns + column].remove()
    share_legend(figure, *(ax for ax in figure.axes if ax.get_ylabel() == ylabel))
    return figure


def draw_spectra(ax: Axes, panel: SpectrumPanels) -> None:
    """One line for each H, darker for larger H; the suggested H is dashed."""
    shades = colormaps["viridis_r"](np.linspace(0.05, 1, len(panel.spectra)))
    for (dim, values), shade in zip(panel.spectra.items(), shades, strict=True):
        label = f"H = {dim}" + (" (suggested)" if dim == panel.suggested else "")
        look = {"linewidth": 2.6, "linestyle": (0, (4, 1.5)), "zorder": 3} if dim == panel.suggested else {}
        ax.plot(range(1, len(values) + 1), values, color=shade, label=label, marker=".", markersize=3, **look)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="index of singular value", ylabel="log singular value of ẑ'")
    ax.legend(fontsize=6)


def draw_performance(ax: Axes, panel: SpectrumPanels, ylabel: str, styles: dict[str, ArmStyle]) -> None:
    """Each arm's best at each H, the arms without H as lines, the suggested H as a vertical line."""
    draw_arms(ax, panel.curves, panel.bands, styles)
    ax.axvline(panel.suggested, color="#888888", linestyle=":", linewidth=1.2, label="suggested H")
    points = [point for curve in panel.curves.values() for point in curve.best]
    every = [y for curve in panel.curves.values() for _, y in curve.groups]
    if points:
        focus(ax, [y for point in [*points, *panel.bands.values()] for y in ends(point)], every)
    log_axis(ax, 2, sorted({float(dim) for dim in panel.spectra} | {point.x for point in points}))
    ax.set(xlabel="bottleneck dimension H", ylabel=ylabel)
