"""The figure of `study cch-theory`: risks along the teacher's noise, the region of the criterion, the deviations."""

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from study.figures.style import STYLE, WIDTH
from study.theory.cch import Cell, Theory
from trainables.theory.joint_gaussian import excess_risk

SHOWN_GAMMAS = 3
"""Panels of risk: the smallest, the middle and the largest gamma; the table has all."""
HOLDS, FAILS = "#009E73", "#D55E00"
FINE = 201
"""Points of a drawn curve, and of each side of the map."""


@mpl.rc_context(STYLE)
def cch_figure(theory: Theory) -> Figure:
    """Above, risk against tau for three gamma; below, the map of gains over tau and lambda, and the deviations."""
    figure = Figure(figsize=(WIDTH, 5.8), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.3), squeeze=False)[:, 0]
    gammas = sorted({cell.gamma for cell in theory.cells})
    shown = [gammas[0], gammas[len(gammas) // 2], gammas[-1]]
    axes = upper.subplots(1, SHOWN_GAMMAS, sharey=True)
    for ax, gamma in zip(axes, shown, strict=True):
        draw_risks(ax, theory, gamma)
    plain_log_axis(axes[0].yaxis, [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200])
    axes[0].set_ylabel("excess risk / excess risk alone")
    handles, labels = axes[0].get_legend_handles_labels()
    upper.legend(handles, labels, loc="outside right center")
    left, right = lower.subplots(1, 2, width_ratios=(1.5, 1))
    draw_map(lower, left, theory, shown[1])
    draw_deviations(right, theory)
    lower.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def draw_risks(ax: Axes, theory: Theory, gamma: float) -> None:
    """Closed form as lines, simulation as points with two standard errors, one colour for each lambda."""
    cells = [cell for cell in theory.cells if cell.gamma == gamma]
    lambdas = sorted({cell.lambda_kd for cell in cells})
    ax.axvspan(0, 1, color=HOLDS, alpha=0.12, linewidth=0, label="criterion holds")
    ax.axhline(1, color="#222222", linestyle="--", linewidth=1, label="no distillation")
    tau = torch.linspace(0, max(cell.tau for cell in cells), FINE, dtype=torch.float64)
    for lambda_kd, shade in zip(lambdas, colormaps["viridis_r"](np.linspace(0.1, 1, len(lambdas))), strict=True):
        own = [cell for cell in cells if cell.lambda_kd == lambda_kd]
        exact = relative_risk(theory, gamma, tau, torch.full_like(tau, lambda_kd))
        ax.plot((tau / theory.sigma).numpy(), exact, color=shade, linewidth=1, label=f"λ = {lambda_kd:g}")
        ax.errorbar(
            [cell.tau / theory.sigma for cell in own],
            [cell.simulated / cell.alone for cell in own],
            yerr=[2 * cell.standard_error / cell.alone for cell in own],
            color=shade,
            linestyle="",
            marker="o",
            markersize=2.5,
            elinewidth=0.8,
        )
    ax.set(title=f"γ = {gamma:g}", xlabel="teacher noise τ / σ", yscale="log")


def relative_risk(theory: Theory, gamma: float, tau: torch.Tensor, lambda_kd: torch.Tensor) -> np.ndarray:
    """Closed form, as a multiple of the risk without distillation."""
    values = theory.moments(torch.full_like(tau, gamma), tau)
    risk, alone = (excess_risk(values, weight, theory.n, theory.p) for weight in (lambda_kd, 0 * lambda_kd))
    return (risk / alone).numpy()


def draw_map(figure: Figure, ax: Axes, theory: Theory, gamma: float) -> None:
    """Gain by the closed form over tau and lambda, the border of the criterion, and the sign of the simulated gains."""
    cells = [cell for cell in theory.cells if cell.gamma == gamma]
    tau = torch.linspace(0, max(cell.tau for cell in cells), FINE, dtype=torch.float64)
    low, high = 0.7 * min(cell.lambda_kd for cell in cells), 1.4 * max(cell.lambda_kd for cell in cells)
    weight = torch.from_numpy(np.geomspace(low, high, FINE))
    taus, weights = torch.meshgrid(tau, weight, indexing="xy")
    gain = 100 * (1 - relative_risk(theory, gamma, taus, weights))
    x, y = (tau / theory.sigma).numpy(), weight.numpy()
    norm = TwoSlopeNorm(0, -100, 100)
    mesh = ax.pcolormesh(x, y, gain, cmap="RdBu", norm=norm, rasterized=True, shading="gouraud")
    ax.contour(x, y, gain, levels=[0], colors="#222222", linewidths=1.2)
    ax.axvline(1, color=HOLDS, linewidth=1.6, label="τ = σ: the criterion holds to the left")
    for hatch, label, region in errors(taus.numpy() >= theory.sigma, gain):
        if region.any():
            ax.contourf(x, y, region, levels=[0.5, 1.5], colors="none", hatches=[hatch])
            ax.fill_between([], [], [], facecolor="white", edgecolor="#555555", hatch=hatch, linewidth=0, label=label)
    for marker, label, chosen in signs(cells):
        points = [(cell.tau / theory.sigma, cell.lambda_kd) for cell in chosen]
        if points:
            ax.plot(*zip(*points, strict=True), marker, color="#222222", markersize=3.5, linestyle="", label=label)
    figure.colorbar(mesh, ax=ax, label="gain, % of the risk alone", extend="min", pad=0.02)
    ax.set_yscale("log")
    plain_log_axis(ax.yaxis, [0.2, 0.5, 1, 2, 5])
    edge = 0.03 * float(x[-1])
    ax.set(xlabel="teacher noise τ / σ", ylabel="λ", title=f"γ = {gamma:g}", xlim=(-edge, float(x[-1]) + edge))
    ax.grid(False)


def errors(fails: np.ndarray, gain: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    """Hatch, label and region of both ways in which the criterion can be wrong: (lambda, tau)."""
    return [
        ("///", "criterion fails, distillation helps: not necessary", (fails & (gain > 0)).astype(float)),
        ("xxx", "criterion holds, distillation hurts", (~fails & (gain < 0)).astype(float)),
    ]


def plain_log_axis(axis: Axis, values: list[float]) -> None:
    """Ticks at these values, written out."""
    axis.set_major_locator(FixedLocator(values))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def signs(cells: list[Cell]) -> list[tuple[str, str, list[Cell]]]:
    """Marker, label and cells whose simulated gain is above, below and within two standard errors of 0."""
    above = [cell for cell in cells if cell.gain > 2 * cell.gain_error]
    below = [cell for cell in cells if cell.gain < -2 * cell.gain_error]
    rest = [cell for cell in cells if cell not in above and cell not in below]
    return [("^", "simulated gain", above), ("v", "simulated loss", below), (".", "within 2 s.e. of 0", rest)]


def draw_deviations(ax: Axes, theory: Theory) -> None:
    """Simulated minus closed form in standard errors, over the whole grid, beside the standard normal density."""
    deviations = [cell.deviation for cell in theory.cells]
    bins = np.linspace(-4, 4, 25)
    ax.hist(np.clip(deviations, -4, 4), bins=list(bins), density=True, color="#56B4E9", alpha=0.8)
    x = np.linspace(-4, 4, FINE)
    ax.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color="#222222", linewidth=1, label="standard normal")
    for side in (-1, 1):
        ax.axvline(side * theory.limit, color=FAILS, linestyle=":", linewidth=1)
    title = f"{len(deviations)} cells, worst {theory.worst:.2f} (limit {theory.limit:.2f})"
    ax.set(xlabel="(simulated - closed form) / s.e.", ylabel="density", title=title)
    ax.set_ylim(0, 1.25 * ax.get_ylim()[1])
    ax.legend(fontsize=6, loc="upper left")
