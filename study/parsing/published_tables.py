"""The published tables (one YAML file each in `search_spaces/published`), and the check of `report.published`.

Separate from `study.analysis.published`, so that a study file is checked without importing statistics.
"""

from collections.abc import Collection
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from search_spaces.explain import not_a_choice
from study.parsing.yaml_tree import parse
from trainables.common.types import Frozen

Role = Literal["teacher", "student"]


class PublishedValue(Frozen):
    """One printed cell, in percent."""

    mean: float
    std: float | None = None
    p: str | None = None
    """As printed, for the comparison with the table's reference row."""


class PublishedRow(Frozen):
    """One printed row."""

    name: str
    """Name in the paper."""
    values: dict[str, PublishedValue]
    """By metric key."""
    method: dict[str, JsonValue] = Field(default_factory=dict)
    """Hyperparameters that the paper gives for this row; the report lists those that a study chose differently."""
    networks: dict[Role, dict[str, JsonValue]] = Field(default={})
    """Fields of `teacher` and `student` that the paper gives for this row only."""


class PublishedTable(Frozen):
    """One table of a paper."""

    title: str
    dataset: str
    """Entry of `DATASETS` with the paper's data."""
    seeds: int
    """Number of seeds of each row in the paper."""
    recipe: dict[str, JsonValue]
    """Fields of `training` that the paper gives."""
    networks: dict[Role, dict[str, JsonValue]] = Field(default={})
    """Fields of `teacher` and `student` that the paper gives."""
    rows: dict[str, PublishedRow]
    """By the name of the arm that measures the row."""
    note: str = ""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metric keys of the columns, in the order of the table."""
        return tuple(dict.fromkeys(metric for row in self.rows.values() for metric in row.values))


def folder() -> Traversable:
    """The folder of the tables."""
    return files("search_spaces") / "published"


def published_names() -> list[str]:
    """The names of all tables."""
    return sorted(file.name.removesuffix(".yaml") for file in folder().iterdir() if file.name.endswith(".yaml"))


@cache
def published_table(name: str) -> PublishedTable:
    """The table called `name`.

    Raises:
        KeyError: if there is none.
        StudyFileError: if its file is not valid YAML.
        pydantic.ValidationError: if it does not describe a table.

    """
    if name not in published_names():
        raise KeyError(name)
    text = (folder() / f"{name}.yaml").read_text(encoding="utf-8")
    return PublishedTable.model_validate(parse(text, Path(f"{name}.yaml")).plain)


def published_fault(name: str, arms: Collection[str]) -> str | None:
    """The problem of `report.published` in a study with these arms, or None."""
    names = published_names()
    if name not in names:
        return not_a_choice(name, names)
    rows = published_table(name).rows
    if arms and not rows.keys() & set(arms):
        return f"no arm is a row of {name}, so there is nothing to compare; name arms after its rows: {', '.join(rows)}"
    return None
