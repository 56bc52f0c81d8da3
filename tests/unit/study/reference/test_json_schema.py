"""The JSON schema says what the loader accepts."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from study.config.study_file import ARM_SECTIONS
from study.parsing.yaml_tree import parse
from study.reference.json_schema import PATH
from tests.helpers.paths import ROOT
from trainables.methods import METHODS

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
    """In an arm both stand side by side."""
    for entry in METHODS.values():
        assert not set(entry.config.model_fields) & {*ARM_SECTIONS, "space"}
