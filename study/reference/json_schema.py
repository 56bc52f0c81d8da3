"""The JSON schema of a study file as users write it, generated from the config classes, for editors.

`python -m study.reference` writes it to `study/reference/schema.json`. Draft 7, because the YAML
language server supports it best.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from search_spaces.space import aliases, declared_domain, domain_words, json_schema, kind_of, names_of
from study.config.criterion import CriterionConfig
from study.config.spectrum_rule import BOTTLENECK, SpectrumRule, rule_schema
from study.config.study_config import Objective, ReportConfig, ResourcesConfig, SearchConfig, TrackingConfig
from study.config.study_file import ARM_SECTIONS, ArmSection, StudyFile
from trainables.config import CHOICES, EvaluationConfig, TrainingConfig
from trainables.methods import METHODS

PATH = Path(__file__).with_name("schema.json")
TITLE = "A hyperparameter study of cross-modal knowledge distillation"

WORTH_SHARING = 300
"""Characters from which a repeated part is written once."""

Schema = dict[str, Any]


def study_schema() -> dict[str, JsonValue]:
    """The schema of a whole file."""
    fields = StudyFile.model_fields
    parts = {part: tagged(*CHOICES[part], required=True) for part in ("data", "teacher", "student")}
    parts |= {part: fields_schema(TrainingConfig) for part in ("training", "pretraining")}
    parts |= {"search": search_schema(), "resources": fields_schema(ResourcesConfig)}
    parts |= {"tracking": fields_schema(TrackingConfig), "report": fields_schema(ReportConfig)}
    parts["space"] = space_schema([entry.config for entry in METHODS.values()])
    parts["arms"] = {"type": "object", "minProperties": 1, "additionalProperties": arm_schema()}
    parts["pairs"] = {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}}
    parts["criterion"] = fields_schema(CriterionConfig) | {"type": ["object", "null"]}
    parts["evaluate"] = {"type": "array", "items": evaluation_schema()}
    parts["study"] = field_schema(fields["study"])
    parts["studies"] = field_schema(fields["studies"])
    parts["equal_architectures"] = field_schema(fields["equal_architectures"])
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": TITLE,
        "type": "object",
        "additionalProperties": False,
        "required": ["study", "data", "teacher", "student", "arms"],
        "properties": {name: described(parts[name], field) for name, field in fields.items()},
    }
    definitions: Schema = {}
    return shared(schema, "study", repeated(schema), definitions) | {"definitions": dict(sorted(definitions.items()))}


def evaluation_schema() -> Schema:
    """One entry of `evaluate`."""
    name = field_schema(EvaluationConfig.model_fields["name"])
    entry = {"name": name, "data": tagged(*CHOICES["data"], required=True)}
    return {"type": "object", "additionalProperties": False, "required": list(entry), "properties": entry}


def repeated(schema: Schema) -> set[str]:
    """The parts, as text, that stand in a schema more than once and are worth a name of their own."""
    counts = Counter(json.dumps(part) for part in parts_of(schema))
    return {text for text, count in counts.items() if count > 1 and len(text) >= WORTH_SHARING}


def parts_of(schema: Any) -> Iterator[Schema]:
    """Every mapping within a schema."""
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts_of(part)


def shared(schema: Any, name: str, texts: set[str], definitions: Schema) -> Any:
    """The schema with each repeated part written once, under `definitions`, and referred to from everywhere."""
    if isinstance(schema, list):
        return [shared(part, name, texts, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {}
    for key, part in schema.items():
        if key == "properties":
            inner[key] = {field: shared(value, field, texts, definitions) for field, value in part.items()}
        else:
            inner[key] = shared(part, name, texts, definitions)
    if json.dumps(schema) not in texts:
        return inner
    same = [known for known, definition in definitions.items() if definition == inner]
    free = (candidate for candidate in (name, *(f"{name}_{n}" for n in range(2, 1000))) if candidate not in definitions)
    chosen = same[0] if same else next(free)
    definitions[chosen] = inner
    return {"$ref": f"#/definitions/{chosen}"}


def described(schema: Schema, field: FieldInfo) -> Schema:
    """The schema with the field's documentation."""
    return schema | {"description": " ".join((field.description or "").split())}


