"""The JSON schema of a study file as users write it, generated from the config classes, for editors.

`python -m study.reference` writes it to `study/reference/schema.json`. It is Draft 7, which the YAML language server
supports best. Each data set, model and method is one definition, and so is each field that several of them have.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from search_spaces.space import names_of
from study.config.criterion import CriterionConfig
from study.config.study_config import Objective, ReportConfig, ResourcesConfig, SearchConfig, TrackingConfig
from study.config.study_file import ARM_SECTIONS, REQUIRED_KEYS, ArmSection, StudyFile
from study.reference.schema_parts import Definitions, DomainSchema, Schema, described, field_schema, lines_of, mapping
from trainables.config import CHOICES, EvaluationConfig, TrainingConfig

PATH = Path(__file__).with_name("schema.json")
TITLE = "A hyperparameter study of cross-modal knowledge distillation"

DEFINITION_OF = {"data": "data", "teacher": "model", "student": "model", "method": "method"}
"""First part of the name of a section's definitions; teacher and student share theirs."""

COMMON_SECTIONS = ("data", "teacher", "student", "pretraining", "training")
"""Sections whose fields every arm can sweep."""


def study_schema() -> dict[str, JsonValue]:
    """The schema of a whole file."""
    definitions = Definitions(shared_classes())
    fields = StudyFile.model_fields
    parts: dict[str, Schema] = {part: required_section(part, definitions) for part in ("data", "teacher", "student")}
    parts |= {part: definitions.fields("training", TrainingConfig) for part in ("training", "pretraining")}
    parts["space"] = space_schema(list(CHOICES["method"][1]), definitions)
    parts["arms"] = {"type": "object", "minProperties": 1, "additionalProperties": arm_schema(definitions)}
    parts["pairs"] = {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}}
    parts["criterion"] = {"anyOf": [definitions.fields("criterion", CriterionConfig), {"type": "null"}]}
    parts["evaluate"] = {"type": "array", "items": evaluation_schema(definitions)}
    parts["search"] = search_schema(definitions)
    sections = {"resources": ResourcesConfig, "tracking": TrackingConfig, "report": ReportConfig}
    parts |= {name: definitions.fields(name, config) for name, config in sections.items()}
    parts |= {name: field_schema(fields[name]) for name in ("study", "studies", "equal_architectures")}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": TITLE,
        **mapping({name: described(parts[name], field) for name, field in fields.items()}),
        "required": list(REQUIRED_KEYS),
        "definitions": dict(sorted(definitions.parts.items())),
    }


def shared_classes() -> dict[str, type[BaseModel]]:
    """The config classes that sections, arms and spaces refer to, by name of their definition."""
    kinds = {f"{DEFINITION_OF[part]}.{kind}": config for part in CHOICES for kind, config in CHOICES[part][1].items()}
    return {**kinds, "training": TrainingConfig}


def required_section(part: str, definitions: Definitions) -> Schema:
    """`data`, `teacher` or `student` of a study, which must name its kind."""
    return {"allOf": [section_schema(part, definitions)], "required": [CHOICES[part][0]]}


def section_schema(part: str, definitions: Definitions) -> Schema:
    """A section whose tag (`dataset`, `model`) decides which other keys there are."""
    tag, classes = CHOICES[part]
    name = DEFINITION_OF[part]
    thens = {kind: definitions.fields(f"{name}.{kind}", config) for kind, config in classes.items()}
    return definitions.ref(name, tagged(tag, classes, thens, {}))


def tagged(tag: str, classes: dict[str, type[Any]], thens: dict[str, Schema], common: Schema) -> Schema:
    """A mapping whose `tag` decides which other keys there are.

    Args:
        tag: The key that names the kind.
        classes: Config class of each kind.
        thens: Schema of the whole mapping for each kind.
        common: Keys that every kind has. Without the tag (an arm that changes single values), a key of any kind may be
            meant, so its value is not checked.
    """
    names = dict.fromkeys([*common, tag, *(name for config in classes.values() for name in names_of(config))])
    return {
        "type": "object",
        "properties": {**common, tag: {"enum": list(classes)}},
        "propertyNames": {"enum": list(names)},
        "allOf": [{"if": condition(tag, kind), "then": then} for kind, then in thens.items()],
    }


