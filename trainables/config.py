"""TrialConfig: everything that determines a trial's result, and the ids that are computed from it."""

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SerializeAsAny, field_validator, model_validator

from search_spaces.domains import Aliases, Choice, FloatRange
from trainables.common.types import Frozen, Json
from trainables.data import DATASETS
from trainables.data.common.base import DataConfig, identity_of
from trainables.methods import METHODS
from trainables.methods.base import MethodConfig
from trainables.models import MODELS
from trainables.models.base import ModelConfig
from trainables.tasks import TASKS

ID_LENGTH = 16
"""Hex digits of a trial or group id: 64 bits, a collision chance of 3e-8 at a million trials."""


class TrainingConfig(Frozen):
    """How one network is trained."""

    epochs: Annotated[int, Field(ge=1)] = 30
    """Passes over the training pairs."""
    batch_size: Annotated[int, Field(ge=2), Choice((32, 64, 128, 256)), Aliases("B")] = 64
    """Pairs in one optimisation step, over all workers together."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimiser; `sgd` uses `momentum`."""
    lr: Annotated[float, Field(gt=0), FloatRange(1e-4, 1e-1, log=True), Aliases("learning_rate")] = 1e-3
    """Learning rate at the start."""
    weight_decay: Annotated[float, Field(ge=0), FloatRange(1e-5, 1e-1, log=True)] = 0.01
    """Weight decay: decoupled for adamw, an L2 gradient for adam and sgd."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate over the epochs; `cosine` falls to 0 at the last step."""
    select: Literal["best", "last"] = "best"
    """Which epoch's weights are the result: the best by `monitor` (the first of equals), or the last."""
    monitor: str = "val/accuracy"
    """Validation metric by which `select: best` chooses."""
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    """Number format; bfloat16 is autocast over float32 weights."""


def check_name(name: str) -> str:
    """Check the name of an evaluation. Raises ValueError."""
    if name in ("train", "val", "test"):
        raise ValueError(f"must be none of the trial's own splits, but got {name!r}; name it after its data")
    return name


class EvaluationConfig(Frozen):
    """Additional data: the trained student is measured once on their test split. It is not trained on them."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$"), AfterValidator(check_name)]
    """Name of the evaluation; its metrics are `<name>/i2t_r1` and so on."""
    data: SerializeAsAny[DataConfig]
    """Data set, as in `data`."""

    @field_validator("data", mode="before")
    @classmethod
    def _choose_type(cls, data: object) -> object:
        return parse_config("data", data)


class TrialConfig(Frozen):
    """One trial, completely: two trials with equal configs give equal results."""

    data: SerializeAsAny[DataConfig]
    teacher: SerializeAsAny[ModelConfig]
    student: SerializeAsAny[ModelConfig]
    method: SerializeAsAny[MethodConfig]
    training: TrainingConfig = TrainingConfig()
    """How the student is trained."""
    pretraining: TrainingConfig = TrainingConfig()
    """How the unimodal teacher and student of the shared stages are trained."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of initialisation, data order and the teacher; the data split has its own seed in `data`."""
    evaluate: tuple[EvaluationConfig, ...] = ()
    """Additional data on which the trained student is measured."""

    @model_validator(mode="before")
    @classmethod
    def _choose_types(cls, values: object) -> object:
        """Turn plain mappings into the config class that their `dataset`, `model` or `method` names."""
        if not isinstance(values, dict):
            return values
        chosen = dict(values)
        return chosen | {key: parse_config(key, chosen[key]) for key in CHOICES if key in chosen}

    @model_validator(mode="after")
    def _check_together(self) -> "TrialConfig":
        for problem in incompatibilities(self):
            raise ValueError(f"{problem.path}: {problem.message}")
        return self

    @property
    def trial_id(self) -> str:
        """Identity of this trial: a hash of the full canonical config, never of differences from defaults."""
        return digest(self.canonical())

    @property
    def group_id(self) -> str:
        """Identity of the trials that differ from this one in the seed only."""
        canonical = self.canonical()
        del canonical["seed"]
        return digest(canonical)

    def canonical(self) -> dict[str, Json]:
        """Every field that can change the result, including defaults, as plain JSON values.

        Locations of raw files are left out. If the method uses no teacher, fields that concern only the teacher are
        left out too, unless the student sees both modalities: then the teacher's inputs are inputs of the student.
        """
        values = identity_of(self)
        if not self.evaluate:
            del values["evaluate"]
        if self.method.teacher_source == "nothing":
            del values["teacher"], values["pretraining"]
            for name in self.data.teacher_only if self.student.sees == "own" else ():
                del values["data"][name]
        return values


def parse_config(part: str, given: object) -> object:
    """The config of a part of a trial, from a plain mapping; other values are returned unchanged. Raises ValueError."""
    if not isinstance(given, dict):
        return given
    tag, classes = CHOICES[part]
    name = given.get(tag)
    if name not in classes:
        raise ValueError(f"{part}.{tag} must be one of {sorted(classes)}, but got {name!r}")
    return classes[name].model_validate(given)


class Incompatibility(Frozen):
    """Two fields that are valid separately and invalid together."""

    path: str
    """Dotted path of the field to change, e.g. `method.bottleneck_dim`."""
    message: str
    """Rule, value and remedy."""


