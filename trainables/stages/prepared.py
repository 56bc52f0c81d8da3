"""The stage that prepares a data set: splits as arrays on disk, read back as PairedData."""

import json
from collections.abc import Mapping
from functools import cache
from typing import ClassVar, Literal

import torch
from pydantic import SerializeAsAny
from torch import Tensor

from trainables.common.types import Batch, PairedData
from trainables.config import EvaluationConfig, TrialConfig, canonical_json
from trainables.data import DATASETS
from trainables.data.common.base import DataConfig, load_data
from trainables.data.readers.lazy_images import LazyImages
from trainables.stages.artifacts import Artifact, Stage, StageStore

SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")

FILES = "files"
"""Replaces `teacher` in the names of the arrays where images stay in their files."""


class PreparedData(Stage):
    """The splits of a data set, ready to be batched."""

    name: ClassVar[str] = "prepared"
    version: ClassVar[int] = 2
    data: SerializeAsAny[DataConfig]
    fingerprint: str
    """Of the raw data, so that changed files give another key."""

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        entry = DATASETS[self.data.kind]
        paired = load_data(entry, self.data, stages.workspace(self))
        arrays: dict[str, Tensor] = {}
        for name in SPLITS:
            for field, tensor in paired.split(name)._asdict().items():
                left = isinstance(tensor, LazyImages)  # stays in its files: their names are stored
                arrays[f"{name}/{FILES if left else field}"] = tensor.files.paths if left else tensor
        if paired.prompts is not None:
            arrays["prompts"] = paired.prompts
        return Artifact(arrays, {"num_classes": paired.num_classes, "notes": paired.notes})


def prepared_stage(config: TrialConfig) -> PreparedData:
    """The stage of the trial's data. Without a teacher it does not depend on settings that concern only the teacher."""
    data = config.data.for_seed(config.seed)
    if config.method.teacher_source == "nothing" and config.student.sees == "own":
        data = data.for_student()
    return data_stage(data)


def evaluation_stage(config: TrialConfig, evaluation: EvaluationConfig) -> PreparedData:
    """The stage of additional data on which the trial's student is measured."""
    return data_stage(evaluation.data.for_seed(config.seed))


def data_stage(data: DataConfig) -> PreparedData:
    """The stage of these data, with the current fingerprint of their raw files."""
    return PreparedData(data=data, fingerprint=fingerprint(canonical_json(data.model_dump(mode="json"))))


@cache
def fingerprint(data_json: str) -> str:
    """Fingerprint of a data config's raw files. They are hashed once for each process, not for each trial."""
    values = json.loads(data_json)
    dataset = DATASETS[values["dataset"]]
    return dataset.fingerprint(dataset.config.model_validate(values))


def read_prepared(stages: StageStore, prepared: PreparedData) -> PairedData:
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
        decoded = DATASETS[data.kind].decoded
        assert decoded is not None, "who leaves pictures in their files can decode them"
        found["teacher"] = decoded(data, name, arrays[f"{name}/{FILES}"], found["indices"])
    return Batch(**found)  # pyright: ignore[reportArgumentType]
