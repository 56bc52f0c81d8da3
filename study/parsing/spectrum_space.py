"""Reads `H: {from_spectrum: {...}}` in a space of a study file."""

from typing import NamedTuple

from pydantic.fields import FieldInfo

from search_spaces.domains import Choice
from search_spaces.space import declared_domain
from study.config.spectrum_rule import BOTTLENECK, KEY, SpectrumRule
from study.parsing.problems import Problems
from study.parsing.sections import Section, read_fields
from study.parsing.yaml_tree import Node, join


class ReadRule(NamedTuple):
    """What a file says with `from_spectrum`."""

    domain: Choice
    """The whole grid: any value of it may be chosen, so all must fit."""
    node: Node
    """Where the grid's values stand, or the rule."""
    path: str
    rule: SpectrumRule


def is_spectrum_rule(node: Node) -> bool:
    """Whether a value in a space says `from_spectrum`."""
    return isinstance(node.value, dict) and KEY in node.value


def read_spectrum_rule(
    sections: dict[str, Section], name: str, node: Node, field: FieldInfo, path: str, problems: Problems
) -> ReadRule | None:
    """The rule at `node`, or None with the reasons among `problems`."""
    entries = node.mapping or {}
    if name != BOTTLENECK:
        said = f"`{KEY}` chooses the bottleneck dimension H, not {name}; give a list or {{low, high}}"
        problems.add(node.keys[KEY], path, said)
        return None
    for other in entries:
        if other != KEY:
            problems.add(node.keys[other], path, f"`{KEY}` stands alone; move {other!r} into it, or leave it out")
    before = len(problems.found)
    inner = entries[KEY]
    section = read_fields(inner, SpectrumRule, join(path, KEY), problems)
    if "grid" in section.given and not section.given["grid"].value:
        problems.add(
            section.given["grid"].place, section.given["grid"].path, "must hold 2 or more, but got []; add to it"
        )
    if len(problems.found) > before or len(entries) > 1:
        return None
    rule = SpectrumRule.model_validate(section.values)
    if rule.grid:
        return ReadRule(Choice(rule.grid), (inner.mapping or {})["grid"], path, rule)
    declared = declared_domain(field)
    assert isinstance(declared, Choice), "the declared range of H lists its values"
    options = tuple(value for value in declared.options if int(value) <= widest(sections, declared))
    if len(options) < 2:
        said = f"fewer than two of the declared H fit the student feature dimension {widest(sections, declared)}"
        problems.add(inner.place, path, f"{said}; add `grid: [...]`")
        return ReadRule(Choice((1,)), inner, path, rule)  # so that nothing further is said about H
    return ReadRule(Choice(options), inner, path, rule)


def widest(sections: dict[str, Section], declared: Choice) -> int:
    """The student's feature dimension, as far as the file says it."""
    student = sections.get("student")
    if student is None:
        return int(max(declared.options))
    given = student.given.get("feature_dim")
    return int(given.value if given else student.config.model_fields["feature_dim"].default)
