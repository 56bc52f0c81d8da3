"""The figures of a report as SVG and PNG files, and the helpers that turn groups into their points."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from matplotlib.figure import Figure

from search_spaces.domains import Choice, Domain, Value
from study.analysis.notation import metric_label, scale
from study.analysis.study_results import StudyResults, by_seed, summarise
from study.config.spectrum_rule import BOTTLENECK
from study.config.study_config import StudyConfig
from study.figures.bottleneck_curve import Curve
from study.figures.style import ArmStyle, Point, arm_styles, render
from study.storage.groups import Group, best_group
from study.storage.store import StudyStore


class RenderedFigure(NamedTuple):
    """A figure of the report, as files."""

    name: str
    title: str
    caption: str
    svg: bytes
    png: bytes


class FigureInputs(NamedTuple):
    """The data from which figures are drawn."""

    study: StudyConfig
    results: StudyResults
    store: StudyStore
    styles: dict[str, ArmStyle]

    @property
    def ylabel(self) -> str:
        """Axis label of the objective."""
        return metric_label(self.results.metric)


FigureTable = Mapping[str, tuple[str, str, Callable[[FigureInputs], Figure | None]]]
"""By file name: title, caption, and what draws the figure (or returns None)."""


def draw_figures(
    study: StudyConfig, results: StudyResults, store: StudyStore, table: FigureTable
) -> list[RenderedFigure]:
    """Every figure of `table` for which the study has numbers, in its order."""
    styles = arm_styles([arm.name for arm in study.arms], results.baseline)
    inputs = FigureInputs(study, results, store, styles)
    drawn = []
    for name, (title, caption, make) in table.items():
        figure = make(inputs)
        if figure is not None:
            drawn.append(RenderedFigure(name, title, caption, render(figure, "svg"), render(figure, "png")))
    return drawn


def bottleneck_points(groups: tuple[Group, ...], metric: str, results: StudyResults) -> Curve:
    """One arm over H: at each H the group that the objective chooses."""
    complete = [group for group in groups if group.status == "complete" and has(group, metric)]
    sizes = sorted({float(group.params[BOTTLENECK]) for group in complete if BOTTLENECK in group.params})
    best = []
    for size in sizes:
        chosen = best_group([g for g in complete if g.params[BOTTLENECK] == size], results.metric, results.direction)
        if chosen:
            best.append(point(size, chosen, metric))
    return Curve(best, [(float(g.params[BOTTLENECK]), point(0, g, metric).mean) for g in complete])


def has(group: Group | None, metric: str) -> bool:
    """Whether the group has the metric."""
    return group is not None and group.mean(metric) is not None


def point(x: float, group: Group | None, metric: str) -> Point:
    """Mean and deviation over seeds of a group that has the metric, in the unit of figures."""
    summary = summarise(by_seed(group, metric))
    assert summary is not None
    factor = scale(metric)
    return Point(x, summary.mean * factor, None if summary.std is None else summary.std * factor)


def is_numeric(domain: Domain) -> bool:
    """Whether the values of `domain` are numbers."""
    return not isinstance(domain, Choice) or all(is_number(value) for value in domain.options)


def is_number(value: Value) -> bool:
    """Whether `value` is a number; a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
