"""Figures of the diagnostics: spectra by what is swept, the split loss, dimensions in the plane, boxes over seeds.

Each function takes plain numbers and returns a matplotlib Figure, or None without numbers. Bands are the standard
deviation over seeds.
"""

from itertools import product
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.figures.style import STYLE, WIDTH, ArmStyle, Point, canvas, share_legend

Spectra = list[Float[np.ndarray, " values"]]
"""One spectrum for each seed."""

PLAIN, SPECIAL = 0.25, 0.75
"""Opacity of a box without and with a bottleneck, as in the paper's Fig. 7."""
TEACHER_COLOUR = "#b5b5b5"
LIMIT_COLOUR = "#B00020"


class Band(NamedTuple):
    """Mean and deviation over seeds along an index or an epoch."""

    x: Float[np.ndarray, " points"]
    mean: Float[np.ndarray, " points"]
    std: Float[np.ndarray, " points"]
    """0 with one seed."""


class SplitCurves(NamedTuple):
    """The split loss of one configuration."""

    general: Band
    specific: Band
    limit: float | None
    """Limit of Corollary 1.1, mean over seeds; None if the corollary does not apply."""


class DataCurve(NamedTuple):
    """One arm along a swept field of the data."""

    level: list[Point]
    gain: list[Point]
    """Paired difference from the baseline arm: mean, and half of Student's 95 % interval in place of a deviation."""


class Box(NamedTuple):
    """One arm's values over seeds."""

    values: list[float]
    bottleneck: bool


def band(x: Float[np.ndarray, " points"], table: Float[np.ndarray, "seeds points"]) -> Band:
    """Mean and sample deviation over the rows of `table`."""
    std = table.std(axis=0, ddof=1) if len(table) > 1 else np.zeros(table.shape[1])
    return Band(x, table.mean(axis=0), std)


def log_band(spectra: Spectra) -> Band:
    """Logarithms over seeds, up to the first index at which a seed has a 0, which has no logarithm."""
    width = min(int(np.count_nonzero(values > 0)) for values in spectra)
    return band(np.arange(1, width + 1), np.log(np.stack([values[:width].astype(np.float64) for values in spectra])))


@mpl.rc_context(STYLE)
def spectra_by_arm(panels: dict[str, dict[str, Spectra]], styles: dict[str, ArmStyle]) -> Figure | None:
    """Log singular values by arm, one panel for each matrix (`panels` by its name)."""
    panels = {name: {arm: spectra for arm, spectra in arms.items() if spectra} for name, arms in panels.items()}
    panels = {name: arms for name, arms in panels.items() if arms}
    if not panels:
        return None
    figure, axes = canvas(len(panels), 2.6, columns=2)
    for ax, (name, arms) in zip(axes, panels.items(), strict=True):
        for arm, spectra in arms.items():
            shown, style = log_band(spectra), styles[arm]
            ax.plot(
                shown.x, shown.mean, color=style.colour, marker=style.marker, markersize=4, markevery=0.12, label=arm
            )
            shade(ax, shown, style.colour)
        ax.set(title=name, xlabel="index of singular value")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("log singular value")
    share_legend(figure, *axes)
    return figure


@mpl.rc_context(STYLE)
def spectra_by_value(table: dict[str, dict[str, dict[float, Spectra]]], label: str, rank: bool) -> Figure | None:
    """Log singular values for each value of a swept field: a row for each matrix, a column for each arm (Fig. 3, 8).

    Args:
        table: By matrix, arm and value, one spectrum for each seed.
        label: Symbol of the field.
        rank: Whether the value bounds the rank (Theorem 1); a line in the value's colour then marks the index.

    Returns:
        The figure, or None if there is no spectrum.
    """
    rows = [name for name, arms in table.items() if any(any(spectra.values()) for spectra in arms.values())]
    if not rows:
        return None
    arms = list(table[rows[0]])
    values = sorted({value for name in rows for spectra in table[name].values() for value in spectra})
    colours = dict(zip(values, mpl.colormaps["viridis"](np.linspace(0, 0.9, len(values))), strict=True))
    figure, axes = canvas(len(rows) * len(arms), 2.3, columns=len(arms) if len(arms) > 1 else 2)
    for ax, (name, arm) in zip(axes, product(rows, arms), strict=True):
        for value, spectra in sorted(table[name].get(arm, {}).items()):
            shown = log_band(spectra)
            ax.plot(shown.x, shown.mean, color=colours[value], linewidth=1.1, label=f"{label} = {value:g}")
            shade(ax, shown, colours[value])
            if rank and 0 < value < len(spectra[0]):
                ax.axvline(value + 0.5, color=colours[value], linewidth=0.7, linestyle=":")
        ax.set(title=f"{arm}: {name}", xlabel="index of singular value")
    axes[0].set_ylabel("log singular value")
    share_legend(figure, *axes)
    return figure


def shade(ax: Axes, shown: Band, colour: object) -> None:
    """A band of one standard deviation."""
    ax.fill_between(shown.x, shown.mean - shown.std, shown.mean + shown.std, color=colour, alpha=0.15, linewidth=0)


