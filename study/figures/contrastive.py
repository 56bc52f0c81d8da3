"""Figures of contrastive distillation: distance to the teacher by epoch, neighbours, and embeddings in the plane.

Each function takes plain numbers and returns a matplotlib Figure, or None without numbers. Bands and bars are the
standard deviation over seeds.
"""

from typing import NamedTuple, TypeVar

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter

from study.figures.diagnostics import TEACHER_COLOUR, Band, band
from study.figures.style import STYLE, ArmStyle, canvas, share_legend

Key = TypeVar("Key", str, float)

Curves = list[dict[int, float]]
"""One {epoch: value} for each seed."""

Points = Float[np.ndarray, "2 points 2"]
"""Images, then captions, in a plane."""

IMAGES, CAPTIONS = "#0072B2", "#D55E00"
MOST_BESIDE = 6
"""Most panels in one row."""
LINKS = 40
"""Number of pairs of image and caption, or of student and teacher, that are joined by a thin line."""


class Projected(NamedTuple):
    """Embeddings in the teacher's planes of images and of captions."""

    teacher: Points
    student: Points


def over_seeds(curves: Curves) -> Band | None:
    """Mean and deviation at the epochs that every seed reached."""
    epochs = sorted(set.intersection(*(set(seed) for seed in curves))) if curves else []
    if not epochs:
        return None
    return band(np.array(epochs, dtype=np.float64), np.array([[seed[epoch] for epoch in epochs] for seed in curves]))


@mpl.rc_context(STYLE)
def trajectories(panels: dict[str, dict[str, Curves]], styles: dict[str, ArmStyle]) -> Figure | None:
    """One panel for each distance (by y label), one line for each arm."""
    shown = {label: bands for label, arms in panels.items() if (bands := bands_of(arms))}
    if not shown:
        return None
    figure, axes = canvas(len(shown), 2.6, columns=2)
    for ax, (label, arms) in zip(axes, shown.items(), strict=True):
        for arm, line in arms.items():
            draw_line(ax, line, styles[arm].colour, arm, styles[arm].marker)
        finish(ax, label)
    share_legend(figure, *axes)
    return figure


def bands_of(curves: dict[Key, Curves]) -> dict[Key, Band]:
    """The band of each entry that has an epoch which every seed reached."""
    return {key: band for key, seeds in curves.items() if (band := over_seeds(seeds))}


@mpl.rc_context(STYLE)
def trajectories_by_value(table: dict[str, dict[str, dict[float, Curves]]], symbol: str) -> Figure | None:
    """A row for each distance, a column for each set of arms, a line for each value of a swept field.

    Args:
        table: By y label, names of the arms, and value of the field: one curve for each seed.
        symbol: The field's symbol in the legend.

    Returns:
        The figure, or None if nothing was measured.

    """
    shown = {label: {arms: bands_of(values) for arms, values in columns.items()} for label, columns in table.items()}
    names = measured_columns(shown)
    if not names:
        return None
    colours = value_colours({value for row in shown.values() for arms in names for value in row.get(arms, {})})
    columns = -(-len(names) // -(-len(names) // MOST_BESIDE))  # all rows are nearly equally long
    rows = [names[start : start + columns] for start in range(0, len(names), columns)]
    figure, axes = canvas(len(shown) * len(rows) * columns, 1.7, columns=columns, sharey="row")
    for number, (label, arms) in enumerate((label, arms) for arms in rows for label in shown):
        row_axes = axes[number * columns : (number + 1) * columns]
        for ax in row_axes[len(arms) :]:
            ax.remove()
        for ax, name in zip(row_axes, arms, strict=False):
            draw_values(ax, shown[label].get(name, {}), colours, symbol)
            finish(ax, label if name == arms[0] else "")
            ax.set_title(name if label == next(iter(shown)) else "")
    share_legend(figure, *(ax for ax in axes if ax.figure))
    return figure


def measured_columns(rows: dict[str, dict[str, dict[float, Band]]]) -> list[str]:
    """The columns in which a row has a line."""
    return [name for name in next(iter(rows.values()), {}) if any(row.get(name) for row in rows.values())]


def value_colours(values: set[float]) -> dict[float, tuple[float, ...]]:
    """A colour for each value, from dark to bright."""
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(values)))
    return {value: tuple(colour) for value, colour in zip(sorted(values), colours.tolist(), strict=True)}


def draw_values(ax: Axes, lines: dict[float, Band], colours: dict[float, tuple[float, ...]], symbol: str) -> None:
    """One line for each value; a note where nothing was measured."""
    for value, line in lines.items():
        draw_line(ax, line, colours[value], f"{symbol} = {value:g}")
    if not lines:
        ax.set_xticks([])
        ax.text(0.5, 0.5, "not\nmeasured", transform=ax.transAxes, ha="center", va="center", fontsize=7)


def draw_line(ax: Axes, line: Band, colour: object, label: str, marker: str = "") -> None:
    """A mean and its band."""
    look = {"marker": marker, "markersize": 3.5, "markevery": 0.15} if marker else {}
    ax.plot(line.x, line.mean, color=colour, label=label, **look)
    low = np.maximum(line.mean - line.std, line.mean / 100)  # a logarithmic axis has no 0
    ax.fill_between(line.x, low, line.mean + line.std, color=colour, alpha=0.15, linewidth=0)


def finish(ax: Axes, label: str) -> None:
    """Set the axes: epochs along x, a logarithmic y axis with plain numbers."""
    ax.set_yscale("log")
    plain = ScalarFormatter()
    plain.set_scientific(False)
    ax.yaxis.set_major_formatter(plain)
    ax.yaxis.set_minor_formatter(FuncFormatter(few_digits))
    ax.tick_params(axis="y", which="both", labelsize=6.5)
    ax.set(xlabel="epoch", ylabel=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))


