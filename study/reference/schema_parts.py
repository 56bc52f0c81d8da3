"""Parts of the JSON schema: fields, what a space may sweep, and definitions that are written once."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from search_spaces.space import aliases, declared_domain, domain_words, json_schema, kind_of
from study.config.spectrum_rule import BOTTLENECK, KEY, SpectrumRule
from study.reference.fields import one_line
from trainables.config import CHOICES

Schema = dict[str, Any]

WORTH_SHARING = 60
"""Characters from which a field that several classes have is written once."""

LINE = 110
"""Characters of a part of the schema that is written in one line."""

LIST: Schema = {"type": "array", "minItems": 1, "uniqueItems": True}
"""A list of different values."""

Classes = dict[str, type[BaseModel]]
"""Config classes by the name of their definition."""


class Definitions:
    """Parts of the schema that are written once, under `definitions`, and referred to by name."""

    def __init__(self, classes: Classes) -> None:
        self.parts: Schema = {}
        self._names: dict[str, str] = {}
        fields = [field for config in classes.values() for field in config.model_fields.values()]
        self._uses = Counter(text_of(field_schema(field)) for field in fields for _ in (field.title, *aliases(field)))

    def ref(self, name: str, schema: Schema) -> Schema:
        """A reference to the definition `name`, or to an equal one that was made before."""
        name = self._names.setdefault(text_of(schema), name)
        assert self.parts.setdefault(name, schema) == schema, f"two definitions are called {name}"
        return {"$ref": f"#/definitions/{name}"}

    def fields(self, name: str, config: type[BaseModel], common: Schema | None = None) -> Schema:
        """A reference to the mapping of a config's fields, by every name that they have.

        Args:
            name: Name of the definition.
            config: The class.
            common: Other keys of the mapping; they take the place of fields with the same name.
        """
        properties: Schema = {}
        for key, field in config.model_fields.items():
            if key in (common or {}):
                continue
            schema = field_schema(field)
            text = text_of(schema)
            if self._uses[text] > 1 and len(text) >= WORTH_SHARING:
                schema = self.ref(f"{name}.{key}", schema)
            properties |= dict.fromkeys((key, *aliases(field)), schema)
        return self.ref(name, mapping(properties | (common or {})))

    def domain(self, name: str, field: FieldInfo) -> "DomainSchema | None":
        """What a space may give for a field: a list, a range or `default`; None if it cannot be swept.

        Args:
            name: Dotted name of the definition, which ends in the field's name.
            field: The field.
        """
        key = name.rpartition(".")[2]
        kind = kind_of(field)
        if kind == "other" or key in {tag for tag, _ in CHOICES.values()}:
            return None
        value = {key: part for key, part in json_schema(field).items() if key not in ("default", "description")}
        if "anyOf" in value:  # an optional field: what it is when set
            value = next(option for option in value["anyOf"] if option.get("type") != "null")
        listed = {"allOf": [self.ref("list", LIST)], "items": value}
        if kind in ("int", "float"):
            step = "integer" if kind == "int" else "number"
            ends = {"low": value, "high": value}
            ranged = {"allOf": [self.ref(f"range.{step}", range_schema(step))], "properties": ends}
            listed = {"oneOf": [listed, ranged]}
        forms: list[Schema] = [self.ref(f"swept.{name}", listed)]
        if key == BOTTLENECK:
            rule = {"anyOf": [self.fields(KEY, SpectrumRule), {"type": "null"}]}
            forms.append(mapping({KEY: rule}) | {"required": [KEY]})
        declared = declared_domain(field)
        if declared is not None:
            forms.append({"const": "default", "description": f"The declared range: {domain_words(declared)}"})
        schema = forms[0] if len(forms) == 1 else self.ref(f"domain.{name}", {"oneOf": forms})
        return DomainSchema(name, schema, one_line(field.description))

    def either(self, options: list["DomainSchema"]) -> Schema:
        """What any of several fields takes that a space calls by the same name."""
        schemas = [option.schema for option in options]
        different = [schema for index, schema in enumerate(schemas) if schema not in schemas[:index]]
        schema = different[0] if len(different) == 1 else {"anyOf": different}
        first = options[0]
        if any(option.description != first.description for option in options):
            return schema
        inner = {"allOf": [schema]} if "$ref" in schema else schema
        return self.ref(f"space.{first.name}", inner | {"description": first.description})


class DomainSchema(NamedTuple):
    """What a space may give for one field."""

    name: str
    """Dotted name of the field."""
    schema: Schema
    description: str


def field_schema(field: FieldInfo) -> Schema:
    """What one field takes as a fixed value, with its default."""
    schema = json_schema(field)
    default = cast(object, field.default)
    if isinstance(default, str | int | float | tuple) and "default" not in schema:
        schema["default"] = list(cast(tuple[object, ...], default)) if isinstance(default, tuple) else default
    return described(schema, field) if field.description else schema


def described(schema: Schema, field: FieldInfo) -> Schema:
    """The schema with the field's documentation. A reference is wrapped, since its neighbours would be ignored."""
    inner = {"allOf": [schema]} if "$ref" in schema else schema
    return inner | {"description": one_line(field.description)}


def mapping(properties: Schema) -> Schema:
    """A mapping with no other keys."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def range_schema(step: str) -> Schema:
    """`{low, high, log, step}`, without the type of its ends."""
    keys = {"log": {"type": "boolean", "default": False}, "step": {"type": step, "exclusiveMinimum": 0}}
    return mapping({"low": True, "high": True, **keys}) | {"required": ["low", "high"]}


def text_of(schema: Schema) -> str:
    """The schema as one line."""
    return json.dumps(schema, ensure_ascii=False)


def lines_of(schema: Any, indent: str = "") -> Iterator[str]:
    """The lines of a schema as JSON. What is short enough has one line, and plain values share lines."""
    text = text_of(schema)
    if not isinstance(schema, dict | list) or len(indent) + len(text) <= LINE:
        yield indent + text
        return
    keyed = isinstance(schema, dict)
    items = list(cast(Schema, schema).items()) if keyed else [("", part) for part in cast(list[Any], schema)]
    yield indent + ("{" if keyed else "[")
    line = ""
    for index, (key, part) in enumerate(items):
        first, *rest = lines_of(part, indent + " ")
        first = (f"{json.dumps(key)}: " if keyed else "") + first.strip()
        comma = "," if index < len(items) - 1 else ""
        if line and (isinstance(part, dict | list) or len(indent + line + first) > LINE):
            yield f"{indent} {line}"
            line = ""
        if isinstance(part, dict | list):
            yield from [f"{indent} {first}", *rest[:-1]] if rest else []
            yield (rest[-1] if rest else f"{indent} {first}") + comma
        else:
            line = f"{line} {first}{comma}".strip()
    if line:
        yield f"{indent} {line}"
    yield indent + ("}" if keyed else "]")
