"""The reference of every key of a study file, as Markdown, from the same classes that check the file.

`python -m study.reference` writes it between its two markers in README.md.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from search_spaces.explain import shown
from search_spaces.space import aliases, declared_domain, domain_words, json_schema
from study.config.criterion import CriterionConfig
from study.config.spectrum_rule import SpectrumRule
from study.config.study_config import Objective, ReportConfig, ResourcesConfig, SearchConfig, TrackingConfig
from study.config.study_file import ArmSection, StudyFile
from trainables.config import CHOICES, TrainingConfig
from trainables.methods import METHODS

BEGIN, END = "<!-- reference:begin -->", "<!-- reference:end -->"

SPACES = """\
A space maps hyperparameters to what is tried. `[2, 4, 8]` is a choice; `{low, high}` a range, evenly in the logarithm
with `log: true`, in steps with `step`; the word `default` the range that stands in the tables below. Names are those
of the arm's method and of `training`; what belongs to another section is written with a dot: `student.feature_dim`,
`data.teacher`, `pretraining.lr`. An alias may stand wherever a name may; tables, MLflow and the report show the name
itself. In an arm, its own space goes before the shared one, and so does a value that the arm fixes."""


def reference_markdown() -> str:
    """The whole reference."""
    parts = [
        "### The file",
        paragraph(StudyFile),
        table(StudyFile, types=False),
        "### `data`",
        *chosen("data"),
        "### `teacher` and `student`",
        *chosen("teacher"),
        "### `training` and `pretraining`",
        paragraph(TrainingConfig),
        table(TrainingConfig),
        "### `arms`",
        paragraph(ArmSection),
        table(ArmSection, types=False),
        *(part for name, entry in METHODS.items() for part in one("method", name, entry.config)),
        "### `space`",
        SPACES,
        paragraph(SpectrumRule),
        table(SpectrumRule),
        "### `search`",
        paragraph(SearchConfig),
        table(SearchConfig),
        "A single objective may stand in `search` itself; a metric's own direction is the default.",
        table(Objective),
        *(
            part
            for config in (CriterionConfig, ResourcesConfig, TrackingConfig, ReportConfig)
            for part in section(config)
        ),
    ]
    return "\n\n".join(parts)


def section(config: type[BaseModel]) -> list[str]:
    """One section of fixed keys, with its heading."""
    return [f"### `{config.__name__.removesuffix('Config').lower()}`", paragraph(config), table(config)]


def chosen(part: str) -> Iterator[str]:
    """Each kind of data set or model."""
    tag, classes = CHOICES[part]
    for name, config in classes.items():
        yield from one(tag, name, config)


def one(tag: str, name: str, config: type[Any]) -> list[str]:
    """One kind, with its keys."""
    has_keys = any(field != tag for field in config.model_fields)
    return [f"**`{tag}: {name}`** {paragraph(config)}", *([table(config, without=tag)] if has_keys else [])]


def paragraph(config: type[BaseModel]) -> str:
    """What a config is, in its own words."""
    return " ".join((config.__doc__ or "").split())


def table(config: type[BaseModel], types: bool = True, without: str = "") -> str:
    """A table of a config's fields. Without `types` only what they mean."""
    fields = {name: field for name, field in config.model_fields.items() if name != without}
    columns = {"key": [names_words(name, field) for name, field in fields.items()]}
    if types:
        columns["type"] = [type_words(field) for field in fields.values()]
        columns["default"] = [default_words(field) for field in fields.values()]
        columns["swept by `default`"] = [domain_words(declared_domain(field)) for field in fields.values()]
    columns["meaning"] = [" ".join((field.description or "").split()) for field in fields.values()]
    columns = {head: cells for head, cells in columns.items() if any(cells)}
    rows = [list(columns), ["---"] * len(columns), *(list(row) for row in zip(*columns.values(), strict=True))]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def names_words(name: str, field: FieldInfo) -> str:
    """A field's name and aliases."""
    return ", ".join(f"`{one_name}`" for one_name in (name, *aliases(field)))


def default_words(field: FieldInfo) -> str:
    """The default as it would be written."""
    if field.is_required():
        return ""
    if isinstance(field.default, str):
        return f"`{field.default}`"
    if isinstance(field.default, tuple):
        plain = all(isinstance(item, int) for item in field.default)
        return f"`{list(field.default)}`" if plain else ""
    return "`null`" if field.default is None else f"`{shown(field.default)}`"


def type_words(field: FieldInfo) -> str:
    """What a field takes, with its bounds: `number > 0`, `` `mse`, `ce` ``, `list of integers >= 1`."""
    schema = json_schema(field)
    return schema_words(schema, schema.get("$defs", {}))


def schema_words(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        return f"`{{{', '.join(definitions[schema['$ref'].rpartition('/')[2]]['properties'])}}}`"
    if "anyOf" in schema:
        return " or ".join(schema_words(option, definitions) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{option}`" for option in schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])} {schema_words(schema['prefixItems'][0], definitions)}"
    if schema.get("type") == "array":
        return f"list of {schema_words(schema['items'], definitions)}"
    names = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true`, `false`", "null": "`null`"}
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[bound]:g}" for bound, sign in signs.items() if bound in schema]
    return " ".join([names.get(schema.get("type", ""), "mapping"), ", ".join(bounds)]).strip()


def with_reference(readme: str) -> str:
    """The README with the present reference between its markers.

    Raises:
        ValueError: if the markers are not there.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README must hold {BEGIN!r} and, after it, {END!r}, but does not; add both lines")
    return f"{before}{BEGIN}\n{reference_markdown()}\n{END}{after}"


def main() -> None:
    """Bring README.md up to date."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "README.md")
    path.write_text(with_reference(path.read_text(encoding="utf-8")), encoding="utf-8")
