"""Compares published tables with measured results, and says which cells are comparable.

A study names a table (`report: {published: ciba_table1a}`), and its arms measure the rows of the same name. Whether a
measured cell is comparable with the published one is decided here from the values of the study, never by hand.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import JsonValue

from study.analysis.study_results import ArmResult, StudyResults, Summary, summarise, values_by_seed
from study.config.study_config import Arm, StudyConfig
from study.parsing.published_tables import PublishedRow, PublishedTable
from trainables.config import TrialConfig
from trainables.data import DATASETS


class PublishedComparison(NamedTuple):
    """One row of the table with the study's measurements."""

    key: str
    row: PublishedRow
    measured: dict[str, Summary | None]
    """By metric key; empty if the study has no such arm."""
    reasons: tuple[str, ...]
    """Why the two are not comparable; empty if they are."""
    chosen: tuple[str, ...]
    """Where the chosen hyperparameters differ from the printed ones. It is a result and prevents no comparison."""


def compare_published(study: StudyConfig, results: StudyResults, table: PublishedTable) -> list[PublishedComparison]:
    """Every row of the table, measured or not."""
    arms = {arm.name: arm for arm in study.arms}
    return [
        compare_row(key, row, table, study, arms[key], results.arm(key))
        if key in arms
        else PublishedComparison(key, row, {}, (), ())
        for key, row in table.rows.items()
    ]


def compare_row(
    key: str, row: PublishedRow, table: PublishedTable, study: StudyConfig, arm: Arm, result: ArmResult
) -> PublishedComparison:
    """One row that the study has an arm for."""
    trial = result.best.trials[0].config if result.best else arm.base
    measured = {metric: summarise(values_by_seed(result.best, metric)) for metric in row.values}
    counts = [summary.n for summary in measured.values() if summary] or [len(study.search.seeds)]
    reasons = [*data_reasons(table, trial), *seed_reasons(table, min(counts)), *recipe_reasons(table, trial)]
    for role in ("teacher", "student"):
        printed = table.networks.get(role, {}) | row.networks.get(role, {})
        if role == "student" or trial.method.teacher_source != "nothing":
            reasons += different(printed, getattr(trial, role).model_dump(mode="json"), f"{role} ")
    chosen = different(row.method, trial.method.model_dump(mode="json")) if result.best else []
    return PublishedComparison(key, row, measured, tuple(reasons), tuple(chosen))


def data_reasons(table: PublishedTable, trial: TrialConfig) -> list[str]:
    """Why the data differ from the paper's."""
    name = trial.data.kind
    if name != table.dataset:
        return [f"data set `{name}` instead of `{table.dataset}`"]
    reason = DATASETS[name].not_comparable(trial.data)
    return [] if reason is None else [reason]


def seed_reasons(table: PublishedTable, seeds: int) -> list[str]:
    """Fewer repeats than printed."""
    return [f"{seeds} instead of {table.seeds} seeds"] if seeds < table.seeds else []


def recipe_reasons(table: PublishedTable, trial: TrialConfig) -> list[str]:
    """Differences in the training of the student or of its teacher."""
    found: list[str] = []
    for part in ("training", "pretraining") if trial.method.teacher_source != "nothing" else ("training",):
        values = getattr(trial, part).model_dump(mode="json")
        found += different(table.recipe, values, f"{part} ")
    return found


def different(printed: Mapping[str, JsonValue], own: Mapping[str, JsonValue], prefix: str = "") -> list[str]:
    """`name = own instead of printed` for each printed value that differs here."""
    return [
        f"{prefix}{name} = {own.get(name, 'none')} instead of {value}"
        for name, value in printed.items()
        if not equal(own.get(name), value)
    ]


def equal(own: JsonValue, printed: JsonValue) -> bool:
    """Equal values; 1 and 1.0 are."""
    return own == printed and isinstance(own, bool) == isinstance(printed, bool)
