"""The figure of `study te-theory`: each TE proxy against the exact transfer entropy, and both along the coupling."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.figures.style import COLOURS, MARKERS, STYLE, WIDTH, share_legend
from study.theory.te import Point, TheoryOfTE

SHOWN = ("TE1", "TE1, lag 1", "TE1, shuffled")
"""TE2 is close to TE1 here, where both modalities are alike; the table has all."""


@mpl.rc_context(STYLE)
def te_figure(theory: TheoryOfTE) -> Figure:
    """Above, proxies against exact TE; below, exact TE and two of the proxies against the coupling."""
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, len(SHOWN))
    processes = sorted({(point.model.a, point.model.b) for point in theory.points})
    for ax, name in zip(upper, SHOWN, strict=True):
        for number, process in enumerate(processes):
            draw_proxy(ax, theory.of(process, signed=False), name, number)
        ax.set(title=name, xlabel="exact TE along time, nats", ylim=(-0.75, 1))
    upper[0].set_ylabel("proxy, c ≥ 0")
    for ax, name in zip(lower, ("exact TE, nats", *SHOWN[:2]), strict=True):
        for number, process in enumerate(processes):
            points = theory.of(process, signed=True)
            values = [np.mean(point.proxies[name]) if name in point.proxies else point.exact for point in points]
            ax.plot([point.model.c for point in points], values, color=COLOURS[number])
        ax.set(title=name, xlabel="coupling c")
    share_legend(figure, upper[0])
    return figure


def draw_proxy(ax: Axes, points: list[Point], name: str, number: int) -> None:
    """Mean over the repeats, with the bar of their central 95 %."""
    values = np.array([point.proxies[name] for point in points])
    low, high = np.quantile(values, [0.025, 0.975], axis=1)
    model = points[0].model
    ax.errorbar(
        [point.exact for point in points],
        values.mean(axis=1),
        yerr=(values.mean(axis=1) - low, high - values.mean(axis=1)),
        color=COLOURS[number],
        marker=MARKERS[number],
        markersize=2.5,
        linestyle="",
        elinewidth=0.8,
        label=f"a = {model.a:g}, b = {model.b:g}",
    )