def incompatibilities(config: TrialConfig) -> list[Incompatibility]:
    """Every rule about several parts of a trial that `config` breaks."""
    found: list[Incompatibility] = []
    dim = getattr(config.method, "bottleneck_dim", None)
    if dim is not None and dim > config.student.feature_dim:
        found.append(
            Incompatibility(
                path="method.bottleneck_dim",
                message=f"{dim} is larger than the student feature dimension {config.student.feature_dim}; "
                f"choose H <= {config.student.feature_dim} or a wider student.feature_dim",
            )
        )
    found += [
        fault
        for fault in (region_fault(config), cells_fault(config), weights_fault(config), *model_faults(config))
        if fault
    ]
    for evaluation in config.evaluate:
        if message := evaluation_fault(evaluation, config.data):
            found.append(Incompatibility(path="evaluate", message=message))
    allowed = config.method.tasks
    if allowed and config.data.task not in allowed:
        name, dataset = config.method.kind, config.data.kind
        found.append(
            Incompatibility(
                path="method.method",
                message=f"{name!r} takes data for {' or '.join(allowed)}, but {dataset!r} is for {config.data.task}; "
                f"use {alternatives(methods_for(config.data.task))}",
            )
        )
    return found


def methods_for(task: str) -> list[str]:
    """Names of the methods that can distil on data for `task`; methods made for this task come first."""
    distilling = {name: entry.config for name, entry in METHODS.items() if entry.config.teacher_source != "nothing"}
    usable = [name for name, config in distilling.items() if not config.tasks or task in config.tasks]
    return sorted(usable, key=lambda name: not distilling[name].tasks)


def alternatives(names: list[str]) -> str:
    """`a, b or c`."""
    return " or ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def region_fault(config: TrialConfig) -> Incompatibility | None:
    """The problem of a region of boxes with labels that are not boxes, or None."""
    region = getattr(config.method, "region", "all")
    if region == "all" or TASKS[config.data.task].regions is not None:
        return None
    message = f"{region!r} needs labels that say where things are, but those of {config.data.task} do not; write all"
    return Incompatibility(path="method.region", message=message)


def weights_fault(config: TrialConfig) -> Incompatibility | None:
    """The problem of a method whose weights are all 0, or None."""
    if config.method.active_terms:
        return None
    terms = ", ".join(config.method.terms)
    message = (
        f"needs a term with a weight above 0, but all of {terms} are 0; write for example {config.method.terms[0]}: 1"
    )
    return Incompatibility(path=f"method.{config.method.terms[0]}", message=message)


def cells_fault(config: TrialConfig) -> Incompatibility | None:
    """The problem of a teacher and a student with different numbers of cells, or None."""
    teacher, student = (getattr(model, "cells", None) for model in (config.teacher, config.student))
    if teacher == student or config.method.teacher_source == "nothing":
        return None
    message = f"features are compared cell by cell, but the teacher has cells = {teacher}, the student {student}"
    return Incompatibility(path="student.cells" if student else "teacher.cells", message=message)


def model_faults(config: TrialConfig) -> Iterator[Incompatibility]:
    """Models that cannot be used for the task, and methods that need a teacher trained by the study."""
    task, source = config.data.task, config.method.teacher_source
    used = {"student": config.student} | ({} if source == "nothing" else {"teacher": config.teacher})
    for part, model in used.items():
        if task in model.tasks or not (model.tasks or TASKS[task].sample_views):
            continue
        fitting = [name for name, entry in MODELS.items() if bool(entry.config.tasks) == bool(TASKS[task].sample_views)]
        name = model.kind
        message = f"{name!r} cannot learn from data for {task}; use {alternatives(fitting)}"
        yield Incompatibility(path=f"{part}.model", message=message)
    if config.teacher.is_pretrained and source not in ("nothing", "teacher"):
        method = config.method.kind
        message = f"{method!r} needs a teacher that the study trains, but this one comes trained; use clip_kd"
        yield Incompatibility(path="method.method", message=message)


def evaluation_fault(evaluation: EvaluationConfig, data: DataConfig) -> str | None:
    """Why a student that is trained on `data` cannot be measured on the evaluation's data, or None."""
    own, other = data.task, evaluation.data.task
    pairs = [TASKS[task].sample_views is not None for task in (own, other)]
    if own == other or all(pairs):
        return None
    return f"{evaluation.name!r} is data for {other}, but the student learns {own}; take data for the same task"


def canonical_json(value: object) -> str:
    """The unique JSON text of `value`: sorted keys, no spaces, shortest floats, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value: object, length: int = ID_LENGTH) -> str:
    """First `length` hex digits of the sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


CHOICES: dict[str, tuple[str, dict[str, type[Frozen]]]] = {
    "data": ("dataset", {name: entry.config for name, entry in DATASETS.items()}),
    "teacher": ("model", {name: entry.config for name, entry in MODELS.items()}),
    "student": ("model", {name: entry.config for name, entry in MODELS.items()}),
    "method": ("method", {name: entry.config for name, entry in METHODS.items()}),
}
"""For each part of a trial that comes from a table: the key that names the entry, and the entries."""
