"""A YAML file as a tree of plain values that know their line and column.

The tree is built from the events of ruamel's parser, so that no tag can construct anything, every duplicate key is
reported, and every value has a place. ruamel's `compose` is not used: it gives an alias the place of its anchor, drops
tags such as `!!int`, and stops at the first alias without an anchor. Scalars are read by YAML 1.2: `on`, `off`, `yes`
and `no` are text, `1e-4` is a number.

No other module of the project imports ruamel. Only its public interface is used.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from search_spaces.explain import one_of, shown
from search_spaces.preset_files import is_name, nearest_presets, preset_named
from study.parsing.problems import Place, Problems, StudyFileError

MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_DIGITS = 1_000_000, 20, 20_000, 300
"""Limits far above any study file, so that reading always ends soon."""

INTEGER = re.compile(r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(frozen=True)
class Node:
    """One value of the file: a scalar, a list of nodes, or a mapping of names to nodes."""

    value: "bool | int | float | str | list[Node] | dict[str, Node] | None"
    place: Place
    keys: dict[str, Place] = field(default_factory=dict[str, Place])
    """Of a mapping: the place of each key."""
    size: int = 1
    """Number of nodes in it, aliases counted each time."""

    @property
    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, list):
            return [item.plain for item in self.value]
        if isinstance(self.value, dict):
            return {name: item.plain for name, item in self.value.items()}
        return self.value

    @property
    def mapping(self) -> "dict[str, Node] | None":
        """The entries, if it is a mapping; null counts as an empty one (`none:` with nothing after it)."""
        return self.value if isinstance(self.value, dict) else {} if self.value is None else None

    def entry(self, name: str) -> "Node | None":
        """The value of a key, or None if this is no mapping or has no such key."""
        return (self.mapping or {}).get(name)

    def section(self, name: str) -> "Node":
        """The value of a key; an empty mapping at this node's place if there is none."""
        return self.entry(name) or Node({}, self.place)

    def place_of(self, path: str) -> Place:
        """As `at`, for a dotted path such as `search.objectives.0`."""
        return self.at(tuple(int(step) if step.isdigit() else step for step in path.split(".")))

    def at(self, place: tuple[str | int, ...]) -> Place:
        """The place of the value at `place` inside this one, or of the innermost one that there is."""
        node = self
        for step in place:
            inner = node.value
            if isinstance(inner, dict) and step in inner:
                node = inner[str(step)]
            elif isinstance(inner, list) and isinstance(step, int) and step < len(inner):
                node = inner[step]
        return node.place


def read_text(path: Path) -> str:
    """The text of a study file. Raises StudyFileError if it cannot be read."""
    problems = Problems()
    try:
        if path.is_dir():
            problems.add(None, "", "is a folder; give the YAML file itself")
        elif path.stat().st_size > MAX_BYTES:
            problems.add(
                None,
                "",
                f"must be smaller than {MAX_BYTES} bytes, but has {path.stat().st_size}; is this a study file?",
            )
        else:
            return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        problems.add(None, "", no_such_file(path))
    except UnicodeDecodeError as error:
        place = Place(error.object[: error.start].count(b"\n") + 1, 1)
        problems.add(place, "", f"must be UTF-8 text, but byte {error.start} is not; save the file as UTF-8")
    except OSError as error:
        problems.add(None, "", f"cannot be read: {error.strerror}")
    raise StudyFileError(path, problems.all())


def no_such_file(path: Path) -> str:
    """What to do about a study that does not exist."""
    if preset := preset_named(path):
        return f"no such file; to use the shipped study of this name, write {preset}"
    if not is_name(path):
        return "no such file; check the path, or copy sweep.yaml to begin with"
    near = nearest_presets(path)
    guess = f"did you mean {one_of(near)}? " if near else ""
    return f"no such file, and no shipped study of this name; {guess}`study presets` lists the shipped studies"


def parse(text: str, path: Path) -> Node:
    """The tree of the one mapping in `text`. Raises StudyFileError."""
    composer = Composer(text)
    root = composer.compose()
    if root is not None and not isinstance(root.value, dict) and not composer.problems:
        what = "a list" if isinstance(root.value, list) else f"the single value {root.value!r}"
        composer.problems.add(
            root.place, "", f"must be a mapping of keys to values, but got {what}; begin with `study: NAME`"
        )
    composer.problems.raise_if_any(path)
    assert root is not None
    return root