def field_schema(field: FieldInfo) -> Schema:
    """What one field takes as a fixed value, with its default."""
    schema = json_schema(field)
    if isinstance(field.default, str | int | float | tuple) and "default" not in schema:
        schema["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
    return described(schema, field) if field.description else schema


def fields_schema(config: type[BaseModel]) -> Schema:
    """A mapping of a config's fields, by every name that they have."""
    properties: Schema = {}
    for name, field in config.model_fields.items():
        properties |= dict.fromkeys((name, *aliases(field)), field_schema(field))
    return {"type": "object", "additionalProperties": False, "properties": properties}


def tagged(tag: str, classes: dict[str, type[Any]], required: bool = False, common: Schema | None = None) -> Schema:
    """A mapping whose `tag` decides which other keys there are; `common` keys are there whatever it says."""
    rules = []
    every: Schema = dict(common or {})
    for name, config in classes.items():
        schema = fields_schema(config)
        schema["properties"] |= common or {}
        rules.append({"if": condition(tag, name), "then": schema})
        every |= dict.fromkeys(names_of(config), True)
    # Where the tag is absent (an arm that changes single values), a key of any of the classes may be meant.
    properties = {**every, tag: {"enum": list(classes)}}
    schema = {"type": "object", "properties": properties, "additionalProperties": False, "allOf": rules}
    return schema | ({"required": [tag]} if required else {})


def condition(tag: str, name: str) -> Schema:
    """Whether a mapping's `tag` is `name`."""
    return {"type": "object", "properties": {tag: {"const": name}}, "required": [tag]}


def arm_schema() -> Schema:
    """One arm: its method, that method's hyperparameters, and what it changes."""
    fields = ArmSection.model_fields
    common: Schema = {part: tagged(*CHOICES[part]) for part in ("data", "teacher", "student")}
    common |= {part: fields_schema(TrainingConfig) for part in ("training", "pretraining")}
    common = {part: described(common[part], fields[part]) for part in ARM_SECTIONS}
    common["space"] = described({"type": "object"}, fields["space"])
    schema = tagged("method", {name: entry.config for name, entry in METHODS.items()}, common=common)
    for rule in schema["allOf"]:
        method = rule["if"]["properties"]["method"]["const"]
        rule["then"]["properties"]["space"] = described(space_schema([METHODS[method].config]), fields["space"])
    return schema | {"type": ["object", "null"]}


def space_schema(methods: list[type[Any]]) -> Schema:
    """What these methods' arms can sweep."""
    properties: Schema = {}
    for part in ("data", "teacher", "student", "pretraining", "training", "method"):
        configs = methods if part == "method" else CHOICES[part][1].values() if part in CHOICES else [TrainingConfig]
        for config in configs:
            for name, canonical in names_of(config).items():
                domain = domain_schema(config.model_fields[canonical], canonical)
                if domain is not None:
                    for written in written_names(part, name):
                        properties[written] = either(properties.get(written), domain)
    return {"type": "object", "additionalProperties": False, "properties": properties}


def written_names(part: str, name: str) -> list[str]:
    """How a space may name a field."""
    return [name, f"{part}.{name}"] if part in ("method", "training") else [f"{part}.{name}"]


def either(known: Schema | None, other: Schema) -> Schema:
    """What either of two fields of the same name takes."""
    if known is None or known == other:
        return other
    options = known["anyOf"] if "anyOf" in known else [known]
    return known if other in options else {"anyOf": [*options, other]}


def domain_schema(field: FieldInfo, name: str) -> Schema | None:
    """A list, a range or `default`, for one field; None if it cannot be swept."""
    if kind_of(field) == "other" or name in {tag for tag, _ in CHOICES.values()}:
        return None
    value = {key: part for key, part in json_schema(field).items() if key not in ("default", "description")}
    if "anyOf" in value:  # an optional field: what it is when set
        value = next(option for option in value["anyOf"] if option.get("type") != "null")
    forms: list[Schema] = [{"type": "array", "items": value, "minItems": 1, "uniqueItems": True}]
    if kind_of(field) in ("int", "float"):
        forms.append(range_schema(value, "integer" if kind_of(field) == "int" else "number"))
    if name == BOTTLENECK:
        forms.append(rule_schema(fields_schema(SpectrumRule)))
    declared = declared_domain(field)
    if declared is not None:
        forms.append({"const": "default", "description": f"The declared range: {domain_words(declared)}"})
    return {"oneOf": forms, "description": " ".join((field.description or "").split())}


def range_schema(value: Schema, kind: str) -> Schema:
    """`{low, high, log, step}`."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["low", "high"],
        "properties": {
            "low": value,
            "high": value,
            "log": {"type": "boolean", "default": False},
            "step": {"type": kind, "exclusiveMinimum": 0},
        },
    }


def search_schema() -> Schema:
    """The search section, with `metric` and `direction` for a single objective."""
    schema = fields_schema(SearchConfig)
    objective = fields_schema(Objective)
    schema["properties"] |= objective["properties"]
    item = {"oneOf": [objective, {"type": "string"}]}
    schema["properties"]["objectives"] = described(
        {"type": "array", "minItems": 1, "items": item}, SearchConfig.model_fields["objectives"]
    )
    return schema


def schema_text() -> str:
    """The schema as it stands in the file."""
    return json.dumps(study_schema(), indent=1, ensure_ascii=False) + "\n"
