"""Figures of each arm's best configuration: feature spectra, results seed by seed, learning curves."""

import matplotlib as mpl
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.figures.style import (
    STYLE,
    ArmStyle,
    canvas,
    legend_inside,
)
from trainables.diagnostics.spectra import effective_rank

MOST_FLAT_LABELS = 5
"""Most arms whose names fit on the axis without being rotated."""


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
def seed_spread(values: dict[str, dict[int, float]], ylabel: str, styles: dict[str, ArmStyle]) -> Figure | None:
    """Each arm's best group, seed by seed, with mean and standard deviation; thin lines join equal seeds.

    Args:
        values: By arm, the metric by seed.
        ylabel: Axis label of the metric.
        styles: By arm, its colour and marker.

    Returns:
        The figure, or None if no arm has a value.
    """
    values = {arm: seeds for arm, seeds in values.items() if seeds}
    if not values:
        return None
    figure, (ax,) = canvas(1, 2.8)
    arms = list(values)
    for seed in sorted({seed for seeds in values.values() for seed in seeds}):
        results = [(position, values[arm][seed]) for position, arm in enumerate(arms) if seed in values[arm]]
        ax.plot(*zip(*results, strict=True), color="#bbbbbb", linewidth=0.7, zorder=1)
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

    The axis is scaled by the second half of the epochs, where the arms differ; the first epochs may be outside.

    Args:
        curves: By arm, one {epoch: value} for each seed.
        ylabel: Axis label of the objective.
        styles: By arm, its colour and marker.

    Returns:
        The figure, or None if no arm has a curve.
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