@mpl.rc_context(STYLE)
def split_losses(arms: dict[str, dict[str, SplitCurves]]) -> Figure | None:
    """General and specific part of the feature loss by epoch, a row for each arm (Fig. 3c); the limit is dashed.

    `arms` is by arm and by the label of the configuration.
    """
    arms = {arm: curves for arm, curves in arms.items() if curves}
    if not arms:
        return None
    figure = Figure(figsize=(WIDTH, 2.4 * len(arms)), layout="constrained")
    grid = figure.subplots(len(arms), 2, squeeze=False)
    for (general, specific), (arm, curves) in zip(grid, arms.items(), strict=True):
        colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(curves)))
        for (label, curve), colour in zip(curves.items(), colours, strict=True):
            for ax, shown in ((general, curve.general), (specific, curve.specific)):
                ax.plot(shown.x, shown.mean, color=colour, linewidth=1.1, label=label)
                low = np.maximum(shown.mean - shown.std, 0 if ax is specific else shown.mean / 10)
                ax.fill_between(shown.x, low, shown.mean + shown.std, color=colour, alpha=0.15, linewidth=0)
            if curve.limit is not None:
                specific.axhline(curve.limit, color=LIMIT_COLOUR, linewidth=0.8, linestyle="--", label="Corollary 1.1")
        general.set_yscale("log")
        general.set(title=f"{arm}: modality-general part", xlabel="epoch", ylabel="½ Σ squared error")
        specific.set(title=f"{arm}: modality-specific part", xlabel="epoch", ylim=(0, None))
    share_legend(figure, *grid.flat)
    return figure


@mpl.rc_context(STYLE)
def data_curves(
    curves: dict[str, DataCurve], bands: dict[str, Point], xlabel: str, ylabel: str, styles: dict[str, ArmStyle]
) -> Figure | None:
    """A metric, and its gain over the baseline arm, against a swept field of the data.

    Args:
        curves: By arm that sweeps the field, its curve.
        bands: By other arm, its best group, drawn as a dashed line.
        xlabel: Axis label of the field.
        ylabel: Axis label of the metric.
        styles: By arm, its colour and marker.

    Returns:
        The figure, or None if no arm has a point.
    """
    curves = {arm: curve for arm, curve in curves.items() if curve.level}
    if not curves:
        return None
    gains = any(curve.gain for curve in curves.values())
    figure, axes = canvas(2 if gains else 1, 2.7, columns=2)
    for arm, level in bands.items():
        axes[0].axhline(level.mean, color=styles[arm].colour, linestyle="--", linewidth=1, label=f"{arm} (mean)")
    for arm, curve in curves.items():
        draw_points(axes[0], curve.level, styles[arm], arm)
        if curve.gain:
            draw_points(axes[1], curve.gain, styles[arm], arm)
    axes[0].set(xlabel=xlabel, ylabel=ylabel, title="mean ± 1 std over seeds")
    if gains:
        axes[1].axhline(0, color="#222222", linewidth=0.8)
        axes[1].set(xlabel=xlabel, ylabel="difference from the baseline", title="paired by seed, 95 % interval")
    share_legend(figure, *axes)
    return figure


def draw_points(ax: Axes, points: list[Point], style: ArmStyle, label: str) -> None:
    """Means with error bars, joined by a line."""
    xs, means, stds = zip(*((point.x, point.mean, point.std or 0) for point in points), strict=True)
    ax.errorbar(
        xs,
        means,
        yerr=stds,
        color=style.colour,
        marker=style.marker,
        markersize=4,
        capsize=2,
        linewidth=1.2,
        label=label,
    )


@mpl.rc_context(STYLE)
def seed_boxes(panels: dict[str, dict[str, Box]], styles: dict[str, ArmStyle]) -> Figure | None:
    """Box plots over seeds, a panel for each metric (CIBA paper, Fig. 7): dark with a bottleneck, light without."""
    panels = {label: {arm: box for arm, box in boxes.items() if len(box.values) > 1} for label, boxes in panels.items()}
    panels = {label: boxes for label, boxes in panels.items() if len(boxes) > 1}
    if not panels:
        return None
    figure, axes = canvas(len(panels), 2.7, columns=2)
    for ax, (label, boxes) in zip(axes, panels.items(), strict=True):
        drawn = ax.boxplot(
            [box.values for box in boxes.values()], widths=0.6, patch_artist=True, medianprops={"color": "#222222"}
        )
        for patch, (arm, box) in zip(drawn["boxes"], boxes.items(), strict=True):
            patch.set_facecolor(to_rgba(styles[arm].colour, SPECIAL if box.bottleneck else PLAIN))
            patch.set_edgecolor(styles[arm].colour)
        ax.set_xticks(range(1, len(boxes) + 1), list(boxes), rotation=30, ha="right")
        ax.set_ylabel(label)
        ax.grid(visible=False, axis="x")
    return figure


@mpl.rc_context(STYLE)
def dimensions(
    teacher: Float[np.ndarray, "dims 2"],
    students: dict[str, Float[np.ndarray, "dims 2"]],
    styles: dict[str, ArmStyle],
) -> Figure | None:
    """Feature dimensions in the plane (CIBA paper, Fig. 1): a panel for each student, with the teacher's in grey.

    Args:
        teacher: Coordinates of the teacher's dimensions.
        students: By arm, those of the student's dimensions.
        styles: By arm, its colour and marker.

    Returns:
        The figure, or None without students.
    """
    if not students:
        return None
    figure, axes = canvas(len(students), 2.3, columns=3)
    for ax, (arm, points) in zip(axes, students.items(), strict=True):
        ax.scatter(*teacher.T, s=6, color=TEACHER_COLOUR, linewidths=0, label="teacher")
        ax.scatter(*points.T, s=7, color=styles[arm].colour, linewidths=0, alpha=0.8, label=arm)
        ax.set(title=arm, xticks=[], yticks=[])
        ax.set_aspect("equal", "datalim")
    share_legend(figure, *axes)
    return figure
