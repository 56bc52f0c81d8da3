"""What study files resolve to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces.domains import Choice, FloatRange, IntRange
from study.config.study_config import Objective, StudyConfig
from study.parsing.loader import load
from tests.helpers.paths import ROOT

GOOD = ROOT / "tests" / "sweeps" / "good"
FILES = [*sorted(GOOD.glob("*.yaml")), ROOT / "sweep.yaml"]


@pytest.fixture(autouse=True)
def a_machine_of_four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_comes_back_from_json_as_it_was(path: Path) -> None:
    study = load(path)
    back = StudyConfig.model_validate(json.loads(json.dumps(study.model_dump(mode="json"))))
    assert back == study
    assert repr(back) == repr(study)  # `==` alone takes 1, 1.0 and True for the same


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_edge_of_every_space_is_a_trial(path: Path) -> None:
    for arm in load(path).arms:
        for name, domain in arm.space.items():
            for value in domain.options if isinstance(domain, Choice) else (domain.low, domain.high):
                assert arm.trial({name: value}, seed=0).trial_id


def test_a_minimal_file_gets_the_defaults_and_the_arm_without_distillation() -> None:
    study = load(GOOD / "minimal.yaml")
    assert [(arm.name, arm.base.method.model_dump()["method"]) for arm in study.arms] == [
        ("none", "none"),
        ("kd", "kd"),
    ]
    assert study.report.baseline == "none"
    assert study.search.trials == 12 and study.search.seeds == (0, 1, 2) and study.search.pruner == "median"
    assert study.studies == GOOD / "studies"
    assert study.tracking.uri == f"sqlite:///{GOOD}/studies/mlflow.db" and study.tracking.experiment == "minimal"
    assert study.source == (GOOD / "minimal.yaml").read_text()


def test_everything_that_a_file_can_say() -> None:
    study = load(GOOD / "everything.yaml")
    plain, soft, ciba = study.arms
    assert plain.space == {
        "lr": FloatRange(1e-3, 1e-1, log=True),
        "batch_size": IntRange(20, 100, step=20),
    }
    assert soft.space == {
        "lambda_kd": FloatRange(0.1, 0.9, step=0.4),
        "schedule": Choice(("constant", "cosine")),
        "lr": FloatRange(1e-3, 1e-1, log=True),
    }  # its own batch size is fixed, so the shared range does not apply
    assert soft.base.training.batch_size == 40 and soft.base.training.epochs == 9
    assert soft.base.training.lr == 0.01 and soft.base.training.optimizer == "sgd"
    assert ciba.space["bottleneck_dim"] == Choice((2, 4, 16))
    assert ciba.space["teacher.feature_dim"] == Choice((16, 64))
    assert ciba.base.student.feature_dim == 16 and plain.base.student.feature_dim == 32
    assert ciba.base.data.model_dump()["teacher"] == "pix" and plain.base.data.model_dump()["teacher"] == "fac"
    assert study.search.objectives == (Objective(metric="val/loss", direction="minimize"),)
    assert study.search.seeds == (3, 1, 4) and study.search.pruner == "asha"
    assert study.studies == GOOD.parent / "results"
    assert study.tracking.uri == f"sqlite:///{GOOD}/runs/mlflow.db"
    assert study.report.baseline == "plain"


def test_pretraining_is_as_training_where_it_says_nothing_and_the_same_for_every_arm() -> None:
    study = load(GOOD / "everything.yaml")
    for arm in study.arms:
        recipe = arm.base.pretraining
        assert (recipe.epochs, recipe.optimizer, recipe.monitor) == (12, "adamw", "val/accuracy")
        assert (recipe.batch_size, recipe.lr, recipe.schedule) == (50, 0.01, "cosine")


def test_the_monitor_follows_the_objective() -> None:
    assert load(GOOD / "everything.yaml").training.monitor == "val/loss"
    assert load(GOOD / "images.yaml").training.monitor == "val/macro_f1"
    assert load(GOOD / "minimal.yaml").training.monitor == "val/accuracy"


def test_aliases_anchors_and_declared_ranges_come_out_by_canonical_name() -> None:
    none, kd, feature_kd, ciba = load(GOOD / "aliases.yaml").arms
    assert none.space == {"batch_size": Choice((50, 100)), "student.feature_dim": Choice((64, 128))}
    assert kd.space["lambda_kd"] == FloatRange(0.1, 0.9)
    assert ciba.space["lambda_kd"] == FloatRange(0.01, 100.0, log=True)
    assert "lambda_kd" not in feature_kd.space and feature_kd.base.method.model_dump()["lambda_kd"] == 2.5
    assert kd.base.method.model_dump()["temperature"] == 3.0
    assert ciba.space["bottleneck_dim"] == Choice((8, 64))
    assert repr(ciba.space["pretraining.lr"]) == "Choice(options=(0.001, 0.0001))"
    assert none.base.student.model_dump()["hidden"] == (32,) and none.base.teacher.model_dump()["hidden"] == (128,)
    assert none.base.training.lr == 0.01


def test_several_objectives() -> None:
    study = load(GOOD / "two_objectives.yaml")
    assert study.search.objectives == (
        Objective(metric="val/accuracy", direction="maximize"),
        Objective(metric="val/ece", direction="minimize"),
    )
    assert study.search.pruner == "none" and study.search.seeds == (0,)


def test_a_named_baseline_keeps_the_arms_as_they_are() -> None:
    study = load(GOOD / "named_baseline.yaml")
    assert [arm.name for arm in study.arms] == ["mse", "softer"] and study.report.baseline == "mse"
    assert study.arms[0].space == {"data.overlap": Choice((0, 2, 4, 6, 8, 10))}


def test_an_arm_may_have_another_network() -> None:
    none, small = load(GOOD / "images.yaml").arms
    assert none.base.student.model_dump()["model"] == "cnn"
    assert small.base.student.model_dump()["hidden"] == (32,) and small.base.student.feature_dim == 128


def test_a_swept_base_value_lies_in_its_range(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    text = (GOOD / "minimal.yaml").read_text().replace("{kd: }", "{ciba: {space: {H: [2, 4]}}}")
    path.write_text(text.replace("student: {model: mlp}", "student: {model: mlp, feature_dim: 4}"))
    assert load(path).arm("ciba").base.method.model_dump()["bottleneck_dim"] == 2


def test_the_quickstart_is_the_study_of_the_issue() -> None:
    study = load(ROOT / "sweep.yaml")
    assert [arm.name for arm in study.arms] == ["none", "feature_kd", "ciba", "kd"]
    options = study.arm("ciba").space["bottleneck_dim"]
    assert isinstance(options, Choice) and all(int(option).bit_count() == 1 for option in options.options)
    assert set(study.arm("kd").space) >= {"temperature", "lambda_kd"}
    assert len(study.search.seeds) >= 3 and study.search.pruner == "median"


@pytest.mark.slow
def test_loading_imports_neither_ray_nor_mlflow_nor_optuna() -> None:
    code = (
        "import sys; from pathlib import Path; from study.parsing.loader import load\n"
        f"load(Path({str(GOOD / 'minimal.yaml')!r}))\n"
        "print(sorted({'ray', 'mlflow', 'optuna'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout == "[]\n"
