"""Reads the sections of a study file: finds the field of each key, and checks each value."""

from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from search_spaces.explain import nearest, not_a_choice, shown, words_for
from search_spaces.space import ValueProblem, coerce, names_of
from study.config.study_file import methods_with, sections_of
from study.parsing.problems import Place, Problems
from study.parsing.yaml_tree import Node, join
from trainables.config import CHOICES

Config = TypeVar("Config", bound=BaseModel)

KEYS_TO_LIST = 18
"""The error about an unknown key lists the known keys if there are at most this many."""


class GivenValue(NamedTuple):
    """A value that the file gives to a field."""

    value: Any
    place: Place
    path: str


class Section(NamedTuple):
    """The values that the file gives for one part of a trial; complete after `build`."""

    config: type[BaseModel]
    fields: dict[str, GivenValue]
    """Values by canonical name."""
    place: Place
    path: str

    def changed_by(self, other: "Section | None") -> "Section":
        """The section with the other's values; the other section if its config class is different."""
        if other is None or other.config is not self.config:
            return other or self
        return other._replace(fields={**self.fields, **other.fields})

    @property
    def values(self) -> dict[str, Any]:
        """The values by canonical name."""
        return {name: given.value for name, given in self.fields.items()}


def read_value(node: Node, field: FieldInfo, path: str, problems: Problems) -> GivenValue | None:
    """The value of `node` for `field`, or None with the reasons in `problems`.

    Args:
        node: the value in the file.
        field: the field.
        path: its dotted path.
        problems: receives what is wrong.
    """
    try:
        return GivenValue(coerce(node.plain, field), node.place, path)
    except ValueProblem as problem:
        for fault in problem.faults:
            problems.add(node.at(fault.location), path, fault.message)
        return None


def read_fields(
    node: Node, config: type[BaseModel], path: str, problems: Problems, others: tuple[str, ...] = ()
) -> Section:
    """The keys of `node` that are fields of `config`.

    Args:
        node: the section.
        config: class of the section.
        path: its dotted path.
        problems: receives what is wrong.
        others: keys that the caller reads.
    """
    section = Section(config, {}, node.place, path)
    entries = entries_of(node, path, problems)
    names = names_of(config)
    seen: dict[str, str] = {}
    for name, value in entries.items():
        if name in others:
            continue
        field = names.get(name)
        if field is None:
            problems.add(node.keys[name], join(path, name), unknown_key(name, [*names, *others], path))
        elif field in seen:
            problems.add(node.keys[name], join(path, field), two_names(name, seen[field]))
        else:
            seen[field] = name
            given = read_value(value, config.model_fields[field], join(path, field), problems)
            if given is not None:
                section.fields[field] = given
    return section


def read_config(
    root: Node, name: str, config: type[Config], problems: Problems, defaults: dict[str, Any] | None = None
) -> Config:
    """A section of fixed keys at the top of the file. Wrong values are replaced by defaults, so that checks continue.

    Args:
        root: The whole file.
        name: Name of the section.
        config: Class of the section.
        problems: Receives what is wrong.
        defaults: Values of fields that have no default.
    """
    section = read_fields(root.section(name), config, name, problems)
    return config.model_validate({**(defaults or {}), **section.values})


def read_tagged(
    node: Node, part: str, path: str, problems: Problems, inherited: Section | None = None
) -> Section | None:
    """A section whose key `dataset`, `model` or `method` (or the inherited section) determines which fields it has.

    Args:
        node: the section.
        part: key of `CHOICES`.
        path: its dotted path.
        problems: receives what is wrong.
        inherited: in an arm, the study's section of the same part.
    """
    tag, classes = CHOICES[part]
    entries = entries_of(node, path, problems, f"{{{tag}: {node.plain}}}")
    if tag not in entries:
        if inherited is not None:
            return read_fields(node, inherited.config, path, problems)
        if node.mapping is not None:
            problems.add(node.place, join(path, tag), f"is missing; name one of {', '.join(classes)}")
        return None
    name = entries[tag].value
    if not isinstance(name, str) or name not in classes:
        problems.add(entries[tag].place, join(path, tag), not_a_choice(name, list(classes)))
        return None
    return read_fields(node, classes[name], path, problems)


def entries_of(node: Node, path: str, problems: Problems, example: str = "{key: value}") -> dict[str, Node]:
    """The entries of a mapping; an empty mapping and a problem if `node` is something else.

    Args:
        node: the mapping.
        path: its dotted path.
        problems: receives what is wrong.
        example: what the error suggests to write.
    """
    if node.mapping is None:
        example = example if isinstance(node.value, str) else "{key: value}"
        said = f"must be a mapping of keys to values, but got {shown(node.plain)}"
        problems.add(node.place, path, f"{said}; write {example}")
    return node.mapping or {}


def unknown_key(name: str, known: list[str], path: str) -> str:
    """The message about an unknown key. It names the nearest key, the key's section, or all known keys.

    Args:
        name: the unknown key.
        known: the keys that are allowed here.
        path: dotted path of the section.
    """
    said = f"unknown key {name!r}"
    elsewhere = sections_of(name)
    if elsewhere and not set(elsewhere) & set(path.split(".")):
        return f"{said}; it belongs under {' or '.join(f'`{section}:`' for section in elsewhere)}"
    if (owners := methods_with(name)) and (not path or path.startswith("arms.")):
        return f"{said}; it belongs to the method {' or '.join(owners)}"
    if guess := nearest(name, known):
        return f"{said}; did you mean {guess}?"
    return (
        f"{said}; known keys: {', '.join(known)}"
        if len(known) <= KEYS_TO_LIST
        else f"{said}; see docs/reference/study_file.md"
    )


def two_names(name: str, other: str) -> str:
    """The message about two names of one field that are both given."""
    return f"{name!r} and {other!r} are two names of the same field; keep one of them"


def build(section: Section, problems: Problems) -> Any:
    """The config that a section describes, or None with the reasons in `problems`."""
    try:
        return section.config.model_validate(section.values)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            name = str(detail["loc"][0]) if detail["loc"] else ""
            missing = detail["type"] == "missing"
            message = "is missing; every study has to give it" if missing else words_for(detail)
            given = section.fields.get(name)
            path = join(section.path, name) if name else section.path
            problems.add(given.place if given else section.place, given.path if given else path, message)
        return None
