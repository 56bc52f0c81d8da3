"""`docs/reference/study_file.md`: every key of a study file, from the same classes that check the file."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from study.config.criterion import CriterionConfig
from study.config.spectrum_rule import SpectrumRule
from study.config.study_config import Objective, ReportConfig, ResourcesConfig, SearchConfig, TrackingConfig
from study.config.study_file import ArmSection, StudyFile
from study.reference.fields import one_line, table
from trainables.config import CHOICES, EvaluationConfig, TrainingConfig

INTRODUCTION = """\
# The study file

Every key of a study file, with its type and default. `study explain KEY` prints the same in the terminal, for example
`study explain data.coco` or `study explain search.pruner`. Do not edit this page: `python -m study.reference` writes it
from the classes that check the file."""

SPACES = """\
A space maps hyperparameters to the values that are tried: a list such as `[2, 4, 8]`; a range `{low, high}`, with
`log: true` sampled evenly in the logarithm, with `step` in steps; or the word `default`, the range in the tables of
this page. Names are those of the arm's method and of `training`. Hyperparameters of other sections have a dot:
`student.feature_dim`, `data.teacher`, `pretraining.lr`. An alias may be used for every name; tables, MLflow and the
report show the name itself. An arm's own space has precedence over the shared one, and so has a fixed value in an
arm."""

ONE_OBJECTIVE = """\
A single objective may be written as `metric` and `direction` in `search` itself. The default direction is the metric's
own."""


def study_file_markdown() -> str:
    """The whole page."""
    parts = [
        INTRODUCTION,
        one_line(StudyFile.__doc__),
        table(StudyFile, types=False),
        "## `data`",
        *kinds("data"),
        "## `teacher` and `student`",
        *kinds("teacher"),
        *section("training` and `pretraining", TrainingConfig),
        *section("arms", ArmSection, types=False),
        *kinds("method"),
        "## `space`",
        SPACES,
        one_line(SpectrumRule.__doc__),
        table(SpectrumRule),
        *section("criterion", CriterionConfig),
        *section("evaluate", EvaluationConfig, types=False),
        *section("search", SearchConfig),
        ONE_OBJECTIVE,
        table(Objective),
        *section("resources", ResourcesConfig),
        *section("tracking", TrackingConfig),
        *section("report", ReportConfig),
    ]
    return "\n\n".join(parts) + "\n"


def section(name: str, config: type[BaseModel], types: bool = True) -> list[str]:
    """One section of fixed keys, with its heading."""
    return [f"## `{name}`", one_line(config.__doc__), table(config, types)]


def kinds(part: str) -> Iterator[str]:
    """Each data set, model or method, with its keys."""
    tag, classes = CHOICES[part]
    for name, config in classes.items():
        yield f"### `{tag}: {name}`"
        yield one_line(config.__doc__)
        if keys := table_of_kind(config, tag):
            yield keys


def table_of_kind(config: type[Any], tag: str) -> str:
    """The table of a data set, model or method; empty if it has no keys but its tag."""
    return table(config, without=tag) if any(field != tag for field in config.model_fields) else ""
