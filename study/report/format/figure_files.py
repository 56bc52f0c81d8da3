"""The figures of a report as SVG and PNG files."""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from matplotlib.figure import Figure

from study.analysis.notation import metric_label
from study.analysis.study_results import StudyResults
from study.config.study_config import StudyConfig
from study.figures.style import ArmStyle, arm_styles, render
from study.storage.store import StudyStore

FigureSection = Literal["pareto", "criterion", "results", "contrastive", "search"]
"""The section of the report in which a figure is."""


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


class ReportFigure(NamedTuple):
    """An entry of the table of figures."""

    name: str
    """Name of the files."""
    section: FigureSection
    title: str
    caption: str
    build: Callable[[FigureInputs], Figure | None]
    """Returns None if the study has no numbers for the figure."""


def draw_figures(
    study: StudyConfig, results: StudyResults, store: StudyStore, table: Iterable[ReportFigure]
) -> list[RenderedFigure]:
    """The figures of `table` for which the study has numbers, in the order of `table`.

    Args:
        study: The study.
        results: Its results.
        store: Its store.
        table: The figures to draw.
    """
    styles = arm_styles([arm.name for arm in study.arms], results.baseline)
    inputs = FigureInputs(study, results, store, styles)
    drawn = []
    for entry in table:
        figure = entry.build(inputs)
        if figure is not None:
            files = render(figure, "svg"), render(figure, "png")
            drawn.append(RenderedFigure(entry.name, entry.title, entry.caption, *files))
    return drawn
