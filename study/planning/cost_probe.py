"""Rehearsal: what a training costs here, from a few real steps of the real networks on random numbers."""

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
"""Batches in a rehearsed epoch; its time is scaled up to the real number."""

FEW_TOKENS = 1000
"""Different tokens in made-up captions; any vocabulary has them."""

USUAL_TEMPERATURE = 0.07
"""Of made-up contrastive teachers."""

SLOW_SECONDS = 1.0
"""A first batch that takes longer is all that is rehearsed."""


@contextmanager
def trial_threads(resources: ResourcesConfig) -> Iterator[None]:
    """As many threads as a trial will have: with more, a busy machine makes them wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, int(resources.cpus)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training_seconds(config: TrialConfig) -> float:
    """Estimated seconds of the trial's own training, stages excluded."""
    widths = {"nothing": 0, **dict.fromkeys(("teacher", "nullified"), config.teacher.feature_dim)}
    teacher_dim = widths.get(config.method.teacher_source, getattr(config.method, "bottleneck_dim", 0))
    method = build_method(config, teacher_dim)
    return rehearse(config.student, "student", method, config.training, config.data, teacher_dim)


def stage_seconds(stage: Stage) -> float | None:
    """Estimated seconds of computing a stage, at most; None for a stage that trains nothing."""
    match stage:
        case UnimodalModel():
            data = stage.prepared.data
            method = NoDistillation(NoneConfig(), stage.model.feature_dim, 0, TASKS[data.task])
            return rehearse(stage.model, stage.role, method, stage.training, data, 0)
        case Bottleneck():
            return rehearse_bottleneck(stage)
    return None


def rehearse(
    model: ModelConfig, role: Role, method: Method, training: TrainingConfig, data: DataConfig, teacher_dim: int
) -> float:
    """Train for a short epoch to warm up and for one on the clock, and scale. A slow network does a single batch."""
    short = training.model_copy(update={"epochs": 1, "lr": min(training.lr, 1e-3), "monitor": "val/loss"})
    shape = shape_of(data)
    for batches in (1, BATCHES):
        rows = min(shape.train, batches * training.batch_size)
        problem = made_up_problem(model, role, method, short, data, (rows, min(shape.val, rows), teacher_dim))
        train(problem, short, seed=0)
        seconds = train(problem, short, seed=0).seconds
        if seconds > SLOW_SECONDS:
            break
    return seconds * training.epochs * shape.train / rows


def made_up_problem(
    model: ModelConfig,
    role: Role,
    method: Method,
    training: TrainingConfig,
    data: DataConfig,
    sizes: tuple[int, int, int],
) -> Problem:
    """The real network and method with random numbers: `sizes` are training rows, validation rows, target width."""
    rows, val_rows, teacher_dim = sizes
    shape, dtype, task = shape_of(data), DTYPES[training.precision], TASKS[data.task]
    split, val = (split_for(model, role, random_split(count, shape, task, dtype)) for count in (rows, val_rows))
    network = build_model(model, split, shape.num_classes, 0, role).to(dtype)
    targets = None
    if teacher_dim:
        with torch.no_grad():
            out = network(*(as_numbers(part[:1], CPU, dtype) for part in network_inputs(split)))
        targets = made_up_targets(out, rows, teacher_dim)
    return Problem(network, method.to(dtype), split, val, targets, task)


def made_up_targets(out: ModelOutput, rows: int, teacher_dim: int) -> ModelOutput:
    """Random outputs of a teacher beside a student that gives `out` for a row."""

    def like(part: Tensor, *widths: int) -> Tensor:
        return torch.randn(rows, *part.shape[1 : part.ndim - len(widths)], *widths, dtype=part.dtype)

    features = like(out.features, teacher_dim)
    if out.embeddings is None:
        return ModelOutput(like(out.logits), features)
    embeddings = functional.normalize(like(out.embeddings, teacher_dim), dim=-1)
    return ModelOutput(embeddings / USUAL_TEMPERATURE**0.5, features, embeddings)


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


def random_split(rows: int, shape: DataShape, task: Task, dtype: torch.dtype) -> Batch:
    """Rows that look like a split of the data set."""
    if task.sample_views is None:
        teacher, student = (torch.randn(rows, *inputs, dtype=dtype) for inputs in (shape.teacher, shape.student))
    else:  # captioned pictures
        teacher = torch.randint(256, (rows, *shape.teacher), dtype=torch.uint8)
        student = torch.randint(1, FEW_TOKENS, (rows, *shape.student), dtype=torch.int32)
    labels = task.example(rows, shape.num_classes)
    return Batch(teacher, student, labels, torch.ones(rows, dtype=torch.bool), torch.arange(rows))


def shape_of(data: DataConfig) -> DataShape:
    """What the data set will deliver, without loading it."""
    return DATASETS[data.kind].shape(data)
