"""`pairs:` of a study file: every arm is made once for each combination of values of the data's fields.

With the arms none and kd, `pairs: {teacher: [pix, mor], student: [fou, zer]}` gives kd-pix-fou, kd-pix-zer, kd-mor-fou
and kd-mor-zer, one for each pair of two different views; and none-fou and none-zer, because an arm without a teacher
depends on the student's view only.
"""

import re
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from search_spaces.explain import shown
from search_spaces.space import names_of
from study.parsing.problems import Place, Problems
from study.parsing.sections import entries_of, read_value, unknown_key
from study.parsing.yaml_tree import Node, join
from trainables.data.common.base import DataConfig
from trainables.methods import METHODS
from trainables.models import MODELS

MOST_ARMS = 200
"""Largest number of arms that `pairs` may make. Each arm is searched separately."""
LONGEST_NAME = 64


class ArmNode(NamedTuple):
    """One arm that a file describes."""

    written: str
    """Name of the arm in the file."""
    node: Node
    """The arm's mapping in the file, with the pair's values in its `data`."""


def read_pairs(node: Node, config: type[BaseModel] | None, problems: Problems) -> dict[str, list[Node]]:
    """The valid values of each field in `pairs`.

    Args:
        node: the `pairs` section.
        config: class of the study's `data`; None if it is not known.
        problems: receives what is wrong.
    """
    found: dict[str, list[Node]] = {}
    entries = entries_of(node, "pairs", problems)
    if config is None:
        return found
    names = {written: name for written, name in names_of(config).items() if name != "dataset"}
    for name, listed in entries.items():
        path = join("pairs", names.get(name, name))
        if name not in names:
            problems.add(node.keys[name], path, unknown_key(name, list(names), "data"))
        elif not isinstance(listed.value, list) or not listed.value:
            problems.add(
                listed.place, path, f"must be a list of values, but got {shown(listed.plain)}; put [ ] around it"
            )
        else:
            found[names[name]] = read_list(listed.value, listed.place, config.model_fields[names[name]], path, problems)
    return {name: values for name, values in found.items() if values}


def read_list(items: list[Node], place: Place, field: FieldInfo, path: str, problems: Problems) -> list[Node]:
    """The valid values of one field, each once.

    Args:
        items: the list in the file.
        place: line and column of the list.
        field: the field of the study's `data`.
        path: where the list is in the file.
        problems: receives what is wrong.
    """
    good = [item for item in items if read_value(item, field, path, problems) is not None]
    values = [item.plain for item in good]
    distinct = [item for index, item in enumerate(good) if item.plain not in values[:index]]
    if len(distinct) < len(good):
        problems.add(place, path, f"each value may be listed once, but got {values!r}; remove the repeated one")
    return distinct


def expand_pairs(
    arms: dict[str, Node], pairs: dict[str, list[Node]], data: type[DataConfig], model: object, problems: Problems
) -> dict[str, ArmNode]:
    """Every arm for each combination of the values that it uses.

    Args:
        arms: the arms as written, by name.
        pairs: the values by field, from `read_pairs`.
        data: class of the study's `data`.
        model: name of the study's student network.
        problems: receives what is wrong.

    Returns:
        At most MOST_ARMS arms by name.
    """
    found: dict[str, ArmNode] = {}
    for written, node in arms.items():
        members = list(combinations(written, node, pairs, data, model))
        if not members:
            said = "`pairs` leaves no pair for this arm, because teacher and student are the same view in each"
            problems.add(node.place, join("arms", written), f"{said}; list another teacher or student")
        for name, member in members:
            if len(name) > LONGEST_NAME or name in found:
                said = f"makes an arm {name!r}, " + (
                    "which is too long" if name not in found else "which is there already"
                )
                problems.add(node.place, join("arms", written), f"`pairs` {said}; give the arm another name")
            found.setdefault(name, member)
    if len(found) > MOST_ARMS:
        first = next(iter(next(iter(pairs.values()))))
        problems.add(first.place, "pairs", f"makes {len(found)} arms, more than {MOST_ARMS}; list fewer values")
        return dict(list(found.items())[:MOST_ARMS])
    return found


def combinations(
    written: str, node: Node, pairs: dict[str, list[Node]], data: type[DataConfig], model: object
) -> Iterator[tuple[str, ArmNode]]:
    """One arm's name and node for each combination of the fields that it uses and does not set itself.

    Args:
        written: the arm's name in the file.
        node: the arm's mapping.
        pairs: the values by field.
        data: class of the study's `data`.
        model: name of the study's student network.
    """
    fields = varied_fields(written, node, list(pairs), data, model)
    for values in product(*(pairs[name] for name in fields)):
        chosen = dict(zip(fields, values, strict=True))
        if {"teacher", "student"} <= set(chosen) and chosen["teacher"].plain == chosen["student"].plain:
            continue
        name = "-".join([written, *(word(value.plain) for value in values)])
        yield name, ArmNode(written, with_data(node, chosen))


def varied_fields(written: str, node: Node, fields: list[str], data: type[DataConfig], model: object) -> list[str]:
    """The fields of `pairs` that an arm neither sets nor sweeps itself, and on which its results depend.

    Args:
        written: the arm's name in the file.
        node: the arm's mapping.
        fields: the fields in `pairs`.
        data: class of the study's `data`.
        model: name of the study's student network.
    """
    entries = node.mapping or {}
    aliases = names_of(data)
    own = {aliases.get(key, key) for key in keys_in(entries, "data")}
    own |= {name.removeprefix("data.") for name in keys_in(entries, "space") if name.startswith("data.")}
    unused = data.teacher_only if sees_no_teacher(written, entries, model) else ()
    return [name for name in fields if name not in own and name not in unused]


def keys_in(entries: dict[str, Node], section: str) -> dict[str, Node]:
    """The keys of one section of an arm; empty if it has no such section, or no mapping there."""
    return (entries[section].mapping or {}) if section in entries else {}


def with_data(node: Node, chosen: dict[str, Node]) -> Node:
    """An arm's mapping with the chosen values in its `data`; what the arm sets there itself stays."""
    if not chosen or node.mapping is None:
        return node
    entries, own = node.mapping, keys_in(node.mapping, "data")
    place = entries["data"].place if "data" in entries else node.place
    keys = {**{key: value.place for key, value in chosen.items()}, **(entries["data"].keys if own else {})}
    data = Node({**chosen, **own}, place, keys)
    return Node({**entries, "data": data}, node.place, {"data": place, **node.keys})


def sees_no_teacher(written: str, entries: dict[str, Node], model: object) -> bool:
    """Whether an arm has neither a teacher nor a student that sees the teacher's inputs.

    Args:
        written: the arm's name in the file.
        entries: the arm's keys.
        model: name of the study's student network.
    """
    method = entries["method"].plain if "method" in entries else written
    if not isinstance(method, str) or method not in METHODS or METHODS[method].config.teacher_source != "nothing":
        return False
    student = keys_in(entries, "student")
    name = student["model"].plain if "model" in student else model
    return not isinstance(name, str) or name not in MODELS or MODELS[name].config.sees == "own"


def word(value: object) -> str:
    """A value as part of an arm's name."""
    text = f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value).lower()
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)
