"""What the fields of a config class take, in words, and as a Markdown table."""

from typing import Any, NamedTuple, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from search_spaces.explain import shown
from search_spaces.space import aliases, declared_domain, domain_words, json_schema

BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
"""Signs of the bounds of a JSON schema."""

TYPES = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true`, `false`", "null": "`null`"}
"""Types of a JSON schema in words; everything else is a mapping."""


class FieldWords(NamedTuple):
    """One field in words."""

    names: tuple[str, ...]
    """The name and its aliases."""
    type: str
    """`number > 0`, `` `mse`, `ce` ``, `list of integers >= 1`."""
    default: str
    """The default as it is written in a file; empty if there is none."""
    domain: str
    """What `default` in a space sweeps; empty if the field declares no range."""
    meaning: str


def field_words(name: str, field: FieldInfo) -> FieldWords:
    """One field in words."""
    schema = json_schema(field)
    return FieldWords(
        names=(name, *aliases(field)),
        type=type_words(schema, schema.get("$defs", {})),
        default=default_words(field),
        domain=domain_words(declared_domain(field)),
        meaning=one_line(field.description),
    )


def one_line(text: str | None) -> str:
    """A docstring as one line."""
    return " ".join((text or "").split())


def table(config: type[BaseModel], types: bool = True, without: str = "") -> str:
    """A Markdown table of the fields of a config class.

    Args:
        config: The class.
        types: Whether types, defaults and ranges have columns too.
        without: Name of a field to leave out.

    Returns:
        The table, without columns that would be empty.
    """
    fields = [field_words(name, field) for name, field in config.model_fields.items() if name != without]
    columns = {"key": [", ".join(f"`{name}`" for name in field.names) for field in fields]}
    if types:
        columns["type"] = [field.type for field in fields]
        columns["default"] = [field.default for field in fields]
        columns["swept by `default`"] = [field.domain for field in fields]
    columns["meaning"] = [field.meaning for field in fields]
    columns = {head: cells for head, cells in columns.items() if any(cells)}
    return markdown_table(list(columns), [list(row) for row in zip(*columns.values(), strict=True)])


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table. The character `|` is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def default_words(field: FieldInfo) -> str:
    """The default as it would be written."""
    if field.is_required():
        return ""
    if isinstance(field.default, str):
        return f"`{field.default}`"
    default = cast(object, field.default)
    if isinstance(default, tuple):
        items = list(cast(tuple[object, ...], default))
        return f"`{items}`" if all(isinstance(item, int) for item in items) else ""
    return "`null`" if field.default is None else f"`{shown(field.default)}`"


def type_words(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        keys = definitions[schema["$ref"].rpartition("/")[2]].get("properties")
        return f"`{{{', '.join(keys)}}}`" if keys else "any value"
    if "anyOf" in schema:
        return " or ".join(type_words(option, definitions) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{option}`" for option in schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])} {type_words(schema['prefixItems'][0], definitions)}"
    if schema.get("type") == "array":
        return f"list of {type_words(schema['items'], definitions)}"
    bounds = [f"{sign} {schema[bound]:g}" for bound, sign in BOUNDS.items() if bound in schema]
    return " ".join([TYPES.get(schema.get("type", ""), "mapping"), ", ".join(bounds)]).strip()
