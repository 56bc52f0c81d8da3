"""Estimates how long a training takes on this machine, by timing a few steps of the real networks on random data."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from study.config.study_config import ResourcesConfig
from trainables.bottlenecks.training import PairedFeatures, train_bottleneck
from trainables.common.types import Batch, ModelOutput
from trainables.config import TrainingConfig, TrialConfig
from trainables.data import DATASETS
from trainables.data.common.base import DataConfig, DataShape
from trainables.fitting import build_method
from trainables.methods.base import Method
from trainables.methods.ciba import CIBAConfig
from trainables.methods.none import NoDistillation, NoneConfig
from trainables.models.base import ModelConfig
from trainables.stages.artifacts import CPU, Stage
from trainables.stages.bottleneck import Bottleneck
from trainables.stages.networks import Role, UnimodalModel, build_model
from trainables.tasks import TASKS, Task
from trainables.training.inputs import as_numbers, network_inputs, split_for
from trainables.training.loop import train
from trainables.training.session import DTYPES, Problem

BATCHES = 8
"""Batches of a timed epoch. The time is scaled up to the real number of batches."""

FEW_TOKENS = 1000
"""Number of different tokens in random captions. Every vocabulary is larger."""

USUAL_TEMPERATURE = 0.07
"""Temperature of random contrastive teachers."""

SLOW_SECONDS = 1.0
"""If a single batch takes longer, no whole epoch is timed."""


@contextmanager
def trial_threads(resources: ResourcesConfig) -> Iterator[None]:
    """Use as many threads as a trial has, because more threads would wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, int(resources.cpus)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training_seconds(config: TrialConfig) -> float:
    """Estimated seconds of the trial's training, without its stages."""
    widths = {"nothing": 0, **dict.fromkeys(("teacher", "nullified"), config.teacher.feature_dim)}
    teacher_dim = widths.get(config.method.teacher_source, getattr(config.method, "bottleneck_dim", 0))
    method = build_method(config, teacher_dim)
    return probe_training(config.student, "student", method, config.training, config.data, teacher_dim)


def stage_seconds(stage: Stage) -> float | None:
    """Upper estimate of the seconds to compute a stage; None for a stage that trains nothing."""
    match stage:
        case UnimodalModel():
            data = stage.prepared.data
            method = NoDistillation(NoneConfig(), stage.model.feature_dim, 0, TASKS[data.task])
            return probe_training(stage.model, stage.role, method, stage.training, data, 0)
        case Bottleneck():
            return probe_bottleneck(stage)
    return None


def probe_training(
    model: ModelConfig, role: Role, method: Method, training: TrainingConfig, data: DataConfig, teacher_dim: int
) -> float:
    """Train a short epoch to warm up, time another one, and scale its time. A slow network trains a single batch.

    Args:
        model: the network to train.
        role: the role whose data it gets.
        method: the distillation method.
        training: the training recipe.
        data: the data set; it is not loaded.
        teacher_dim: width of the targets; 0 without a teacher.

    Returns:
        Estimated seconds of the whole training.
    """
    short = training.model_copy(update={"epochs": 1, "lr": min(training.lr, 1e-3), "monitor": "val/loss"})
    shape = shape_of(data)
    for batches in (1, BATCHES):
        rows = min(shape.train, batches * training.batch_size)
        problem = random_problem(model, role, method, short, data, (rows, min(shape.val, rows), teacher_dim))
        train(problem, short, seed=0)
        seconds = train(problem, short, seed=0).seconds
        if seconds > SLOW_SECONDS:
            break
    return seconds * training.epochs * shape.train / rows


def random_problem(
    model: ModelConfig,
    role: Role,
    method: Method,
    training: TrainingConfig,
    data: DataConfig,
    sizes: tuple[int, int, int],
) -> Problem:
    """The real network and method with random data.

    Args:
        model: the network to train.
        role: the role whose data it gets.
        method: the distillation method.
        training: the training recipe.
        data: the data set; it is not loaded.
        sizes: number of training rows, number of validation rows, width of the targets.
    """
    rows, val_rows, teacher_dim = sizes
    shape, dtype, task = shape_of(data), DTYPES[training.precision], TASKS[data.task]
    split, val = (split_for(model, role, random_split(count, shape, task, dtype)) for count in (rows, val_rows))
    network = build_model(model, split, shape.num_classes, 0, role).to(dtype)
    targets = None
    if teacher_dim:
        with torch.no_grad():
            out = network(*(as_numbers(part[:1], CPU, dtype) for part in network_inputs(split)))
        targets = random_targets(out, rows, teacher_dim)
    return Problem(network, method.to(dtype), split, val, targets, task)


def random_targets(out: ModelOutput, rows: int, teacher_dim: int) -> ModelOutput:
    """Random outputs of a teacher.

    Args:
        out: the student's output for one row.
        rows: number of rows.
        teacher_dim: width of the teacher's features.

    Returns:
        Outputs with the student's shapes (rows, ...), but with `teacher_dim` features.
    """

    def like(part: Tensor, *widths: int) -> Tensor:
        return torch.randn(rows, *part.shape[1 : part.ndim - len(widths)], *widths, dtype=part.dtype)

    features = like(out.features, teacher_dim)
    if out.embeddings is None:
        return ModelOutput(like(out.logits), features)
    embeddings = functional.normalize(like(out.embeddings, teacher_dim), dim=-1)
    return ModelOutput(embeddings / USUAL_TEMPERATURE**0.5, features, embeddings)


def probe_bottleneck(stage: Bottleneck) -> float:
    """As `probe_training`, for all `bottleneck_epochs`. A bottleneck usually converges earlier."""
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


def random_split(rows: int, shape: DataShape, task: Task, dtype: torch.dtype) -> Batch:
    """Random rows with the shapes and types of the data set.

    Args:
        rows: number of rows.
        shape: shapes of the data set.
        task: determines the kinds of inputs and labels.
        dtype: type of numeric inputs.
    """
    if task.sample_views is None:
        teacher, student = (torch.randn(rows, *inputs, dtype=dtype) for inputs in (shape.teacher, shape.student))
    else:  # captioned pictures
        teacher = torch.randint(256, (rows, *shape.teacher), dtype=torch.uint8)
        student = torch.randint(1, FEW_TOKENS, (rows, *shape.student), dtype=torch.int32)
    labels = task.example(rows, shape.num_classes)
    return Batch(teacher, student, labels, torch.ones(rows, dtype=torch.bool), torch.arange(rows))


def shape_of(data: DataConfig) -> DataShape:
    """Shapes of the data set, without loading it."""
    return DATASETS[data.kind].shape(data)
