"""The identity of a trial."""

import json
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from trainables.common.types import TableConfig
from trainables.config import TrialConfig
from trainables.data import DATASETS
from trainables.methods import METHODS
from trainables.mi import ESTIMATORS
from trainables.models import MODELS

BASE: dict[str, Any] = {
    "data": {"dataset": "mfeat"},
    "teacher": {"model": "mlp"},
    "student": {"model": "mlp"},
    "method": {"method": "kd"},
}


def trial(**changes: Any) -> TrialConfig:
    return TrialConfig.model_validate({**BASE, **changes})


@pytest.mark.parametrize(
    ("name", "config"),
    [(name, entry.config) for table in (DATASETS, MODELS, METHODS, ESTIMATORS) for name, entry in table.items()],
)
def test_a_config_knows_the_name_of_its_entry_and_does_not_write_it(name: str, config: type[TableConfig]) -> None:
    assert config.model_fields[config.kind_field].default == name
    assert config.model_construct(**{config.kind_field: name}).kind == name
    assert "kind" not in config.model_fields and "kind" not in config.model_computed_fields


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"dataset": "mfeat", "teacher": "fac"}},
        {"teacher": {"model": "mlp", "feature_dim": 64}},
        {"student": {"model": "mlp", "hidden": [64]}},
        {"method": {"method": "kd", "temperature": 3}},
        {"method": {"method": "none"}},
        {"training": {"epochs": 31}},
        {"pretraining": {"epochs": 31}},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_part_counts(change: dict[str, Any]) -> None:
    assert trial(**change).trial_id != trial().trial_id
    assert (trial(**change).group_id == trial().group_id) is ("seed" in change)


def test_defaults_written_out_are_the_same_trial() -> None:
    written = trial().model_dump(mode="json")
    assert TrialConfig.model_validate(json.loads(json.dumps(written))).trial_id == trial().trial_id
    assert trial(method={"method": "kd", "temperature": 2}).trial_id == trial().trial_id, "2 and 2.0 are one number"


def test_the_identity_is_of_the_full_config_not_of_differences_from_defaults() -> None:
    canonical = trial().canonical()
    assert canonical["training"]["momentum"] == 0.9 and canonical["method"]["temperature"] == 2.0


def test_without_a_teacher_it_does_not_matter_which() -> None:
    none = {"method": {"method": "none"}}
    same = [
        {"teacher": {"model": "mlp", "feature_dim": 64}},
        {"data": {"dataset": "mfeat", "teacher": "zer"}},
        {"pretraining": {"epochs": 3}},
    ]
    for change in same:
        assert trial(**none, **change).trial_id == trial(**none).trial_id
    assert trial(**none, data={"dataset": "mfeat", "student": "zer"}).trial_id != trial(**none).trial_id


@pytest.mark.slow
def test_ids_are_equal_in_another_process() -> None:
    code = f"from trainables.config import TrialConfig; print(TrialConfig.model_validate({BASE!r}).trial_id)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == trial().trial_id


def test_parts_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"bottleneck_dim: 200 is larger than the student feature dimension 128"):
        trial(method={"method": "ciba", "bottleneck_dim": 200})
    with pytest.raises(ValidationError, match=r"method.method must be one of .*'kd'.*but got 'kdd'"):
        trial(method={"method": "kdd"})
