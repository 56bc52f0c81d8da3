"""`study explain KEY`: the reference of one key of a study file, for the terminal."""

import textwrap
from collections.abc import Callable
from difflib import get_close_matches

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from search_spaces.space import aliases
from study.config.spectrum_rule import KEY, SpectrumRule
from study.config.study_config import Objective
from study.config.study_file import FIXED_SECTIONS, ArmSection, StudyFile
from study.errors import StudyError
from study.reference.fields import field_words, one_line
from study.reference.study_file_page import ONE_OBJECTIVE, SPACES
from trainables.config import CHOICES, EvaluationConfig

WIDTH = 100
"""Characters in a line."""

GUESSES = 5
"""Near names that are listed for an unknown key."""

References = dict[str, Callable[[], str]]
"""For each key the function that writes its reference."""


def explain(key: str) -> str:
    """The reference of one key: its type, default, range and meaning, or all keys of a section.

    Args:
        key: Dotted path by names or aliases: `search`, `search.pruner`, `data.coco`, `data.coco.root`,
            `method.kd.temperature`, `space`, `from_spectrum.grid`. `arms.kd.T` means the same as `method.kd.T`.

    Returns:
        Lines of at most 100 characters.

    Raises:
        StudyError: if there is no such key, with the nearest ones.
    """
    known = references()
    name = key.strip().strip(".")
    if name in known:
        return known[name]()
    inner = [other for other in known if other.endswith(f".{name}")]
    near = inner or get_close_matches(name, known, n=GUESSES, cutoff=0.5)
    if not near:
        raise StudyError(f"no key {key!r} in a study file; the sections are {', '.join(StudyFile.model_fields)}")
    more = f" (and {len(near) - GUESSES} more)" if len(near) > GUESSES else ""
    raise StudyError(f"no key {key!r} in a study file; did you mean {', '.join(near[:GUESSES])}{more}?")


def references() -> References:
    """Every key, by its dotted path, with the function that writes its reference."""
    known: References = {}
    for name, field in StudyFile.model_fields.items():
        known[name] = lambda name=name, field=field: section_text(name, field)
    for section, config in section_classes().items():
        known |= field_references(section, config)
    for part in ("data", "teacher", "student", "method"):
        for kind, config in CHOICES[part][1].items():
            for prefix in (part, "arms") if part == "method" else (part,):
                known[f"{prefix}.{kind}"] = lambda path=f"{prefix}.{kind}", config=config: class_text(path, config)
                known |= field_references(f"{prefix}.{kind}", config)
    known["method"] = lambda: kinds_text("method", one_line(ArmSection.model_fields["method"].description))
    known[KEY] = known[f"space.{KEY}"] = lambda: class_text(KEY, SpectrumRule)
    return known


def section_classes() -> dict[str, type[BaseModel]]:
    """Sections of fixed keys, by their path."""
    return {
        **FIXED_SECTIONS,
        "pretraining": FIXED_SECTIONS["training"],
        "arms": ArmSection,
        "evaluate": EvaluationConfig,
        "search.objectives": Objective,
        KEY: SpectrumRule,
    }


def field_references(prefix: str, config: type[BaseModel]) -> References:
    """The fields of a config class, by every name of each."""
    return {
        f"{prefix}.{written}": lambda prefix=prefix, name=name, field=field: field_text(f"{prefix}.{name}", name, field)
        for name, field in config.model_fields.items()
        for written in (name, *aliases(field))
    }


def section_text(name: str, field: FieldInfo) -> str:
    """A key at the top of the file."""
    meaning = one_line(field.description)
    if name in CHOICES:
        return kinds_text(name, meaning)
    if name == "arms":
        return "\n".join([class_text(name, ArmSection), "", kinds_text("method", "")])
    if name == "space":
        return "\n".join([name, wrapped(f"{meaning} {one_line(SPACES)}"), "", class_text(KEY, SpectrumRule)])
    if name not in section_classes():
        return field_text(name, name, field)
    text = class_text(name, section_classes()[name], meaning)
    if name == "search":
        text += "\n\n" + class_text("search.objectives", Objective, one_line(ONE_OBJECTIVE))
    return text


def kinds_text(part: str, meaning: str) -> str:
    """The data sets, models or methods to choose from, a line each."""
    tag, classes = CHOICES[part]
    lines = [wrapped(meaning)] if meaning else []
    lines.append(f"{tag}: one of")
    for kind, config in classes.items():
        first, _, _ = one_line(config.__doc__).partition(". ")
        lines.append(wrapped(f"{kind}: {first.rstrip('.')}", "  ", "      "))
    return "\n".join([part, *lines, f"`study explain {part}.{next(iter(classes))}` prints the keys of one."])


def class_text(path: str, config: type[BaseModel], meaning: str = "") -> str:
    """A config class and all its fields."""
    parts = [path, wrapped(f"{meaning} {one_line(config.__doc__)}".strip())]
    tags = {tag for tag, classes in CHOICES.values() if config in classes.values()}
    parts += [field_text(name, name, field, "  ") for name, field in config.model_fields.items() if name not in tags]
    return "\n".join(parts)


def field_text(path: str, name: str, field: FieldInfo, indent: str = "") -> str:
    """One field: its path and aliases, what it takes, and what it means."""
    words = field_words(name, field)
    others = f" (also {', '.join(words.names[1:])})" if len(words.names) > 1 else ""
    default = f"; default {words.default}" if words.default else ""
    domain = f"; swept by `default`: {words.domain}" if words.domain else ""
    lines = [f"{indent}{path}{others}", wrapped(f"{words.type}{default}{domain}", indent + "    ")]
    return "\n".join([*lines, wrapped(words.meaning, indent + "    ")] if words.meaning else lines)


def wrapped(text: str, first: str = "", other: str | None = None) -> str:
    """The text in lines of at most `WIDTH` characters, each indented."""
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=first if other is None else other)
