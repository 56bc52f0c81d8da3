"""Studies with a criterion whose estimates are written instead of computed: no network is trained."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from study.config.resolved_study import ResolvedStudy
from study.config.study_config import StudyConfig
from study.parsing.loader import load
from study.planning.criterion import Cell, study_cells
from study.planning.resolve import resolve
from study.storage.store import StudyStore
from trainables.common.atomic_files import write_json
from trainables.stages.artifacts import StageStore

TEXT = """\
study: small
data: {dataset: mfeat, train: 70, val: 300}
teacher: {model: mlp, hidden: [8], feature_dim: 8}
student: {model: mlp, hidden: [8], feature_dim: 8}
training: {epochs: 1}
pairs: {teacher: [pix, fou], student: [fou, mor]}
arms:
  none:
  kd: {space: {lambda: [0.1, 0.2, 0.3, 0.4, 0.5]}}
search: {trials: 5, seeds: 3, sampler: grid, pruner: none}
criterion: {action: gate}
"""


def study_in(folder: Path, text: str = TEXT) -> ResolvedStudy:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return resolve(load(path), compute=False)


def cells(study: StudyConfig) -> dict[str, Cell]:
    return {cell.arm: cell for cell in study_cells(study, StudyStore(study.directory))}


def write_estimates(study: StudyConfig, gaps: dict[str, tuple[float, float]], labels: float = 1.0) -> None:
    """For each arm its gap, the same for every seed and estimator, and the gap's standard error."""
    assert study.criterion is not None
    stages = StageStore(study.stages_directory)
    for arm, (gap, error) in gaps.items():
        for settings in study.criterion.settings_by_name.values():
            for stage in cells(study)[arm].stages(settings):
                path = stages.path(stage)
                path.mkdir(parents=True, exist_ok=True)
                values = torch.tensor([labels + gap, labels, gap], dtype=torch.float64)
                save_file(
                    {"values": values, "errors": torch.full((3,), error, dtype=torch.float64)},
                    path / "arrays.safetensors",
                )
                notes = {"warnings": [], "rows": 300, "widths": [8, 8], "classes": 10}
                write_json(path / "stage.json", {"seconds": 2.0, "notes": notes})
