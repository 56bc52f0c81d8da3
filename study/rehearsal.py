"""Rehearsal: what a training costs here, from a few real steps of the real networks on random numbers."""

import time

import torch

from trainables.artifacts import Stage
from trainables.bottlenecks.training import PairedFeatures, train_bottleneck
from trainables.config import TrainingConfig, TrialConfig
from trainables.data import DATASETS
from trainables.data.base import DataConfig, DataShape
from trainables.fit import build_method
from trainables.loop import DTYPES, Problem, train
from trainables.methods.base import Method
from trainables.methods.ciba import CIBAConfig
from trainables.methods.none import NoDistillation, NoneConfig
from trainables.models.base import ModelConfig
from trainables.stages import Bottleneck, UnimodalModel, build_model
from trainables.types import Batch, ModelOutput

BATCHES = 8
"""Batches in a rehearsed epoch; its time is scaled up to the real number."""


def training_seconds(config: TrialConfig) -> float:
    """Estimated seconds of the trial's own training, stages excluded."""
    shape = shape_of(config.data)
    widths = {"nothing": 0, "teacher": config.teacher.feature_dim}
    teacher_dim = widths.get(config.method.teacher_source, getattr(config.method, "bottleneck_dim", 0))
    method = build_method(config, teacher_dim)
    return rehearse(config.student, method, config.training, shape.student, shape, teacher_dim)


def stage_seconds(stage: Stage) -> float | None:
    """Estimated seconds of computing a stage, at most; None for a stage that trains nothing."""
    match stage:
        case UnimodalModel():
            shape = shape_of(stage.prepared.data)
            inputs = shape.teacher if stage.role == "teacher" else shape.student
            method = NoDistillation(NoneConfig(), stage.model.feature_dim, 0)
            return rehearse(stage.model, method, stage.training, inputs, shape, 0)
        case Bottleneck():
            return rehearse_bottleneck(stage)
    return None


def rehearse(
    model: ModelConfig,
    method: Method,
    training: TrainingConfig,
    inputs: tuple[int, ...],
    shape: DataShape,
    teacher_dim: int,
) -> float:
    """Train for a short epoch to warm up and for one on the clock, and scale."""
    rows = min(shape.train, BATCHES * training.batch_size)
    split = random_split(rows, inputs, shape.num_classes, DTYPES[training.precision])
    val = random_split(min(shape.val, rows), inputs, shape.num_classes, DTYPES[training.precision])
    features = torch.randn(rows, teacher_dim, dtype=split.student.dtype)
    targets = ModelOutput(torch.randn(rows, shape.num_classes, dtype=split.student.dtype), features)
    student = build_model(model, split, shape.num_classes, seed=0).to(split.student.dtype)
    problem = Problem(student, method.to(split.student.dtype), split, val, targets if teacher_dim else None)
    short = training.model_copy(update={"epochs": 1, "lr": min(training.lr, 1e-3), "monitor": "val/loss"})
    train(problem, short, seed=0)
    return train(problem, short, seed=0).seconds * training.epochs * shape.train / rows


def rehearse_bottleneck(stage: Bottleneck) -> float:
    """As `rehearse`, for all of `bottleneck_epochs`; it usually converges earlier."""
    config = CIBAConfig.model_validate(stage.hyperparameters)
    shape = shape_of(stage.teacher.unimodal.prepared.data)
    widths = (stage.teacher.unimodal.model.feature_dim, stage.student.unimodal.model.feature_dim)
    rows = min(shape.train, BATCHES * config.bottleneck_batch_size)
    train_pairs, val_pairs = (
        PairedFeatures(torch.randn(count, widths[0]), torch.randn(count, widths[1]))
        for count in (rows, min(shape.val, rows))
    )
    short = config.model_copy(update={"bottleneck_epochs": 1, "bottleneck_lr": min(config.bottleneck_lr, 1e-3)})
    train_bottleneck(short, train_pairs, val_pairs, seed=0)
    started = time.perf_counter()
    train_bottleneck(short, train_pairs, val_pairs, seed=0)
    return (time.perf_counter() - started) * config.bottleneck_epochs * shape.train / rows


def random_split(rows: int, inputs: tuple[int, ...], num_classes: int, dtype: torch.dtype) -> Batch:
    """Rows that look like a split of the data set."""
    values, labels = torch.randn(rows, *inputs, dtype=dtype), torch.arange(rows) % num_classes
    return Batch(values, values, labels, torch.ones(rows, dtype=torch.bool), torch.arange(rows))


def shape_of(data: DataConfig) -> DataShape:
    """What the data set will deliver, without loading it."""
    return DATASETS[getattr(data, "dataset")].shape(data)  # noqa: B009  (every data config names its dataset)
