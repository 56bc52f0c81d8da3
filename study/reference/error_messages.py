"""`docs/reference/errors.md`: the messages about wrong study files, each with a file that causes it and its fix."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from study.config.study_file import StudyFile
from study.reference.fields import markdown_table

INTRODUCTION = """\
# Error messages

A wrong study file is refused before anything is computed. All of its problems are printed at once, one line each:
`FILE:LINE:COLUMN: KEY: what was expected, what was found; what to do`. This page lists the messages with the line that
causes each. Do not edit it: `python -m study.reference` writes it from the examples in `tests/sweeps/bad`."""

WHOLE_FILE = "The file as a whole"

LONGEST_LINE = 110
"""Characters of a line of an example that are shown."""


class ErrorExample(NamedTuple):
    """One message, with what causes it."""

    key: str
    """Dotted path of the key; empty if the file as a whole is meant."""
    line: str
    """The line of the file that causes it."""
    cause: str
    """What was expected and what was found."""
    fix: str
    """What to do; empty if the message does not say."""


def errors_markdown(folder: Path) -> str:
    """The whole page.

    Args:
        folder: Folder with wrong study files `NAME.yaml`, and `NAME.txt` with the expected messages of each.
    """
    examples = list(dict.fromkeys(read_examples(folder)))
    parts = [INTRODUCTION]
    for section in ("", *StudyFile.model_fields):
        rows = [row(example) for example in examples if section_of(example) == section]
        if rows:
            parts += [f"## `{section}`" if section else f"## {WHOLE_FILE}"]
            parts += [markdown_table(["in the file", "problem", "fix"], rows)]
    return "\n\n".join(parts) + "\n"


def read_examples(folder: Path) -> Iterator[ErrorExample]:
    """The messages of every wrong file in `folder`, by name."""
    for path in sorted(folder.glob("*.yaml")):
        lines = path.read_bytes().decode(errors="replace").splitlines()
        for message in path.with_suffix(".txt").read_text(encoding="utf-8").splitlines():
            yield example_of(message, lines)


def example_of(message: str, lines: list[str]) -> ErrorExample:
    """One expected message, such as `5:12: training.epoch: unknown key 'epoch'; did you mean epochs?`."""
    place, _, rest = message.partition(": ")
    number = place.partition(":")[0]
    if not number.isdigit():
        cause, _, fix = message.rpartition("; ")
        return ErrorExample("", "", cause, fix)
    key, _, text = rest.partition(": ")
    if not text or " " in key:
        key, text = "", rest
    cause, _, fix = text.rpartition("; ")
    line = lines[int(number) - 1] if int(number) <= len(lines) else ""
    return ErrorExample(key, printable(line), cause or fix, fix if cause else "")


def section_of(example: ErrorExample) -> str:
    """The section of the file that an example belongs to; empty for the file as a whole and for unknown sections."""
    section = example.key.partition(".")[0]
    return section if section in StudyFile.model_fields else ""


def row(example: ErrorExample) -> list[str]:
    """The cells of an example in its table."""
    line = f"`` {example.line} ``" if example.line else ""
    key = f"`{example.key}`: " if example.key else ""
    return [line, key + escaped(example.cause), escaped(example.fix)]


def printable(line: str) -> str:
    """A line of an example as it can be shown: without indentation and control characters, and not too long."""
    shown = "".join(character if character.isprintable() else " " for character in line).strip()
    return shown if len(shown) <= LONGEST_LINE else shown[: LONGEST_LINE - 4] + " ..."


def escaped(text: str) -> str:
    """Text whose characters `*`, `_`, `<` and `[` have no meaning in Markdown, but for those between backticks."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        for character in "\\*_<[":
            parts[index] = parts[index].replace(character, "\\" + character)
    return "`".join(parts)