class Composer:
    """Builds the tree from the parser's events."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems = Problems()
        self.anchors: dict[str, Node] = {}
        self.events: Iterator[Any] = iter(())

    def compose(self) -> Node | None:
        """The tree of the first document, or None with the reason among `problems`."""
        root = None
        try:
            parser: Any = YAML(typ="rt", pure=True)  # ruamel declares no types
            self.events = parser.parse(self.text)
            for event in self.events:
                kind = type(event).__name__
                if kind == "DocumentStartEvent" and root is not None:
                    self.report(
                        event, "", "must be one document, but a second one starts here; make one file for each study"
                    )
                    return None
                if kind in ("ScalarEvent", "SequenceStartEvent", "MappingStartEvent", "AliasEvent"):
                    root = self.node(event, "", 0)
        except YAMLError as error:
            self.problems.add(*syntax_problem(error, self.text))
            return None
        except LimitExceeded:
            return None
        if root is None or root.value is None:
            self.problems.add(None, "", "is empty; begin with `study: NAME`, or copy sweep.yaml")
            return None
        return root

    def node(self, event: Any, path: str, depth: int) -> Node:
        """The node that begins with `event`."""
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self.alias(event, path)
        if event.tag is not None:
            self.report(
                event, path, f"YAML tags are not allowed, but got {short_tag(str(event.tag))}; write the plain value"
            )
        if depth > MAX_DEPTH:
            self.report(event, path, f"is nested more than {MAX_DEPTH} deep; a study file needs only a few levels")
            raise LimitExceeded
        if kind == "ScalarEvent":
            made = Node(scalar(event.value) if event.implicit[0] else event.value, place_of(event))
        elif kind == "SequenceStartEvent":
            made = self.sequence(event, path, depth)
        else:
            made = self.entries(event, path, depth)
        if made.size > MAX_NODES:
            self.report(event, path, f"has more than {MAX_NODES} values; a study file needs far fewer")
            raise LimitExceeded
        if event.anchor is not None:
            self.anchors[event.anchor] = made
        return made

    def alias(self, event: Any, path: str) -> Node:
        """The node that `*name` refers to, with the place of the alias."""
        if event.anchor not in self.anchors:
            self.report(
                event, path, f"*{event.anchor} is used before &{event.anchor} is defined; define it above this line"
            )
            return Node(None, place_of(event))
        target = self.anchors[event.anchor]
        return Node(target.value, place_of(event), target.keys, target.size)

    def sequence(self, start: Any, path: str, depth: int) -> Node:
        """A list, up to its end."""
        items: list[Node] = []
        while type(event := next(self.events)).__name__ != "SequenceEndEvent":
            items.append(self.node(event, join(path, str(len(items))), depth + 1))
        return Node(items, place_of(start), size=1 + sum(item.size for item in items))

    def entries(self, start: Any, path: str, depth: int) -> Node:
        """A mapping, up to its end. `<<` merges another mapping; keys that are written here have precedence."""
        entries: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        merged: list[Node] = []
        while type(event := next(self.events)).__name__ != "MappingEndEvent":
            name = self.key(event, path, depth)
            value = self.node(next(self.events), join(path, name), depth + 1)
            if value.value is None and value.place.line > place_of(event).line:
                value = Node(None, place_of(event))  # nothing after the colon: the parser is on the next line
            if name == "<<" and event.value == "<<":
                merged += value.value if isinstance(value.value, list) else [value]
            elif name in keys:
                first = keys[name].line
                self.report(
                    event,
                    join(path, name),
                    f"duplicate key {name!r} (first used on line {first}); remove one of the two",
                )
            else:
                entries[name], keys[name] = value, place_of(event)
        for source in merged:
            if not isinstance(source.value, dict):
                self.problems.add(
                    source.place,
                    join(path, "<<"),
                    f"must be a mapping to be merged, but got {shown(source.plain)}; refer to a mapping",
                )
                continue
            entries = {**source.value, **entries}
            keys = {**dict.fromkeys(source.value, source.place), **keys}
        return Node(entries, place_of(start), keys, 1 + sum(entry.size for entry in entries.values()))

    def key(self, event: Any, path: str, depth: int) -> str:
        """The name that a mapping's key spells."""
        if type(event).__name__ == "ScalarEvent":
            if event.tag is not None:
                self.report(
                    event, path, f"YAML tags are not allowed, but got {short_tag(str(event.tag))}; write the plain name"
                )
            return event.value
        made = self.node(event, path, depth + 1)
        if isinstance(made.value, str):
            return made.value
        self.report(event, path, "a key must be a plain name, but got a list or a mapping; put text with { } in quotes")
        return f"<key in line {place_of(event).line}>"

    def report(self, event: Any, path: str, message: str) -> None:
        """Add a problem at an event."""
        self.problems.add(place_of(event), path, message)


class LimitExceeded(Exception):
    """The file exceeds a limit. The problem is reported already."""


def scalar(text: str) -> bool | int | float | str | None:
    """What an unquoted scalar means in YAML 1.2."""
    if text in WORDS:
        return WORDS[text]
    if len(text) < MAX_DIGITS and INTEGER.fullmatch(text):
        bases = {"0o": 8, "0x": 16}
        return int(text, bases[text[:2]]) if text[:2] in bases else int(text)
    if FLOAT.fullmatch(text):
        return float(text)
    return text


def syntax_problem(error: YAMLError, text: str) -> tuple[Place | None, str, str]:
    """Place, path and message of a syntax error."""
    if isinstance(error, MarkedYAMLError):
        return marked_problem(error, text)
    if isinstance(error, ReaderError):
        position: Any = getattr(error, "position", None)
        before = text[:position] if isinstance(position, int) else ""
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        return place, "", "is not valid YAML: found a control character; remove it"
    return None, "", f"is not valid YAML: {error}"


def marked_problem(error: Any, text: str) -> tuple[Place | None, str, str]:
    """As `syntax_problem`, for an error that knows its place. ruamel declares no types for it."""
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else None
    lines = text.splitlines()
    line = lines[place.line - 1] if place and place.line <= len(lines) else ""
    if "'\\t'" in str(error.problem) or (line[: mark.column + 1 if mark else 0].strip() == "" and "\t" in line):
        return place, "", "must be indented with spaces, but got a tab; replace it by spaces"
    if error.problem == "mapping values are not allowed here":
        cause = "the indentation of this line, and the space after the colon of the line above"
        return place, "", f"is not valid YAML: a colon is not allowed here; check {cause}"
    start = f" (which starts on line {error.context_mark.line + 1})" if error.context_mark else ""
    during = f" {error.context}{start}" if error.context else ""
    return place, "", f"is not valid YAML: {error.problem}{during}; check colons, brackets and quotes"


def short_tag(tag: str) -> str:
    """A tag as it is written in a file."""
    return tag.replace("tag:yaml.org,2002:", "!!")


def join(path: str, name: str) -> str:
    """`name` inside `path`."""
    return f"{path}.{name}" if path else name


def place_of(event: Any) -> Place:
    """Where an event begins."""
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
