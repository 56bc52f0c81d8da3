"""The presets of Tables 1a, 1b, 3 and 7: complete as the paper has them, and each kind of arm trained at reduced size.

Nobody here has the data, so the presets are read over tiny generated copies of the official layouts.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from search_spaces.domains import Choice
from study.config.study_config import Arm, ResourcesConfig, StudyConfig
from study.parsing.loader import load
from study.parsing.problems import StudyFileError
from study.planning.plan import make_plan
from study.report.format.document import Items
from study.report.sections.settings import data_notes
from study.report.write import write_report
from study.storage.store import StudyStore
from tests.helpers.generated import root
from tests.helpers.paths import ROOT
from trainables.config import TrialConfig
from trainables.data import DATASETS
from trainables.fitting import fit
from trainables.stages.artifacts import StageStore
from trainables.stages.prepared import prepared_stage

PRESETS = ROOT / "search_spaces" / "presets"

RAVDESS = ("ravdess_features", "image: [16, 32]")
REDUCED = {
    "ciba_table1a": RAVDESS,
    "ciba_table7": RAVDESS,
    "ciba_table1b": ("mmimdb_hdf5", "ends: [20, 30]"),
    "ciba_table3": ("vggsound", "seconds: 1.2, image: [40, 40], frames: 2"),
}
"""For each preset the generated layout, and what its tiny files are like."""

SGD = {"epochs": 100, "optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0, "batch_size": 64}
RECIPES: dict[str, dict[str, Any]] = {
    "ciba_table1a": SGD,
    "ciba_table7": SGD,
    "ciba_table1b": {"epochs": 100, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01, "batch_size": 128},
    "ciba_table3": {"epochs": 50, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 5e-5, "batch_size": 32},
}
GRIDS = {"ciba_table1a": 10, "ciba_table7": 10, "ciba_table1b": 6, "ciba_table3": 9}
"""Values 2^1 ... 2^n of H."""


def reduced(name: str, folder: Path) -> StudyConfig:
    """The preset over a generated layout; nothing else is changed but the batch, which must fit the few rows."""
    layout, fields = REDUCED[name]
    text = (PRESETS / f"{name}.yaml").read_text()
    text, found = re.subn(r"root: \S+,", f"root: {root(layout)}, {fields},", text)
    assert found == 1
    text = re.sub(r"batch_size: \d+", "batch_size: 4", text).replace("subset.txt", "clips.txt")
    text = text.replace("../../studies", "studies")
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return load(path)


@pytest.mark.parametrize("name", REDUCED)
def test_a_preset_has_the_papers_recipe_grid_and_seeds(name: str, tmp_path: Path) -> None:
    study, recipe = reduced(name, tmp_path), RECIPES[name]
    assert f"batch_size: {recipe['batch_size']}" in (PRESETS / f"{name}.yaml").read_text()
    for arm in study.arms:
        for training in (arm.base.training, arm.base.pretraining):
            values = training.model_dump(include=set(recipe) - {"batch_size"})
            assert values == {key: value for key, value in recipe.items() if key != "batch_size"}
        assert getattr(arm.base.method, "lambda_kd", 1) == 1
        ciba = arm.base.method.teacher_source == "bottleneck"
        assert arm.space == ({"bottleneck_dim": Choice(tuple(2**k for k in range(1, GRIDS[name] + 1)))} if ciba else {})
    assert study.search.seeds == (0, 1, 2, 3, 4) and study.search.sampler == "grid"
    assert study.search.trials >= GRIDS[name]


@pytest.mark.parametrize("name", REDUCED)
def test_a_preset_without_its_data_says_what_to_put_where(name: str, tmp_path: Path) -> None:
    path = tmp_path / "search_spaces" / "presets" / f"{name}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text((PRESETS / path.name).read_text())
    with pytest.raises(StudyFileError) as error:
        load(path)
    lines = str(error.value).splitlines()
    (problem,) = {line.partition("data: ")[2] for line in lines}
    dataset = reduced(name, tmp_path).arms[0].base.data.kind
    assert re.match(rf"\S+{name}\.yaml:\d+:\d+: data: {dataset} needs ", lines[0])
    assert f"'{tmp_path}/data/{dataset}" in problem and "put it there" in problem


def test_gpus_auto_is_what_the_machine_has() -> None:
    import torch

    assert ResourcesConfig.model_validate({"gpus": "auto"}).gpus == float(torch.cuda.is_available())
    assert ResourcesConfig.model_validate({"gpus": 0.5}).gpus == 0.5
    with pytest.raises(ValueError, match="valid number"):
        ResourcesConfig.model_validate({"gpus": "all"})


def arm_of(study: StudyConfig, name: str) -> Arm:
    return next(arm for arm in study.arms if arm.name == name)


SMALL_NETWORKS: dict[str, dict[str, Any]] = {
    "ravdess_audio": {"widths": [2, 2, 2], "pooled": [2, 2], "hidden": 4, "feature_dim": 8},
    "ravdess_image": {"widths": [2, 2, 2], "pooled": [2, 2], "hidden": 4, "feature_dim": 8},
    "maxout": {"hidden": [8], "head_hidden": 4, "feature_dim": 16},
    "resnet": {"width": 1, "norm": "batch"},
    "fusion": {"feature_dim": 16},
}


def small(network: dict[str, Any]) -> dict[str, Any]:
    """The same kind of network, narrower. A ResNet-50 keeps features of another width than a ResNet-18."""
    changed = {**network, **SMALL_NETWORKS[network["model"]]}
    if network["model"] == "resnet":
        changed["feature_dim"] = {18: 8, 50: 32}[network["depth"]]
    for encoder in ("teacher_encoder", "student_encoder"):
        if encoder in network:
            changed[encoder] = small(network[encoder])
    return changed


TRAINED = [
    ("ciba_table1a", ["mse", "ce_ciba", "clip_ciba", "margin"]),
    ("ciba_table7", ["fusion", "f2i_ciba", "i2a_mse"]),
    ("ciba_table1b", ["fusion", "image", "i2t_mse", "i2t_sa", "f2t_dvib", "f2t_vqvae"]),
    ("ciba_table3", ["v50_a18_mse", "a50_v18_ciba"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arms"), TRAINED)
def test_arms_of_a_preset_train_at_reduced_size(name: str, arms: list[str], tmp_path: Path) -> None:
    study, stages = reduced(name, tmp_path), StageStore(tmp_path / "stages")
    for which in arms:
        values = arm_of(study, which).base.model_dump(mode="json")
        for role in ("teacher", "student"):
            values[role] = small(values[role])
        for part in ("training", "pretraining"):
            values[part]["epochs"] = 2
        if "bottleneck_dim" in values["method"]:
            values["method"] |= {"bottleneck_dim": 2, "bottleneck_epochs": 2, "bottleneck_codes": 4}
            values["method"] |= {"bottleneck_heads": 1, "bottleneck_chunks": 2}
        result = fit(TrialConfig.model_validate(values), stages=stages).result
        score = {"mmimdb": "test/f1_micro"}.get(values["data"]["dataset"], "test/accuracy")
        assert result.status == "complete" and 0 <= result.metrics[score] <= 1, which


@pytest.mark.slow
def test_dry_run_of_a_preset(tmp_path: Path) -> None:
    """Trials and shared stages are counted; the teachers of five seeds serve all arms."""
    study = reduced("ciba_table1b", tmp_path)
    plan = make_plan(study, StudyStore(study.directory))
    assert sum(arm.trials for arm in plan.arms) == 5 * (5 + 6 * 6)


def test_a_fusion_student_is_another_trial_with_another_teacher_modality(tmp_path: Path) -> None:
    """`data.teacher` says nothing to a lone student, but a fusion sees it."""
    study = reduced("ciba_table1b", tmp_path)
    for which, same in (("none", True), ("fusion", False)):
        trial = arm_of(study, which).base
        other = trial.model_copy(update={"data": trial.data.model_copy(update={"teacher": "text"})})
        assert (trial.trial_id == other.trial_id) == same, which


def test_every_preset_data_set_says_why_generated_data_do_not_compare(tmp_path: Path) -> None:
    for name in REDUCED:
        data = reduced(name, tmp_path).arms[0].base.data
        assert DATASETS[data.kind].not_comparable(data)


def test_the_report_counts_what_was_skipped(tmp_path: Path) -> None:
    """One film is broken and allowed to be; arms with the same data share the line."""
    folder = Path(shutil.copytree(root("mmimdb_raw"), tmp_path / "films"))
    (folder / "dataset" / "0000002.jpeg").write_text("no picture")
    arms = "arms: {none: {}, image: {method: none, data: {student: image}}, mse: {method: feature_kd}}"
    data = "{dataset: mmimdb, root: films, layout: raw, skip_bad: 1}"
    model, training = "{model: maxout, hidden: [4], feature_dim: 4}", "{epochs: 1, batch_size: 4}"
    text = f"study: films\ndata: {data}\nteacher: {model}\nstudent: {model}\ntraining: {training}\n{arms}\n"
    (tmp_path / "study.yaml").write_text(text + "search: {metric: val/f1_micro}\n")
    study = load(tmp_path / "study.yaml")
    stages = StageStore(study.stages_directory)
    assert data_notes(study) == []
    stages.get(prepared_stage(study.arms[0].base))
    _, items = data_notes(study)
    assert isinstance(items, Items)
    assert items.items == ("`none`, `mse`: clips 12; clips skipped 1; skipped film 0000002",)
    report = write_report(study, StudyStore(study.directory)).with_name("report.md").read_text()
    assert "clips skipped 1; skipped film 0000002" in report
