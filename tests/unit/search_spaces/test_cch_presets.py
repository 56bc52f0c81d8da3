"""The presets of the CCH paper's real data: complete as the paper has them, over tiny generated layouts."""

import re
from pathlib import Path
from typing import Any

import pytest

from search_spaces.domains import Choice
from study.config.study_config import Arm, StudyConfig
from study.parsing.loader import load
from study.planning.plan import make_plan
from study.storage.store import StudyStore
from tests.helpers.generated import root
from tests.helpers.paths import ROOT
from trainables.config import TrialConfig
from trainables.fitting import fit
from trainables.stages.artifacts import StageStore
from trainables.stages.networks import outputs_stage

PRESETS = ROOT / "search_spaces" / "presets"
REDUCED = {
    "cch_mnist_m": ("mnist_m", "val: 20"),
    "cch_mosei": ("mosei_mmsa", ""),
    "cch_tcga_brca": ("tcga_linkedomics", ""),
    "cch_tcga_kipan": ("tcga_linkedomics", ""),
    "cch_tcga_lihc": ("tcga_linkedomics", ""),
}
"""For each preset the generated layout, and what its tiny files need."""
LAMBDAS, TEMPERATURES = Choice((0.2, 0.3, 0.5, 0.7, 0.8)), Choice((1, 2, 3, 4))
LEVELS: dict[str, dict[str, Choice]] = {
    "cch_mnist_m": {"data.teacher_blur": Choice((0, 0.5, 1, 1.5, 2, 3, 4))},
    "cch_mosei": {"data.teacher_noise": Choice((0, 0.5, 1, 2, 4))},
}
ARMS = {"cch_mnist_m": 2, "cch_mosei": 5, "cch_tcga_brca": 21, "cch_tcga_kipan": 21, "cch_tcga_lihc": 21}


def reduced(name: str, folder: Path) -> StudyConfig:
    """The preset over a generated layout; nothing else is changed but the batch, which must fit the few rows."""
    layout, fields = REDUCED[name]
    text = (PRESETS / f"{name}.yaml").read_text()
    text, found = re.subn(r"root: [^,}]+", f"root: {root(layout)}{', ' * bool(fields)}{fields}", text)
    assert found == 1
    text = re.sub(r"batch_size: \d+", "batch_size: 4", text).replace("../../studies", "studies")
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return load(path)


def plain(domain: Any) -> list[float]:
    return [float(option) for option in domain.options]


@pytest.mark.parametrize("name", REDUCED)
def test_a_preset_has_the_papers_grids_and_seeds_and_equal_networks(name: str, tmp_path: Path) -> None:
    study = reduced(name, tmp_path)
    wanted = {"lambda_kd": LAMBDAS, "temperature": TEMPERATURES, **LEVELS.get(name, {})}
    distilled = [arm for arm in study.arms if arm.base.method.teacher_source == "teacher"]
    assert len(study.arms) == ARMS[name] and study.search.seeds == (0, 1, 2, 3, 4) and study.search.sampler == "grid"
    for arm in study.arms:
        space = wanted if arm in distilled else {}
        assert {key: plain(domain) for key, domain in arm.space.items()} == {k: plain(v) for k, v in space.items()}
        assert (arm.size() or 0) <= study.search.trials and arm.base.training == arm.base.pretraining
        assert arm.base.student.sees == "both" or arm.base.student == arm.base.teacher
    about = (PRESETS / f"{name}.yaml").read_text()
    trainings = sum((arm.size() or 0) * 5 for arm in study.arms)
    assert f"{trainings:,} trainings" in about.replace("\n# ", " "), trainings


RECIPES: dict[str, dict[str, Any]] = {
    "cch_mnist_m": {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "epochs": 20},
    "cch_mosei": {"optimizer": "adamw", "lr": 1e-3},
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes(name: str, tmp_path: Path) -> None:
    training = reduced(name, tmp_path).training
    assert training.model_dump(include=set(RECIPES[name])) == RECIPES[name]


def test_the_three_cohorts_differ_in_nothing_else(tmp_path: Path) -> None:
    arms = {}
    for cohort in ("BRCA", "KIPAN", "LIHC"):
        study = reduced(f"cch_tcga_{cohort.lower()}", tmp_path)
        assert {arm.base.data.model_dump()["cohort"] for arm in study.arms} == {cohort}
        dumps = [arm.model_dump(mode="json") for arm in study.arms]
        for dump in dumps:
            del dump["base"]["data"]["cohort"]
        arms[cohort] = dumps
    assert arms["BRCA"] == arms["KIPAN"] == arms["LIHC"]


def test_dry_run_counts_a_teacher_for_each_level_and_seed(tmp_path: Path) -> None:
    """Seven blurs times five seeds; the student alone is trained on one preparation."""
    study = reduced("cch_mnist_m", tmp_path)
    plan = make_plan(study, StudyStore(study.directory))
    assert sum(arm.trials for arm in plan.arms) == 705
    stages = {stage.name: stage.needed for stage in plan.stages}
    assert stages["unimodal (teacher)"] == 35 and stages["prepared"] == 7


def arm_of(study: StudyConfig, name: str) -> Arm:
    """The last of the arms that were written under this name."""
    return next(arm for arm in reversed(study.arms) if name in (arm.name, arm.written))


def test_every_arm_is_compared_with_the_baseline_of_its_student(tmp_path: Path) -> None:
    for name in REDUCED:
        study = reduced(name, tmp_path)
        assert study.criterion is not None
        for arm in study.arms:
            base = study.arm(study.baseline_of(arm)).base
            assert base.method.teacher_source == "nothing" and base.student.sees == "own"
            assert getattr(base.data, "student", "") == getattr(arm.base.data, "student", ""), arm.name


def test_a_spoilt_teacher_is_another_stage_and_the_student_the_same(tmp_path: Path) -> None:
    for name, which, key in (
        ("cch_mnist_m", "kd", "data.teacher_blur"),
        ("cch_mosei", "kd", "data.teacher_noise"),
    ):
        arm = arm_of(reduced(name, tmp_path), which)
        low, high = (arm.trial({key: level, "lambda_kd": 0.5, "temperature": 2.0}, 0) for level in (0.0, 2.0))
        assert outputs_stage(low, "teacher").key != outputs_stage(high, "teacher").key
        assert outputs_stage(low, "student").key == outputs_stage(high, "student").key


TRAINED = [("cch_mnist_m", ["kd"]), ("cch_mosei", ["none", "kd"]), ("cch_tcga_kipan", ["kd", "fusion_kd"])]


@pytest.mark.parametrize(("name", "arms"), TRAINED)
def test_arms_train_at_reduced_size(name: str, arms: list[str], tmp_path: Path) -> None:
    study, stages = reduced(name, tmp_path), StageStore(tmp_path / "stages")
    for which in arms:
        values = arm_of(study, which).base.model_dump(mode="json")
        for part in ("training", "pretraining"):
            values[part]["epochs"] = 1
        result = fit(TrialConfig.model_validate(values), stages=stages).result
        assert result.status == "complete", which
        assert all(0 <= result.metrics[f"test/{key}"] <= 1 for key in ("accuracy", "weighted_f1", "auc")), which
