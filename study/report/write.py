"""Writes the report of a study from its directory alone: HTML, Markdown, tables and figures. Fixes their order.

report/report.html      self-contained; can be mailed and printed
       report.md        refers to figures/
       tables/*.csv     raw values
       figures/*.svg *.png
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from study.analysis.study_results import StudyResults, study_results
from study.config.study_config import StudyConfig
from study.report.format.csv_tables import csv_files
from study.report.format.document import Block, Heading, Items, to_html, to_markdown
from study.report.format.figure_files import RenderedFigure, draw_figures
from study.report.format.tables import arms_table_block, best_table
from study.report.sections.collapse import collapse_findings, pairs_table
from study.report.sections.contrastive import clip_blocks
from study.report.sections.contrastive_figures import CLIP_FIGURES
from study.report.sections.criterion import CRITERION_FIGURES, criterion_blocks
from study.report.sections.diagnostics import DIAGNOSTIC_FIGURES
from study.report.sections.figures import FIGURES
from study.report.sections.findings import findings, reading
from study.report.sections.pareto import PARETO_FIGURES, front_csv, pareto_blocks
from study.report.sections.provenance import ended, provenance, work
from study.report.sections.published import published_blocks
from study.report.sections.settings import data_notes, introduction, settings, silent_choices
from study.report.sections.suggested_h import SUGGESTED_H_FIGURES, suggested_h_findings
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from trainables.common.atomic_files import write_bytes

MAIN_FIGURES = (
    *("data_curve", "value_spectra", "split_loss", "seed_boxes", "seed_spread", "h_curve", "suggested_h"),
    *("spectra", "weight_spectra", "dimensions"),
)
"""Figures that follow the results, in order. The other figures come under the heading on training and search."""


def write_report(study: StudyConfig, store: StudyStore, timing: Mapping[str, float | None] | None = None) -> Path:
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
    figures = draw_figures(
        study,
        results,
        store,
        {**FIGURES, **PARETO_FIGURES, **CRITERION_FIGURES, **SUGGESTED_H_FIGURES, **DIAGNOSTIC_FIGURES, **CLIP_FIGURES},
    )
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
    study: StudyConfig,
    results: StudyResults,
    store: StudyStore,
    figures: list[RenderedFigure],
    timing: Mapping[str, float | None] | None,
) -> list[Block]:
    """The blocks of the report, in order."""
    drawn = {figure.name: figure for figure in figures}
    front = [drawn.pop(name) for name in PARETO_FIGURES if name in drawn]
    gains = [drawn.pop(name) for name in CRITERION_FIGURES if name in drawn]
    clip = [drawn.pop(name) for name in CLIP_FIGURES if name in drawn]
    main = [drawn.pop(name) for name in MAIN_FIGURES if name in drawn]
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
        *front,
        *published_blocks(study, results),
        *criterion_blocks(study, results, store),
        *gains,
        *main,
        *clip_blocks(study, results, store),
        *clip,
        *reading(results),
        *settings(study),
        *data_notes(study),
        *([Heading("Training and search"), *drawn.values()] if drawn else []),
        *ended(results),
        *work(results, timing),
        *silent_choices(study),
        *provenance(study, store),
    ]