def condition(tag: str, kind: str) -> Schema:
    """Whether a mapping's `tag` is `kind`."""
    return {"type": "object", "properties": {tag: {"const": kind}}, "required": [tag]}


def evaluation_schema(definitions: Definitions) -> Schema:
    """One entry of `evaluate`."""
    name = field_schema(EvaluationConfig.model_fields["name"])
    entry = {"name": name, "data": required_section("data", definitions)}
    return mapping(entry) | {"required": list(entry)}


def arm_schema(definitions: Definitions) -> Schema:
    """One arm: its method, that method's hyperparameters, and what it changes."""
    fields = ArmSection.model_fields
    common: Schema = {}
    for part in ARM_SECTIONS:
        known = part in CHOICES
        schema = section_schema(part, definitions) if known else definitions.fields("training", TrainingConfig)
        common[part] = definitions.ref(f"arm.{part}", described(schema, fields[part]))
    tag, classes = CHOICES["method"]
    thens: dict[str, Schema] = {}
    for method, config in classes.items():
        space = definitions.ref(f"arm.space.{method}", described(space_schema([method], definitions), fields["space"]))
        thens[method] = definitions.fields(f"method.{method}", config, {**common, "space": space})
    common["space"] = described({"type": "object"}, fields["space"])
    return {"anyOf": [definitions.ref("arm", tagged(tag, classes, thens, common)), {"type": "null"}]}


def space_schema(methods: list[str], definitions: Definitions) -> Schema:
    """What arms with these methods can sweep: the fields of every section, and those of the methods.

    The fields of the sections are one definition, `space`. `propertyNames` lists the names that are allowed, because
    `additionalProperties` does not see the keys of a definition.
    """
    shared = sweepable(COMMON_SECTIONS, None, definitions)
    of_methods = sweepable(("method",), None, definitions)
    free = {name: definitions.either(options) for name, options in shared.items() if name not in of_methods}
    names = definitions.ref("space.names", {"enum": list(free)})
    base = definitions.ref("space", {"type": "object", "properties": free})
    own = sweepable(("method",), methods, definitions)
    own |= {name: shared[name] + own.get(name, []) for name in shared if name in of_methods}
    plain = [name for name in own if not name.startswith("method.")]
    return {
        "allOf": [base],
        "propertyNames": {"anyOf": [names, {"pattern": f"^(method\\.)?({'|'.join(plain)})$"}] if plain else [names]},
        "properties": {name: definitions.either(options) for name, options in own.items()},
    }


def sweepable(
    parts: tuple[str, ...], kinds: list[str] | None, definitions: Definitions
) -> dict[str, list[DomainSchema]]:
    """What a space can give for the fields of some sections, by every name that it may use.

    Args:
        parts: The sections.
        kinds: The data sets, models or methods; None for all.
        definitions: Receives the definitions that are referred to.
    """
    found: dict[str, list[DomainSchema]] = {}
    for part in parts:
        classes = CHOICES[part][1] if part in CHOICES else {"": TrainingConfig}
        for kind in kinds or classes:
            prefix = f"{DEFINITION_OF[part]}.{kind}" if kind else "training"
            for name, canonical in names_of(classes[kind]).items():
                domain = definitions.domain(f"{prefix}.{canonical}", classes[kind].model_fields[canonical])
                if domain is not None:
                    for written in written_names(part, name):
                        found.setdefault(written, []).append(domain)
    return found


def written_names(part: str, name: str) -> list[str]:
    """How a space may name a field."""
    return [name, f"{part}.{name}"] if part in ("method", "training") else [f"{part}.{name}"]


def search_schema(definitions: Definitions) -> Schema:
    """The search section, with `metric` and `direction` for a single objective."""
    objective = definitions.fields("objective", Objective)
    item = {"oneOf": [objective, {"type": "string"}]}
    listed = {"type": "array", "minItems": 1, "items": item}
    single = {name: field_schema(field) for name, field in Objective.model_fields.items()}
    objectives = described(listed, SearchConfig.model_fields["objectives"])
    return definitions.fields("search", SearchConfig, {**single, "objectives": objectives})


def schema_text() -> str:
    """The text of the file."""
    return "\n".join(lines_of(study_schema())) + "\n"
