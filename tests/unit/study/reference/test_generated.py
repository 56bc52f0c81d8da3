"""The generated files are up to date and complete."""

import re
from pathlib import Path

import pytest

from study.reference.error_messages import ErrorExample, errors_markdown, example_of
from study.reference.generated import generated_files
from study.reference.study_file_page import study_file_markdown
from tests.helpers.paths import ROOT
from trainables.config import CHOICES

BAD = ROOT / "tests" / "sweeps" / "bad"


@pytest.mark.slow
@pytest.mark.parametrize("path", generated_files(), ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    """A change of a config class changes what users write: look at it, then run `python -m study.reference`."""
    assert path.read_text() == generated_files()[path]


def test_the_reference_names_every_key() -> None:
    text = study_file_markdown()
    classes = [config for _, entries in CHOICES.values() for config in entries.values()]
    tags = {tag for tag, _ in CHOICES.values()}
    for config in classes:
        for name, field in config.model_fields.items():
            assert name in tags or f"`{name}`" in text
            assert name in tags or field.description, f"{config.__name__}.{name} has no documentation"


def test_the_error_page_has_every_message() -> None:
    page = re.sub(r"\\(.)", r"\1", errors_markdown(BAD))
    for path in BAD.glob("*.txt"):
        for line in path.read_text().splitlines():
            message = re.sub(r"^\d+:\d+: ([a-z_]\S*: )?", "", line).replace("|", "\\|")
            assert all(part in page for part in message.rsplit("; ", 1)), line


@pytest.mark.parametrize(
    "message, expected",
    [
        ("2:3: a.b: must be c, but got d; use e", ErrorExample("a.b", "second", "must be c, but got d", "use e")),
        (
            "1:1: is a list; begin with `study: NAME`",
            ErrorExample("", "first", "is a list", "begin with `study: NAME`"),
        ),
        ("is empty; copy sweep.yaml", ErrorExample("", "", "is empty", "copy sweep.yaml")),
        ("1:1: a: must be b, but got c", ErrorExample("a", "first", "must be b, but got c", "")),
    ],
)
def test_a_message_is_split_into_key_cause_and_fix(message: str, expected: ErrorExample) -> None:
    assert example_of(message, ["first", "  second"]) == expected
