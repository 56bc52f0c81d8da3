"""The stages of distillation: prepared data, unimodal networks, their frozen outputs, bottlenecks."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import ClassVar, Literal

import torch
from pydantic import SerializeAsAny
from torch import Tensor

from search_spaces.domains import Value
from trainables.bottlenecks import BOTTLENECKS
from trainables.bottlenecks.base import SHARED_FIELDS
from trainables.bottlenecks.training import PairedFeatures, train_bottleneck
from trainables.common.distributed import Workers, derive_seed
from trainables.common.types import Batch, ModelOutput, PairedData, rows_of
from trainables.config import EvaluationConfig, TrainingConfig, TrialConfig, canonical_json
from trainables.data import DATASETS
from trainables.data.common.base import DataConfig, load_data
from trainables.data.readers.lazy_images import Decoded
from trainables.methods.base import TeacherSource
from trainables.methods.ciba import CIBAConfig
from trainables.methods.none import NoDistillation, NoneConfig
from trainables.models import MODELS
from trainables.models.base import Model, ModelConfig
from trainables.stages.artifacts import Artifact, Stage, StageStore
from trainables.tasks import TASKS
from trainables.training.inputs import inputs_of, seen_by, to_device
from trainables.training.loop import train
from trainables.training.session import DTYPES, Problem, run_model

SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")
Role = Literal["teacher", "student"]
FILES = "files"
"""In the place of `teacher`, where pictures stayed in their files."""


class PreparedData(Stage):
    """The splits of a data set, ready to be batched."""

    name: ClassVar[str] = "prepared"
    version: ClassVar[int] = 2
    data: SerializeAsAny[DataConfig]
    fingerprint: str
    """Of the raw data, so that changed files make another artifact."""

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        entry = DATASETS[getattr(self.data, "dataset")]  # noqa: B009  (every data config names its dataset)
        paired = load_data(entry, self.data, stages.workspace(self))
        arrays: dict[str, Tensor] = {}
        for name in SPLITS:
            for field, tensor in paired.split(name)._asdict().items():
                left = isinstance(tensor, Decoded)  # in its files, whose names are kept in its stead
                arrays[f"{name}/{FILES if left else field}"] = tensor.photos.files if left else tensor
        if paired.prompts is not None:
            arrays["prompts"] = paired.prompts
        return Artifact(arrays, {"num_classes": paired.num_classes, "notes": paired.notes})


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
        data = to_device(read_paired(stages, self.prepared), device, DTYPES[self.training.precision])
        seen, val = (seen_by(self.model, self.role, split) for split in (data.train, data.val))
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
        data = read_paired(stages, self.unimodal.prepared)
        model = restore_unimodal(stages, self.unimodal, data, device)
        return Artifact(all_outputs(model, self.unimodal.model, self.unimodal.role, data, device), {})


class PretrainedOutputs(Stage):
    """What a network that comes trained makes of every row of every split: of all views and captions."""

    name: ClassVar[str] = "pretrained"
    version: ClassVar[int] = 1
    prepared: PreparedData
    role: Role
    """Whose inputs the network sees."""
    model: SerializeAsAny[ModelConfig]

    def parents(self) -> tuple[Stage, ...]:
        return (self.prepared,)

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        data = read_paired(stages, self.prepared)
        model = teacher_network(stages, self, data, device)
        return Artifact(all_outputs(model, self.model, self.role, data, device), {})


class Bottleneck(Stage):
    """A bottleneck between two frozen networks, and what it makes of the teacher (CIBA paper, Algorithm 1)."""

    name: ClassVar[str] = "bottleneck"
    version: ClassVar[int] = 1
    teacher: FrozenOutputs
    student: FrozenOutputs
    hyperparameters: dict[str, Value]
    """The method's fields that the bottleneck depends on, and no others: trials that differ in the rest share it."""
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


def prepared_stage(config: TrialConfig) -> PreparedData:
    """The trial's data; without a teacher, what the student alone is known by."""
    data = config.data.for_seed(config.seed)
    if config.method.teacher_source == "nothing" and config.student.sees == "own":
        data = data.for_student()
    return prepared_data(data)


def prepared_data(data: DataConfig) -> PreparedData:
    """These data, as their raw files are now."""
    return PreparedData(data=data, fingerprint=fingerprint(canonical_json(data.model_dump(mode="json"))))


@cache
def fingerprint(data_json: str) -> str:
    """Fingerprint of a data config's raw files, which are hashed once in a process, not once in a trial."""
    values = json.loads(data_json)
    dataset = DATASETS[values["dataset"]]
    return dataset.fingerprint(dataset.config.model_validate(values))


def evaluation_stage(config: TrialConfig, evaluation: EvaluationConfig) -> PreparedData:
    """Further data on which the trial's student is measured."""
    return prepared_data(evaluation.data.for_seed(config.seed))


def outputs_stage(config: TrialConfig, role: Role) -> FrozenOutputs:
    """What the trial's unimodal teacher, or the student trained without a teacher, makes of the data."""
    model = config.teacher if role == "teacher" else config.student
    data = config.data.for_seed(config.seed)
    if role == "student" and model.sees == "own":
        data = data.for_student()  # so that it is trained once, however many teachers there are
    prepared = prepared_data(data)
    training, seed = config.pretraining, config.seed
    return FrozenOutputs(
        unimodal=UnimodalModel(prepared=prepared, role=role, model=model, training=training, seed=seed)
    )


def teacher_stage(config: TrialConfig) -> FrozenOutputs | PretrainedOutputs:
    """What the trial's teacher, trained by the study or before, makes of the data."""
    if not config.teacher.comes_trained:
        return outputs_stage(config, "teacher")
    prepared = prepared_data(config.data.for_seed(config.seed))
    return PretrainedOutputs(prepared=prepared, role="teacher", model=config.teacher)


