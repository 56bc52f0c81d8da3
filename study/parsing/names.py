"""Reads the keys at the top of a study file that name things: the study, its folder, and whether keys exist."""

import os
import re
from pathlib import Path

from search_spaces.explain import shown
from study.config.study_file import REQUIRED_KEYS, RESERVED_STUDY_NAMES, StudyFile
from study.parsing.problems import Place, Problems
from study.parsing.sections import read_value, unknown_key
from study.parsing.yaml_tree import Node

AMBIGUOUS = ("on", "off", "yes", "no", "true", "false", "null", "y", "n")
"""Words that some YAML readers take for true, false or null: names must differ from them."""


def check_keys(root: Node, problems: Problems) -> None:
    """Every key at the top must be known, and the required ones must be there."""
    known = list(StudyFile.model_fields)
    for name in root.mapping or {}:
        if name not in known:
            problems.add(root.keys[name], name, unknown_key(name, known, ""))
    for name in REQUIRED_KEYS:
        if root.entry(name) is None:
            problems.add(root.place, name, f"is missing; add `{name}:`, as in sweep.yaml")


def read_study_name(root: Node, problems: Problems) -> str:
    """The study's name; empty if it is missing."""
    node = root.entry("study")
    if node is None:
        return ""
    check_name(node.plain, node.place, "study", problems)
    if node.value in RESERVED_STUDY_NAMES:
        problems.add(node.place, "study", f"{node.value!r} is the folder of shared stages; choose another")
    return str(node.plain)


def check_name(name: object, place: Place, path: str, problems: Problems) -> None:
    """A name must be usable as a folder and as a word in a table."""
    if isinstance(name, bool) or (isinstance(name, str) and name.lower() in AMBIGUOUS):
        message = f"must be a name, but {shown(name)} is a word that YAML readers take for true, false or null"
        problems.add(place, path, f"{message}; choose another")
    elif not isinstance(name, str):
        message = f"must be a name, but got {shown(name)}; begin with a letter or put it in quotes"
        problems.add(place, path, message)
    elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        rule = "must be 1 to 64 letters, digits, _, - or . and begin with a letter or digit"
        problems.add(place, path, f"{rule}, but got {shown(name)}; choose another, because a folder gets this name")


def read_boolean(root: Node, name: str, problems: Problems) -> bool:
    """The value of a key at the top that is true or false; false if it is missing or wrong."""
    node = root.entry(name)
    given = read_value(node, StudyFile.model_fields[name], name, problems) if node else None
    return bool(given and given.value)


def read_studies_folder(root: Node, folder: Path, problems: Problems) -> Path:
    """The absolute path of `studies`; a relative one starts at `folder`, the folder of the file."""
    field = StudyFile.model_fields["studies"]
    node = root.entry("studies")
    given = read_value(node, field, "studies", problems) if node else None
    name = given.value if given else field.default
    path = absolute(folder, name)
    try:
        usable = name.isprintable() and (path.is_dir() or not path.exists())
    except OSError:  # too long for the system
        usable = False
    if not usable:
        message = f"must be a folder, or the name of a new one, but {shown(name)} is neither; choose another"
        problems.add(root.place_of("studies"), "studies", message)
    return path


def absolute(folder: Path, path: str) -> Path:
    """`path` as an absolute path. `~` is the home folder, and a relative path starts at `folder`."""
    return Path(os.path.abspath(folder / os.path.expanduser(path)))
