"""The stage that trains a bottleneck between two frozen networks (CIBA paper, Algorithm 1)."""

from typing import ClassVar

import torch

from search_spaces.domains import Value
from trainables.bottlenecks import BOTTLENECKS
from trainables.bottlenecks.base import SHARED_FIELDS
from trainables.bottlenecks.training import PairedFeatures, train_bottleneck
from trainables.common.distributed import derive_seed
from trainables.common.types import rows_of
from trainables.config import TrialConfig
from trainables.methods.ciba import CIBAConfig
from trainables.stages.artifacts import Artifact, Stage, StageStore
from trainables.stages.networks import FrozenOutputs, outputs_stage
from trainables.stages.prepared import SPLITS


class Bottleneck(Stage):
    """A bottleneck between two frozen networks, and its outputs for the teacher's features (CIBA, Algorithm 1)."""

    name: ClassVar[str] = "bottleneck"
    version: ClassVar[int] = 1
    teacher: FrozenOutputs
    student: FrozenOutputs
    hyperparameters: dict[str, Value]
    """Only the method's fields that the bottleneck depends on, so trials that differ in other fields share it."""
    seed: int

    def parents(self) -> tuple[Stage, ...]:
        return (self.teacher, self.student)

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        sides = [stages.get(outputs).arrays for outputs in (self.teacher, self.student)]
        teacher, student = ({name: side[f"{name}/features"].to(device) for name in SPLITS} for side in sides)
        features = {name: PairedFeatures(rows_of(teacher[name]), rows_of(student[name])) for name in SPLITS}
        config = CIBAConfig.model_validate(self.hyperparameters)
        seed = derive_seed(self.seed, "bottleneck")
        trained = train_bottleneck(config, features["train"], features["val"], seed, device)
        arrays = {f"state/{name}": value for name, value in trained.model.state_dict().items()}
        for name, pair in features.items():
            rows = teacher[name].shape[:-1]
            arrays[f"{name}/features"] = trained.encode(pair.teacher).unflatten(0, rows)
            arrays[f"{name}/reconstruction"] = trained.reconstruct(pair.teacher).unflatten(0, rows)
        notes = {"history": [vars(report) for report in trained.history], "selected_epoch": trained.selected_epoch}
        return Artifact(arrays, notes)


def bottleneck_stage(config: TrialConfig) -> Bottleneck:
    """The bottleneck of a CIBA trial."""
    method = config.method
    assert isinstance(method, CIBAConfig)
    fields = method.model_dump(mode="json", include={*SHARED_FIELDS, *BOTTLENECKS[method.bottleneck].fields})
    sides = {role: outputs_stage(config, role) for role in ("teacher", "student")}
    return Bottleneck(**sides, hyperparameters=fields, seed=config.seed)
