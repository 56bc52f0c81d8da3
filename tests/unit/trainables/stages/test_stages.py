"""Stages, which trials share: their keys and their content."""

from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.config import TrialConfig
from trainables.fitting import fit
from trainables.methods.none import NoneConfig
from trainables.stages.artifacts import StageStore
from trainables.stages.bottleneck import bottleneck_stage
from trainables.stages.networks import outputs_stage, restore_unimodal
from trainables.stages.prepared import prepared_stage, read_prepared
from trainables.stages.targets import required_stages, target_stage


def trial(method: dict[str, Any], **changes: Any) -> TrialConfig:
    values = {
        "data": {"dataset": "mfeat", "train": 100, "val": 50},
        "teacher": {"model": "mlp", "hidden": [16], "feature_dim": 12},
        "student": {"model": "mlp", "hidden": [16], "feature_dim": 8},
        "method": method,
        "training": {"epochs": 2},
        "pretraining": {"epochs": 3},
    }
    return TrialConfig.model_validate({**values, **changes})


CIBA = {"method": "ciba", "bottleneck_dim": 4, "bottleneck_epochs": 3}


def names(config: TrialConfig) -> list[str]:
    return [stage.name for stage in required_stages(config)]


def test_each_method_needs_its_stages_parents_first() -> None:
    assert names(trial({"method": "none"})) == ["prepared"]
    assert names(trial({"method": "kd"})) == ["prepared", "unimodal", "outputs"]
    assert names(trial(CIBA)) == ["prepared", "unimodal", "outputs", *("prepared", "unimodal", "outputs"), "bottleneck"]


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        ({"method": {**CIBA, "lambda_kd": 9.0}}, True),
        ({"method": {**CIBA, "loss": "margin", "margin": 0.2}}, True),
        ({"training": {"epochs": 9, "lr": 0.1}}, True),
        ({"method": {**CIBA, "bottleneck_dim": 5}}, False),
        ({"method": {**CIBA, "lambda_ib": 0.5}}, False),
        ({"pretraining": {"epochs": 4}}, False),
        ({"seed": 1}, False),
        ({"data": {"dataset": "mfeat", "train": 100, "val": 50, "teacher": "fac"}}, False),
    ],
    ids=str,
)
def test_a_bottleneck_is_shared_by_trials_that_differ_only_after_it(change: dict[str, Any], shared: bool) -> None:
    assert (bottleneck_stage(trial(**{"method": CIBA, **change})).key == bottleneck_stage(trial(CIBA)).key) is shared


def test_a_teacher_is_shared_by_methods_and_by_studies(tmp_path: Path) -> None:
    first = fit(trial({"method": "kd"}), stages=StageStore(tmp_path)).result
    assert len(first.stages_computed) == 3
    second = fit(trial({"method": "feature_kd"}, training={"epochs": 1}), stages=StageStore(tmp_path)).result
    assert second.stages_computed == () and set(second.stages_reused) == set(first.stages_computed)
    assert second.seconds_saved > 0


def test_frozen_outputs_are_the_trained_network_s(tmp_path: Path) -> None:
    stages = StageStore(tmp_path)
    config = trial({"method": "kd"})
    stage = outputs_stage(config, "teacher")
    arrays = stages.get(stage).arrays
    data = read_prepared(stages, stage.unimodal.prepared)
    model = restore_unimodal(stages, stage.unimodal, data, torch.device("cpu"))
    for name in ("train", "val", "test"):
        with torch.no_grad():
            live = model(data.split(name).teacher)
        torch.testing.assert_close(arrays[f"{name}/logits"], live.logits)
        torch.testing.assert_close(arrays[f"{name}/features"], live.features)
    accuracy = (arrays["val/logits"].argmax(1) == data.val.labels).double().mean().item()
    history = stages.get(stage.unimodal).notes["history"]
    assert accuracy == max(report["metrics"]["val/accuracy"] for report in history)


def test_a_bottleneck_gives_targets_of_width_h_and_reconstructions_of_the_student(tmp_path: Path) -> None:
    stages = StageStore(tmp_path)
    config = trial(CIBA)
    stage = target_stage(config)
    assert stage is not None
    arrays = stages.get(stage).arrays
    assert arrays["train/features"].shape == (100, 4)
    assert arrays["train/reconstruction"].shape == (100, config.student.feature_dim)


def test_a_teacher_does_not_depend_on_its_student() -> None:
    one = outputs_stage(trial(CIBA), "teacher")
    other = outputs_stage(trial(CIBA, student={"model": "mlp", "feature_dim": 9}), "teacher")
    assert one.key == other.key


@pytest.mark.parametrize(
    "spoilt", [{"teacher_noise": 2.0}, {"teacher": "zer"}, {"teacher_noise": 1.0, "noise_seed": 4}]
)
def test_another_teacher_or_a_spoilt_one_leaves_the_students_stage(spoilt: dict[str, Any]) -> None:
    """Each level is another teacher; the student is trained once."""
    before, after = trial(CIBA), trial(CIBA, data={"dataset": "mfeat", "train": 100, "val": 50, **spoilt})
    assert outputs_stage(after, "student").key == outputs_stage(before, "student").key
    assert outputs_stage(after, "teacher").key != outputs_stage(before, "teacher").key
    assert prepared_stage(after).key != prepared_stage(before).key
    alone = [config.model_copy(update={"method": NoneConfig()}) for config in (before, after)]
    (prepared,) = required_stages(alone[0])
    assert [prepared] == required_stages(alone[1]) == [outputs_stage(before, "student").unimodal.prepared]


def test_a_fusion_student_sees_the_spoilt_teacher_inputs() -> None:
    encoder = {"model": "mlp", "hidden": [], "feature_dim": 4}
    fusion = {"model": "fusion", "feature_dim": 8, "teacher_encoder": encoder, "student_encoder": encoder}
    data = {"dataset": "mfeat", "train": 100, "val": 50, "teacher_noise": 2.0}
    before, after = trial({"method": "none"}, student=fusion), trial({"method": "none"}, student=fusion, data=data)
    assert required_stages(before)[0].key != required_stages(after)[0].key
    assert outputs_stage(before, "student").key != outputs_stage(after, "student").key
