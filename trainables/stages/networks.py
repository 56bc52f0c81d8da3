"""The stages of frozen networks: a unimodal network, and the outputs of one for every row of the data."""

from typing import ClassVar, Literal

import torch
from pydantic import SerializeAsAny
from torch import Tensor

from trainables.common.distributed import Workers, derive_seed
from trainables.common.types import Batch, PairedData
from trainables.config import TrainingConfig, TrialConfig
from trainables.methods.none import NoDistillation, NoneConfig
from trainables.models import MODELS
from trainables.models.base import Model, ModelConfig
from trainables.stages.artifacts import Artifact, Stage, StageStore
from trainables.stages.prepared import SPLITS, PreparedData, data_stage, read_prepared
from trainables.tasks import TASKS
from trainables.training.inputs import network_inputs, split_for, to_device
from trainables.training.loop import train
from trainables.training.session import DTYPES, Problem, run_model

Role = Literal["teacher", "student"]


class UnimodalModel(Stage):
    """One network trained on one modality with the task loss alone (UNIMODAL of the CIBA paper's Algorithm 1)."""

    name: ClassVar[str] = "unimodal"
    version: ClassVar[int] = 2
    prepared: PreparedData
    role: Role
    """Whose inputs the network sees."""
    model: SerializeAsAny[ModelConfig]
    training: TrainingConfig
    seed: int

    def parents(self) -> tuple[Stage, ...]:
        return (self.prepared,)

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        data = to_device(read_prepared(stages, self.prepared), device, DTYPES[self.training.precision])
        seen, val = (split_for(self.model, self.role, split) for split in (data.train, data.val))
        model = build_model(self.model, seen, data.num_classes, self.seed, self.role)
        model.to(device, DTYPES[self.training.precision])
        task = TASKS[self.prepared.data.task]
        method = NoDistillation(NoneConfig(), self.model.feature_dim, 0, task)
        problem = Problem(model, method, seen, val, None, task)
        done = train(problem, self.training, self.seed, workers=Workers(device=device))
        notes = {"history": [vars(report) for report in done.history], "selected_epoch": done.best_epoch}
        return Artifact({f"state/{name}": value for name, value in model.state_dict().items()}, notes)


class FrozenOutputs(Stage):
    """Logits and features of a trained unimodal network for every row of every split."""

    name: ClassVar[str] = "outputs"
    version: ClassVar[int] = 1
    unimodal: UnimodalModel

    def parents(self) -> tuple[Stage, ...]:
        return (self.unimodal.prepared, self.unimodal)

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        data = read_prepared(stages, self.unimodal.prepared)
        model = restore_unimodal(stages, self.unimodal, data, device)
        return Artifact(outputs_by_split(model, self.unimodal.model, self.unimodal.role, data, device), {})


class PretrainedOutputs(Stage):
    """Outputs of a pretrained network for every row of every split, with all views and captions."""

    name: ClassVar[str] = "pretrained"
    version: ClassVar[int] = 1
    prepared: PreparedData
    role: Role
    """Whose inputs the network sees."""
    model: SerializeAsAny[ModelConfig]

    def parents(self) -> tuple[Stage, ...]:
        return (self.prepared,)

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        data = read_prepared(stages, self.prepared)
        model = teacher_network(stages, self, data, device)
        return Artifact(outputs_by_split(model, self.model, self.role, data, device), {})


def outputs_stage(config: TrialConfig, role: Role) -> FrozenOutputs:
    """The stage of the outputs of the trial's unimodal teacher, or of the student trained without a teacher."""
    model = config.teacher if role == "teacher" else config.student
    data = config.data.for_seed(config.seed)
    if role == "student" and model.sees == "own":
        data = data.for_student()  # so that it is trained once for all teachers
    prepared = data_stage(data)
    training, seed = config.pretraining, config.seed
    return FrozenOutputs(
        unimodal=UnimodalModel(prepared=prepared, role=role, model=model, training=training, seed=seed)
    )


def teacher_stage(config: TrialConfig) -> FrozenOutputs | PretrainedOutputs:
    """The stage of the outputs of the trial's teacher, which the study trains or which is pretrained."""
    if not config.teacher.is_pretrained:
        return outputs_stage(config, "teacher")
    prepared = data_stage(config.data.for_seed(config.seed))
    return PretrainedOutputs(prepared=prepared, role="teacher", model=config.teacher)


def build_model(config: ModelConfig, split: Batch, num_classes: int, seed: int, role: Role = "student") -> Model:
    """An untrained network on the CPU.

    Args:
        config: the network.
        split: rows whose shapes its inputs have, as `split_for` returns them.
        num_classes: number of outputs.
        seed: with `role`, the only source of the initial weights.
        role: without it, a teacher and a student of the same shape would start with the same weights.

    Raises:
        ValueError: if the network does not take inputs of these shapes.

    """
    entry = MODELS[config.kind]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, "init", *([role] if role == "teacher" else [])))
        shapes = tuple(tuple(part.shape[1:]) for part in network_inputs(split))
        return entry.build(config, shapes[0] if len(shapes) == 1 else shapes, num_classes)


def restore_unimodal(stages: StageStore, stage: UnimodalModel, data: PairedData, device: torch.device) -> Model:
    """The trained network of a UnimodalModel stage, on `device`, in eval mode."""
    seen = split_for(stage.model, stage.role, data.train)
    model = build_model(stage.model, seen, data.num_classes, stage.seed, stage.role)
    arrays = stages.get(stage, device).arrays
    state = {name.removeprefix("state/"): value for name, value in arrays.items()}
    model.to(DTYPES[stage.training.precision]).load_state_dict(state)
    return model.to(device).eval()


def teacher_network(
    stages: StageStore, stage: FrozenOutputs | PretrainedOutputs, data: PairedData, device: torch.device
) -> Model:
    """The frozen network of an outputs stage, on `device`, in eval mode."""
    if isinstance(stage, FrozenOutputs):
        model = restore_unimodal(stages, stage.unimodal, data, device)
    else:
        seen = split_for(stage.model, stage.role, data.train)
        model = build_model(stage.model, seen, data.num_classes, seed=0, role=stage.role).to(device).eval()
    return model.requires_grad_(False)


def outputs_by_split(
    model: Model, config: ModelConfig, role: Role, data: PairedData, device: torch.device
) -> dict[str, Tensor]:
    """A network's outputs for every row of every split, by `split/part`."""
    arrays: dict[str, Tensor] = {}
    for name in SPLITS:
        outputs = run_model(model, network_inputs(split_for(config, role, data.split(name))), device)
        arrays |= {f"{name}/{part}": value for part, value in outputs._asdict().items() if value is not None}
    return arrays
