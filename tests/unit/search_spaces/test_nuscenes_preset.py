"""The preset of Table 2: as in the paper except for the sizes, and each kind of arm trained at reduced size."""

import re
from pathlib import Path
from typing import Any

import pytest

from study.config.study_config import StudyConfig
from study.parsing.loader import load
from study.parsing.problems import StudyFileError
from study.parsing.published_tables import published_table
from tests.helpers.generated import root
from tests.helpers.paths import ROOT
from trainables.config import TrialConfig
from trainables.data import DATASETS
from trainables.fitting import fit
from trainables.stages.artifacts import StageStore

PRESET = ROOT / "search_spaces" / "presets" / "ciba_table2.yaml"
SMALL_NETWORK: dict[str, Any] = {"cells": 8, "bev_width": 8, "feature_dim": 128, "bev_blocks": 1}


def reduced(folder: Path) -> StudyConfig:
    """The preset over the generated layout; the batch must fit the few rows."""
    text = PRESET.read_text().replace("../../studies", "studies").replace("v1.0-trainval,", "v1.0-mini,")
    text, found = re.subn(r"root: \S+,", f"root: {root('nuscenes')}, pillars: 32,", text)
    assert found == 1
    path = folder / PRESET.name
    path.write_text(text.replace("batch_size: 8", "batch_size: 2"))
    return load(path)


@pytest.mark.slow
def test_the_papers_recipe_grid_and_seeds(tmp_path: Path) -> None:
    study = reduced(tmp_path)
    assert "batch_size: 8" in PRESET.read_text()
    for arm in study.arms:
        for training in (arm.base.training, arm.base.pretraining):
            assert (training.epochs, training.optimizer, training.lr, training.weight_decay) == (
                24,
                "adamw",
                2e-4,
                0.01,
            )
    widths = {arm.name: getattr(arm.base.method, "bottleneck_dim", None) for arm in study.arms}
    assert [h for h in widths.values() if h] == [2, 4, 8, 16, 32, 64, 128]
    assert study.search.seeds == (0, 1, 2, 3, 4)
    table = published_table("ciba_table2")
    assert list(table.rows) == [name for name in ("lidar", *(n for n in widths if n != "lidar"))]
    assert {metric for row in table.rows.values() for metric in row.values} == {"test/nds"}


def test_no_cell_of_it_is_comparable(tmp_path: Path) -> None:
    for arm in reduced(tmp_path).arms:
        assert "every 2nd sample" in (DATASETS["nuscenes"].not_comparable(arm.base.data) or "")


def test_without_data_it_says_what_to_put_where(tmp_path: Path) -> None:
    path = tmp_path / "search_spaces" / "presets" / PRESET.name
    path.parent.mkdir(parents=True)
    path.write_text(PRESET.read_text())
    with pytest.raises(StudyFileError) as error:
        load(path)
    assert f"nuScenes is expected in root = '{tmp_path}/data/nuscenes'" in str(error.value)
    assert re.match(rf"\S+{PRESET.name}:\d+:\d+: ", str(error.value))


@pytest.mark.slow
def test_each_kind_of_arm_trains(tmp_path: Path) -> None:
    stages = StageStore(tmp_path / "stages")
    for arm in reduced(tmp_path).arms:
        if arm.name in ("none", "lidar", "mse", "mse_gt", "ciba_4"):
            values = arm.base.model_dump()
            for part in ("teacher", "student"):
                values[part] |= SMALL_NETWORK | ({"widths": [4]} if "widths" in values[part] else {})
            for part in ("training", "pretraining"):
                values[part] |= {"epochs": 1}
            if arm.name == "ciba_4":
                values["method"]["bottleneck_epochs"] = 1
            assert "test/nds" in fit(TrialConfig.model_validate(values), stages=stages).result.metrics
