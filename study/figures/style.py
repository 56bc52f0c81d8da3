"""Shared parts of all figures: page width, style, colour and marker of an arm, axes, files.

Figures do not use pyplot, so nothing else keeps a reference to them. An arm has the same colour and marker in each
figure. The palette is that of Okabe and Ito, which colour-blind readers can tell apart; the markers are distinct in
black-and-white print. Bands and bars are the standard deviation over seeds, and captions say so.
"""

import io
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from trainables.metrics.classification import Direction

WIDTH = 6.5
"""Inches: the text width of a page."""

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "study",
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F")
MARKERS = ("s", "o", "^", "D", "v", "P", "X")
MOST_TICKS = 12
MOST_INSIDE = 6
"""Entries that a legend inside a panel may have."""
FAR = 2.0
"""Points whose distance from the interesting ones exceeds this many times their range are counted, not drawn."""


class ArmStyle(NamedTuple):
    """Colour and marker of an arm in every figure."""

    colour: str
    marker: str


class Point(NamedTuple):
    """A mean over seeds."""

    x: float
    mean: float
    std: float | None
    """None with one seed."""


def arm_styles(arms: Sequence[str], baseline: str) -> dict[str, ArmStyle]:
    """A style for each arm, in the study's order; the baseline is black."""
    others = [arm for arm in arms if arm != baseline]
    # Each pass through the colours starts at the next marker, so that no two arms share both.
    turns = [(i % len(COLOURS), (i + i // len(COLOURS)) % len(MARKERS)) for i in range(len(others))]
    styles = {arm: ArmStyle(COLOURS[c], MARKERS[m]) for arm, (c, m) in zip(others, turns, strict=True)}
    return {arm: ArmStyle("#222222", "*") if arm == baseline else styles[arm] for arm in arms}


def render(figure: Figure, form: Literal["svg", "png"]) -> bytes:
    """The figure as a file, with the same bytes every time. The first call fixes the layout."""
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[form]
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=form, dpi=160, metadata=metadata)
    figure.set_layout_engine("none")
    return buffer.getvalue()


def canvas(
    panels: int, height: float, columns: int = 1, sharey: bool | Literal["row"] = False
) -> tuple[Figure, list[Axes]]:
    """A figure with its axes; a figure of one column is narrower.

    Args:
        panels: Number of axes.
        height: Height of a row in inches.
        columns: Largest number of columns.
        sharey: Which axes share the y axis, as in matplotlib.

    Returns:
        The figure and its `panels` axes.
    """
    columns = min(columns, panels)
    rows = -(-panels // columns)
    width = WIDTH if columns > 1 else 0.75 * WIDTH
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flat)
    for ax in axes[panels:]:
        ax.remove()
    return figure, axes[:panels]


def legend_inside(ax: Axes, figure: Figure, title: str | None) -> None:
    """A legend inside the panel if it has at most MOST_INSIDE entries, otherwise above the panel.

    Args:
        ax: The panel.
        figure: The figure of the panel.
        title: Title of the legend, if any.
    """
    if len(ax.get_legend_handles_labels()[1]) <= MOST_INSIDE:
        ax.legend(title=title)
    else:
        share_legend(figure, ax, title=title)


def share_legend(figure: Figure, *axes: Axes, title: str | None = None) -> None:
    """One legend above all panels, in at most four columns and no more than the figure's width has room for.

    The figure grows by the legend's height, so that the panels keep theirs.
    """
    entries = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    for ncols in range(min(4, len(entries)), 0, -1):
        legend = figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=ncols, title=title)
        extent = legend.get_window_extent()
        if extent.width <= figure.bbox.width or ncols == 1:
            figure.set_figheight(figure.get_figheight() + extent.height / figure.dpi)
            return
        legend.remove()


def log_axis(ax: Axes, base: int, values: list[float]) -> None:
    """A logarithmic x axis with plain numbers: with base 2 a tick at each value, otherwise at 1, 2, 5 or at decades.

    Args:
        ax: The panel.
        base: Base of the logarithm, 2 or 10.
        values: The x values, ascending.
    """
    ax.set_xscale("log", base=base)
    if base == 2 and len(values) <= MOST_TICKS:
        ax.xaxis.set_major_locator(FixedLocator(values))
    elif base == 10:
        ax.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if values[-1] < 50 * values[0] else (1,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if base == 2:
        ax.xaxis.set_minor_locator(NullLocator())


def ends(point: Point) -> tuple[float, float]:
    """Both ends of a point's error bar."""
    return point.mean - (point.std or 0), point.mean + (point.std or 0)


def best_part(values: list[float], direction: Direction) -> list[float]:
    """The better three quarters of `values`, by which an axis is scaled."""
    ordered = sorted(values, reverse=direction == "maximize")
    return ordered[: max(2, -(-3 * len(ordered) // 4))]


def focus(ax: Axes, core: Iterable[float], values: list[float], own: list[float] | None = None) -> None:
    """Scale the y axis by the interesting values and write how many others are outside.

    Args:
        ax: The panel.
        core: The interesting values.
        values: The values of all panels that share the axis. Those not FAR away from `core` are inside.
        own: The values drawn in this panel; by default `values`.
    """
    core = list(core)
    low, high = min(core), max(core)
    span = (high - low) or abs(high) * 0.02 or 1.0
    near = [value for value in values if low - FAR * span <= value <= high + FAR * span]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.06 * ((high - low) or span)
    ax.set_ylim(low - margin, high + margin)
    shown = values if own is None else own
    below, above = sum(value < low for value in shown), sum(value > high for value in shown)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    look = {"transform": ax.transAxes, "ha": "right", "fontsize": 6.5, "bbox": box}
    if below:
        ax.text(0.98, 0.02, f"▼ {below} below the axis", va="bottom", **look)
    if above:
        ax.text(0.98, 0.98, f"▲ {above} above the axis", va="top", **look)
