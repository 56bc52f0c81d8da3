"""The JSON schema says what the loader accepts."""

import difflib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import pytest
from jsonschema import Draft7Validator
from pydantic import Field

from search_spaces.domains import Aliases, FloatRange
from search_spaces.space import declared_domains, names_of
from study.config.study_file import ARM_SECTIONS
from study.parsing.yaml_tree import parse
from study.reference.json_schema import PATH, schema_text
from tests.helpers.paths import ROOT
from trainables.config import CHOICES
from trainables.methods import METHODS
from trainables.methods.base import MethodConfig

GOOD = [*sorted((ROOT / "tests" / "sweeps" / "good").glob("*.yaml")), ROOT / "sweep.yaml"]
BAD = ROOT / "tests" / "sweeps" / "bad"
WRONG_BY_THEMSELVES = """
misspelt_section unknown_method unknown_dataset view_that_does_not_exist epochs_negative epochs_is_true pruner_off
hidden_is_a_number sampler_unknown direction_misspelt lambda_beyond_its_bound range_min_max range_incomplete
range_beyond_bound choice_empty choice_repeated hyperparameter_of_another_method space_sweeps_the_model arms_empty
section_is_text key_of_another_dataset study_is_a_path trials_zero workers_negative nothing_but_the_name
"""


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    schema = json.loads(PATH.read_text())
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def plain(path: Path) -> object:
    return parse(path.read_text(), path).plain


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_files_are_valid(path: Path, validator: Draft7Validator) -> None:
    errors = [error.message for error in validator.iter_errors(plain(path))]
    quoted = [error for error in errors if "'1e-4'" in error]  # the loader takes a quoted number, an editor need not
    assert errors == quoted


@pytest.mark.parametrize("name", WRONG_BY_THEMSELVES.split())
def test_bad_files_are_not(name: str, validator: Draft7Validator) -> None:
    assert not validator.is_valid(plain(BAD / f"{name}.yaml"))


def test_an_arm_without_a_method_key_is_checked_as_far_as_can_be(validator: Draft7Validator) -> None:
    study = plain(GOOD[-1])
    assert isinstance(study, dict)
    assert validator.is_valid(study | {"arms": {"kd": {"temperature": 4}}})
    assert not validator.is_valid(study | {"arms": {"kd": {"temperatur": 4}}})


def test_no_hyperparameter_has_the_name_of_a_section() -> None:
    """An arm may have both."""
    for entry in METHODS.values():
        assert not set(entry.config.model_fields) & {*ARM_SECTIONS, "space"}


class SmallConfig(MethodConfig):
    """A method with two additional hyperparameters."""

    method: Literal["small"] = "small"
    """A new method."""
    sharpness: Annotated[float, Field(gt=0), FloatRange(0.5, 2.0), Aliases("beta")] = 1.0
    """Weight of the largest logit."""
    rounds: Annotated[int, Field(ge=1)] = 3
    """Times that the targets are smoothed."""


@pytest.mark.slow
def test_a_new_method_changes_few_lines_of_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema_text().splitlines()
    monkeypatch.setitem(CHOICES["method"][1], "small", SmallConfig)
    after = schema_text().splitlines()
    changed = [line for line in difflib.ndiff(before, after) if line[:2] in ("+ ", "- ")]
    assert 0 < len(changed) < 100
    validator = Draft7Validator(json.loads("\n".join(after)))
    study = plain(GOOD[-1])
    assert isinstance(study, dict)
    sweep = {"beta": {"low": 1, "high": 2}}
    assert validator.is_valid(study | {"arms": {"small": {"method": "small", "space": sweep}}})
    assert not validator.is_valid(study | {"arms": {"small": {"method": "small", "space": {"beta": [0]}}}})
    assert not validator.is_valid(study | {"arms": {"kd": {"method": "kd", "space": {"beta": [1]}}}})


def test_the_schema_is_short_and_part_of_the_wheel() -> None:
    assert len(PATH.read_text().splitlines()) < 4000
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert PATH.name in packages["study.reference"] and PATH.parent == ROOT / "study" / "reference"


@pytest.mark.parametrize("method", CHOICES["method"][1])
def test_every_method_sweeps_its_own_fields_by_every_name_and_no_others(
    method: str, validator: Draft7Validator
) -> None:
    study = plain(GOOD[-1])
    assert isinstance(study, dict)
    classes = CHOICES["method"][1]
    for config in classes.values():
        for written, name in names_of(config).items():
            if name in declared_domains(config):
                for key in (written, f"method.{written}"):
                    arms = {"a": {"method": method, "space": {key: "default"}}}
                    own = name in declared_domains(classes[method]) and written in names_of(classes[method])
                    assert validator.is_valid(study | {"arms": arms}) == own, key
