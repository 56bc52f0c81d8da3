"""`study explain KEY` prints the reference of one key, or names the nearest keys."""

import pytest

from study.config.study_file import StudyFile
from study.errors import StudyError
from study.reference.keys import WIDTH, explain, references
from trainables.config import CHOICES


def test_a_field_has_its_type_default_range_and_meaning() -> None:
    assert explain("method.kd.temperature").splitlines() == [
        "method.kd.temperature (also tau, T)",
        "    number > 0; default `2`; swept by `default`: 1 to 8, log",
        "    Softens both distributions before they are compared.",
    ]


@pytest.mark.parametrize(
    "key, same", [("method.kd.T", "method.kd.temperature"), ("training.B", "training.batch_size"), (".data.", "data")]
)
def test_an_alias_means_its_field(key: str, same: str) -> None:
    assert explain(key) == explain(same)


def test_a_data_set_lists_its_keys() -> None:
    text = explain("data.coco")
    assert all(f"\n  {name}\n" in text for name in ("root", "size", "views"))
    assert "\n  dataset\n" not in text


@pytest.mark.slow
def test_every_key_can_be_explained() -> None:
    known = references()
    for key in [*StudyFile.model_fields, *(f"{part}.{kind}" for part, (_, kinds) in CHOICES.items() for kind in kinds)]:
        assert key in known
    for key in known:
        lines = explain(key).splitlines()
        assert len(lines) >= 2 and max(map(len, lines)) <= WIDTH + 10, key


@pytest.mark.parametrize(
    "key, near",
    [
        ("search.prunner", "did you mean search.pruner"),
        ("data.coko", "did you mean data.coco"),
        ("temperature", "did you mean method.kd.temperature"),
        ("from_spectrum.gird", "did you mean from_spectrum.grid"),
        ("qqqqqq", "the sections are study, data, teacher"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(key: str, near: str) -> None:
    with pytest.raises(StudyError, match=f"no key {key!r} in a study file; {near}"):
        explain(key)
