"""Published tables beside measured results: one YAML file a table in `search_spaces/published`, and what compares.

A study names a table (`report: {published: ciba_table1a}`), and its arms measure the rows of the same name. Whether a
measured cell may be set beside the published one is decided here, from the study's own values: never by hand.
"""

from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from search_spaces.explain import not_a_choice
from study.config import Arm, StudyConfig
from study.stats import ArmResult, StudyResults, Summary, by_seed, summarise
from study.yaml_source import parse
from trainables.config import TrialConfig
from trainables.data import DATASETS
from trainables.types import Frozen

Role = Literal["teacher", "student"]


class PublishedValue(Frozen):
    """One printed cell, in percent."""

    mean: float
    std: float | None = None
    p: str | None = None
    """As printed; against the row that the table compares with."""


class PublishedRow(Frozen):
    """One printed row."""

    name: str
    """As the paper calls it."""
    values: dict[str, PublishedValue]
    """By metric key."""
    method: dict[str, JsonValue] = Field(default_factory=dict)
    """Hyperparameters that the paper gives for this row; where a study chose others, the report says so."""
    networks: dict[Role, dict[str, JsonValue]] = Field(default_factory=dict)
    """As in the table, for this row alone."""


class PublishedTable(Frozen):
    """One table of a paper."""

    title: str
    dataset: str
    """Line of `DATASETS` that holds the paper's data."""
    seeds: int
    """How often the paper repeated each row."""
    recipe: dict[str, JsonValue]
    """Fields of `training` that the paper gives."""
    networks: dict[Role, dict[str, JsonValue]] = Field(default_factory=dict)
    """Fields of `teacher` and `student` that the paper gives."""
    rows: dict[str, PublishedRow]
    """By the name of the arm that measures the row."""
    note: str = ""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metric keys of the columns, in the order of the table."""
        return tuple(dict.fromkeys(metric for row in self.rows.values() for metric in row.values))


class Beside(NamedTuple):
    """One row of the table with what the study measured."""

    key: str
    row: PublishedRow
    measured: dict[str, Summary | None]
    """By metric key; empty if the study has no such arm."""
    reasons: tuple[str, ...]
    """Why the two must not be compared; empty if they may be."""
    chosen: tuple[str, ...]
    """Where the study's chosen hyperparameters differ from the printed ones, which is a result and no obstacle."""


def folder() -> Traversable:
    """Where the tables lie."""
    return files("search_spaces") / "published"


def published_names() -> list[str]:
    """The tables there are."""
    return sorted(file.name.removesuffix(".yaml") for file in folder().iterdir() if file.name.endswith(".yaml"))


@cache
def published_table(name: str) -> PublishedTable:
    """The table called `name`.

    Raises:
        KeyError: if there is none.
        StudyFileError: if its file is no YAML.
        pydantic.ValidationError: if it is no table.

    """
    if name not in published_names():
        raise KeyError(name)
    text = (folder() / f"{name}.yaml").read_text(encoding="utf-8")
    return PublishedTable.model_validate(parse(text, Path(f"{name}.yaml")).plain)


def side_by_side(study: StudyConfig, results: StudyResults, table: PublishedTable) -> list[Beside]:
    """Every row of the table, measured or not."""
    arms = {arm.name: arm for arm in study.arms}
    return [
        beside(key, row, table, study, arms[key], results.arm(key)) if key in arms else Beside(key, row, {}, (), ())
        for key, row in table.rows.items()
    ]


def beside(
    key: str, row: PublishedRow, table: PublishedTable, study: StudyConfig, arm: Arm, result: ArmResult
) -> Beside:
    """One row that the study has an arm for."""
    trial = result.best.trials[0].config if result.best else arm.base
    measured = {metric: summarise(by_seed(result.best, metric)) for metric in row.values}
    counts = [summary.n for summary in measured.values() if summary] or [len(study.search.seeds)]
    reasons = [*data_reasons(table, trial), *seed_reasons(table, min(counts)), *recipe_reasons(table, trial)]
    for role in ("teacher", "student"):
        printed = table.networks.get(role, {}) | row.networks.get(role, {})
        if role == "student" or trial.method.teacher_source != "nothing":
            reasons += different(printed, getattr(trial, role).model_dump(mode="json"), f"{role} ")
    chosen = different(row.method, trial.method.model_dump(mode="json")) if result.best else []
    return Beside(key, row, measured, tuple(reasons), tuple(chosen))


def data_reasons(table: PublishedTable, trial: TrialConfig) -> list[str]:
    """Why the data are others than the paper's."""
    name = str(getattr(trial.data, "dataset", ""))
    if name != table.dataset:
        return [f"data set `{name}` instead of `{table.dataset}`"]
    reason = DATASETS[name].not_comparable(trial.data)
    return [] if reason is None else [reason]


def seed_reasons(table: PublishedTable, seeds: int) -> list[str]:
    """Fewer repeats than printed."""
    return [f"{seeds} instead of {table.seeds} seeds"] if seeds < table.seeds else []


def recipe_reasons(table: PublishedTable, trial: TrialConfig) -> list[str]:
    """Shorter or other training, of the student or of what teaches it."""
    found = []
    for part in ("training", "pretraining") if trial.method.teacher_source != "nothing" else ("training",):
        values = getattr(trial, part).model_dump(mode="json")
        found += different(table.recipe, values, f"{part} ")
    return found


def different(printed: Mapping[str, JsonValue], own: Mapping[str, JsonValue], prefix: str = "") -> list[str]:
    """`name = own instead of printed` for each printed value that is another here."""
    return [
        f"{prefix}{name} = {own.get(name, 'none')} instead of {value}"
        for name, value in printed.items()
        if not equal(own.get(name), value)
    ]


def equal(own: JsonValue, printed: JsonValue) -> bool:
    """Equal values; 1 and 1.0 are."""
    return own == printed and isinstance(own, bool) == isinstance(printed, bool)


def published_fault(name: str, arms: Collection[str]) -> str | None:
    """What is wrong with `report.published` in a study of these arms, or None."""
    names = published_names()
    if name not in names:
        return not_a_choice(name, names)
    rows = published_table(name).rows
    if arms and not rows.keys() & set(arms):
        return (
            f"no arm is a row of {name}, so nothing would stand beside it; name arms after its rows: {', '.join(rows)}"
        )
    return None