def bottleneck_stage(config: TrialConfig) -> Bottleneck:
    """The bottleneck of a CIBA trial."""
    kind = BOTTLENECKS[getattr(config.method, "bottleneck")]  # noqa: B009
    fields = config.method.model_dump(mode="json", include={*SHARED_FIELDS, *kind.fields})
    sides = {role: outputs_stage(config, role) for role in ("teacher", "student")}
    return Bottleneck(**sides, hyperparameters=fields, seed=config.seed)


def nullified_stage(config: TrialConfig) -> Stage:
    """The nullified teacher of a `nullified_kd` trial, whose module builds on this one."""
    from trainables.stages import channel_ablation as nullified

    return nullified.nullified_stage(config)


TARGETS: dict[TeacherSource, Callable[[TrialConfig], Stage | None]] = {
    "nothing": lambda config: None,
    "teacher": teacher_stage,
    "bottleneck": bottleneck_stage,
    "nullified": nullified_stage,
}
"""The stage whose train arrays a method is given as `teacher_out`."""


def target_stage(config: TrialConfig) -> Stage | None:
    """The stage that holds what the trial's student imitates; None without distillation."""
    return TARGETS[config.method.teacher_source](config)


def required_stages(config: TrialConfig) -> list[Stage]:
    """Every stage that the trial needs, parents before children, each once."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        for parent in stage.parents():
            visit(parent)
        found[stage.key] = stage

    further = (evaluation_stage(config, evaluation) for evaluation in config.evaluate)
    for stage in (prepared_stage(config), target_stage(config), *further):
        if stage is not None:
            visit(stage)
    return list(found.values())


def read_paired(stages: StageStore, prepared: PreparedData) -> PairedData:
    """The prepared splits."""
    arrays, notes = stages.get(prepared)
    if f"train/{FILES}" in arrays and getattr(prepared.data, "input", "") == "stored":
        raise ValueError(
            "data.input is 'stored', but these data were prepared to be decoded while training; delete "
            f"{stages.path(prepared)} to store their pixels, or write `input: decoded`"
        )
    splits = {name: read_split(prepared.data, arrays, name) for name in SPLITS}
    noted = notes["notes"]
    assert isinstance(noted, dict)
    return PairedData(**splits, num_classes=int(str(notes["num_classes"])), notes=noted, prompts=arrays.get("prompts"))


def read_split(data: DataConfig, arrays: Mapping[str, Tensor], name: str) -> Batch:
    """A split from the arrays of its stage."""
    found = {field: arrays.get(f"{name}/{field}") for field in Batch._fields}
    if f"{name}/{FILES}" in arrays:
        decoded = DATASETS[getattr(data, "dataset")].decoded  # noqa: B009
        assert decoded is not None, "who leaves pictures in their files can decode them"
        found["teacher"] = decoded(data, name, arrays[f"{name}/{FILES}"], found["indices"])
    return Batch(**found)  # pyright: ignore[reportArgumentType]


def read_targets(stages: StageStore, config: TrialConfig, device: torch.device) -> ModelOutput | None:
    """What the student imitates on the training rows. A bottleneck has no logits of its own: its teacher's stand in."""
    stage = target_stage(config)
    if stage is None:
        return None
    arrays = stages.get(stage, device).arrays
    logits = arrays if "train/logits" in arrays else stages.get(outputs_stage(config, "teacher"), device).arrays
    return ModelOutput(logits["train/logits"], arrays["train/features"], arrays.get("train/embeddings"))


def build_model(config: ModelConfig, split: Batch, num_classes: int, seed: int, role: Role = "student") -> Model:
    """A network for the inputs of `split` (as `seen_by` gives it), initialised from seed and role alone, on the CPU.

    Were the role left out, teacher and student of one shape would begin as the same network.
    """
    entry = MODELS[getattr(config, "model")]  # noqa: B009  (every model config names its model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, "init", *([role] if role == "teacher" else [])))
        shapes = tuple(tuple(part.shape[1:]) for part in inputs_of(split))
        return entry.build(config, shapes[0] if len(shapes) == 1 else shapes, num_classes)


def restore_unimodal(stages: StageStore, stage: UnimodalModel, data: PairedData, device: torch.device) -> Model:
    """The trained network of a UnimodalModel stage, on `device`, in eval mode."""
    seen = seen_by(stage.model, stage.role, data.train)
    model = build_model(stage.model, seen, data.num_classes, stage.seed, stage.role)
    arrays = stages.get(stage, device).arrays
    state = {name.removeprefix("state/"): value for name, value in arrays.items()}
    model.to(DTYPES[stage.training.precision]).load_state_dict(state)
    return model.to(device).eval()


def teacher_network(
    stages: StageStore, stage: FrozenOutputs | PretrainedOutputs, data: PairedData, device: torch.device
) -> Model:
    """The frozen network whose outputs a stage holds, on `device`, in eval mode."""
    if isinstance(stage, FrozenOutputs):
        model = restore_unimodal(stages, stage.unimodal, data, device)
    else:
        seen = seen_by(stage.model, stage.role, data.train)
        model = build_model(stage.model, seen, data.num_classes, seed=0, role=stage.role).to(device).eval()
    return model.requires_grad_(False)


def all_outputs(
    model: Model, config: ModelConfig, role: Role, data: PairedData, device: torch.device
) -> dict[str, Tensor]:
    """A network's outputs for every row of every split, by `split/part`."""
    arrays: dict[str, Tensor] = {}
    for name in SPLITS:
        outputs = run_model(model, inputs_of(seen_by(config, role, data.split(name))), device)
        arrays |= {f"{name}/{part}": value for part, value in outputs._asdict().items() if value is not None}
    return arrays