def few_digits(value: float, place: int | None = None) -> str:
    """The number if its first digit is 2, 3, 4, 6 or 8, otherwise an empty text, so that no labels overlap."""
    return f"{value:g}" if f"{value:e}"[0] in "23468" else ""


@mpl.rc_context(STYLE)
def neighbour_bars(
    panels: dict[str, dict[str, list[Float[np.ndarray, " k"]]]],
    counts: tuple[int, ...],
    rows: int | None,
    styles: dict[str, ArmStyle],
) -> Figure | None:
    """Agreement of neighbours by k and arm: mean, deviation, and every seed as a point; one panel for each modality.

    Args:
        panels: By modality and arm, the shares for each k, one array for each seed.
        counts: The numbers k of neighbours.
        rows: Number of examples among which neighbours were searched, from which the chance level follows.
        styles: By arm, its colour and marker.

    Returns:
        The figure, or None if no arm has a share.

    """
    panels = {name: {arm: seeds for arm, seeds in arms.items() if seeds} for name, arms in panels.items()}
    panels = {name: arms for name, arms in panels.items() if arms}
    if not panels:
        return None
    figure, axes = canvas(len(panels), 2.6, columns=2, sharey=True)
    for ax, (name, arms) in zip(axes, panels.items(), strict=True):
        draw_bars(ax, arms, len(counts), styles)
        for place, count in enumerate(counts if rows else ()):
            chance = min(1.0, count / ((rows or 0) - 1))
            ax.plot([place - 0.45, place + 0.45], [chance, chance], color="#222222", linestyle=":", linewidth=1)
        ax.set(title=name, xlabel="k nearest neighbours")
        ax.set_xticks(range(len(counts)), [str(count) for count in counts])
        ax.grid(visible=False, axis="x")
    axes[0].set(ylabel="kNN agreement with the teacher", ylim=(0, axes[0].get_ylim()[1]))  # shared by both panels
    if rows:
        axes[-1].plot([], [], color="#222222", linestyle=":", linewidth=1, label="chance")
    share_legend(figure, *axes)
    return figure


def draw_bars(
    ax: Axes, arms: dict[str, list[Float[np.ndarray, " k"]]], groups: int, styles: dict[str, ArmStyle]
) -> None:
    """One group of bars for each k, one bar for each arm in it."""
    width = 0.84 / len(arms)
    for number, (arm, seeds) in enumerate(arms.items()):
        table, xs = np.stack(seeds), np.arange(groups) + (number - (len(arms) - 1) / 2) * width
        std = table.std(axis=0, ddof=1) if len(table) > 1 else None
        error = {"elinewidth": 0.8, "capsize": 1.2, "ecolor": "#333333"}
        colour = styles[arm].colour
        ax.bar(xs, table.mean(axis=0), width * 0.92, yerr=std, color=colour, alpha=0.55, label=arm, error_kw=error)
        for values in table:
            ax.scatter(xs, values, s=4, color=colour, edgecolors="white", linewidths=0.25, zorder=3)


@mpl.rc_context(STYLE)
def teacher_planes(
    arms: dict[str, Projected], shares: Float[np.ndarray, "2 2"], styles: dict[str, ArmStyle]
) -> Figure | None:
    """The teacher's principal planes (images above, captions below), one column for each arm's student.

    Args:
        arms: By arm, the embeddings of teacher and student in the planes.
        shares: Share of the variance, by modality and component.
        styles: By arm, its colour and marker.

    Returns:
        The figure, or None without arms.
    """
    if not arms:
        return None
    figure, axes = canvas(2 * len(arms), 1.9, columns=len(arms), sharey=False)
    for number, (arm, projected) in enumerate(arms.items()):
        for side, modality in enumerate(("images", "captions")):
            ax, (teacher, student) = axes[side * len(arms) + number], (projected.teacher[side], projected.student[side])
            for here, there in zip(teacher[:LINKS], student[:LINKS], strict=True):
                ax.plot(*zip(here, there, strict=True), color="#cccccc", linewidth=0.4, zorder=1)
            look = {"s": 5, "linewidths": 0}
            ax.scatter(*teacher.T, color=TEACHER_COLOUR, label="teacher", **look)
            ax.scatter(*student.T, color=styles[arm].colour, label=arm, alpha=0.8, **look)
            ax.set_title(arm if side == 0 else "")
            if number == 0:
                ax.set_ylabel(f"{modality}\nPC 2 ({100 * shares[side, 1]:.0f} %)")
            ax.set_xlabel(f"PC 1 ({100 * shares[side, 0]:.0f} %)")
            bare(ax)
    share_legend(figure, *axes)
    return figure


@mpl.rc_context(STYLE)
def joint_planes(networks: dict[str, Points]) -> Figure | None:
    """Images and captions of each network in the plane of its first two principal components; lines join pairs."""
    if not networks:
        return None
    figure, axes = canvas(len(networks), 2.0, columns=4)
    for ax, (name, points) in zip(axes, networks.items(), strict=True):
        for here, there in zip(points[0][:LINKS], points[1][:LINKS], strict=True):
            ax.plot(*zip(here, there, strict=True), color="#bbbbbb", linewidth=0.4, zorder=1)
        ax.scatter(*points[0].T, s=6, marker="s", color=IMAGES, alpha=0.8, linewidths=0, label="images")
        ax.scatter(*points[1].T, s=6, marker="o", color=CAPTIONS, alpha=0.8, linewidths=0, label="captions")
        ax.set_title(name)
        ax.set_aspect("equal", adjustable="datalim")
        bare(ax)
    share_legend(figure, *axes)
    return figure


def bare(ax: Axes) -> None:
    """Remove the numbers along the axes: only relative positions have a meaning."""
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
