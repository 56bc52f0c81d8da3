"""Writes the report of a study from its directory alone: HTML, Markdown, tables and figures, and orders its sections.

report/report.html      self-contained; can be mailed and printed
       report.md        refers to figures/
       tables/*.csv     raw values
       figures/*.svg *.png
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from study.analysis.study_results import StudyResults, study_results
from study.config.resolved_study import ResolvedStudy
from study.report.figure_table import FIGURES
from study.report.format.csv_tables import csv_files
from study.report.format.document import Block, Heading, Items, to_html, to_markdown
from study.report.format.figure_files import FigureSection, RenderedFigure, draw_figures
from study.report.format.tables import arms_table_block, best_table
from study.report.sections.collapse import collapse_findings, pairs_table
from study.report.sections.contrastive import clip_blocks
from study.report.sections.criterion import criterion_blocks
from study.report.sections.findings import findings, reading
from study.report.sections.pareto import front_csv, pareto_blocks
from study.report.sections.provenance import ended, provenance, work
from study.report.sections.published import published_blocks
from study.report.sections.settings import data_notes, introduction, settings, silent_choices
from study.report.sections.suggested_h import suggested_h_findings
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from trainables.common.atomic_files import write_bytes


def write_report(study: ResolvedStudy, store: StudyStore, timing: Mapping[str, float | None] | None = None) -> Path:
    """Write the report of a study, finished or not.

    Equal stores give equal tables and figures; only the last line has a date.

    Args:
        study: The study.
        store: Its store.
        timing: Seconds of the present run by name (`wall`, `training`, `orchestration_per_trial`), if there is one.

    Returns:
        The path of `report.html`.
    """
    results = study_results(study, collect_groups(study, store))
    figures = draw_figures(study, results, store, FIGURES)
    blocks = contents(study, results, store, figures, timing)
    title = f"Study {study.study}"
    end = f"Made from {store.directory.name}/ on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    directory = store.directory / "report"
    files = {f"tables/{name}": data for name, data in csv_files(study, results).items()}
    if len(study.search.objectives) > 1:
        files["tables/pareto.csv"] = front_csv(study, results)
    for figure in figures:
        files |= {f"figures/{figure.name}.svg": figure.svg, f"figures/{figure.name}.png": figure.png}
    files["report.md"] = to_markdown(title, blocks, end).encode()
    files["report.html"] = to_html(title, blocks, end).encode()
    for name, data in files.items():
        write_bytes(directory / name, data)
    remove_stale(directory / "figures", files)
    return directory / "report.html"


def remove_stale(directory: Path, files: dict[str, bytes]) -> None:
    """Delete figures of an earlier report that are not in the present one."""
    for path in directory.glob("*.*"):
        if path.suffix in (".svg", ".png") and f"{directory.name}/{path.name}" not in files:
            path.unlink()


def contents(
    study: ResolvedStudy,
    results: StudyResults,
    store: StudyStore,
    figures: list[RenderedFigure],
    timing: Mapping[str, float | None] | None,
) -> list[Block]:
    """The blocks of the report, in order."""
    search = figures_of("search", figures)
    return [
        *introduction(study, results),
        Heading("What was found"),
        Items(
            (
                *findings(study, results),
                *collapse_findings(study, results, store),
                *suggested_h_findings(study, results),
            )
        ),
        Heading("Results"),
        arms_table_block(results),
        *pairs_table(study, results),
        best_table(results),
        *pareto_blocks(study, results),
        *figures_of("pareto", figures),
        *published_blocks(study, results),
        *criterion_blocks(study, results, store),
        *figures_of("criterion", figures),
        *figures_of("results", figures),
        *clip_blocks(study, results, store),
        *figures_of("contrastive", figures),
        *reading(results),
        *settings(study),
        *data_notes(study),
        *([Heading("Training and search"), *search] if search else []),
        *ended(results),
        *work(results, timing),
        *silent_choices(study),
        *provenance(study, store),
    ]


def figures_of(section: FigureSection, figures: list[RenderedFigure]) -> list[RenderedFigure]:
    """The figures of one section."""
    names = {entry.name for entry in FIGURES if entry.section == section}
    return [figure for figure in figures if figure.name in names]
