"""Every method and model of the tables trains in a pack as it does separately, or gives the reason why it cannot."""

from typing import Any

import pytest
import torch

from tests.helpers import tiny_clip
from tests.unit.trainables.methods.test_methods import STUDENT_DIM, cases, other_values, task_of
from tests.unit.trainables.models.test_models import CELLS, CLASSES, EMBEDDINGS, OTHER, SHAPES, SMALL
from trainables.common.types import Batch, ModelOutput
from trainables.config import TrainingConfig, TrialConfig
from trainables.data import DATASETS
from trainables.methods import METHODS
from trainables.methods.base import MethodConfig
from trainables.methods.none import NoneConfig
from trainables.models import MODELS
from trainables.models.base import ModelConfig
from trainables.models.contrastive.base import ContrastiveModel
from trainables.tasks import TASKS
from trainables.training.loop import Member, train, train_together
from trainables.training.pack_key import pack_key, why_not_stacked
from trainables.training.session import DTYPES, Problem

ROWS, VAL_ROWS, MEMBERS, TEACHER_DIM = 12, 6, 3, 9
ONE_STEP: dict[str, Any] = {"epochs": 1, "batch_size": ROWS, "optimizer": "sgd"}
MONITOR = {"detection": "val/nds", "retrieval": "val/i2t_r1"}
TASK_OF_MODEL = {**dict.fromkeys(CELLS, "detection"), **dict.fromkeys(EMBEDDINGS, "retrieval")}


def split(model: str, task: str, rows: int, seed: int, dtype: torch.dtype) -> Batch:
    """Random rows that the model takes, with some labels missing."""
    if TASKS[task].sample_views:
        return tiny_clip.split(rows, tiny_clip.VIEWS if rows == ROWS else 1, seed, classes=False)
    generator = torch.Generator().manual_seed(seed)
    shapes = SHAPES[model] if MODELS[model].config.sees == "both" else ((0,), SHAPES[model])
    teacher, student = (torch.randn(rows, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    labels = TASKS[task].example(rows, CLASSES)
    known = torch.arange(rows) % 4 > 0
    return Batch(teacher.to(dtype), student.to(dtype), labels, known, torch.arange(rows))


def targets(method: MethodConfig, task: str, seed: int, dtype: torch.dtype) -> ModelOutput | None:
    """What a teacher might say about the training rows."""
    if method.teacher_source == "nothing":
        return None
    generator = torch.Generator().manual_seed(100 + seed)
    several = (tiny_clip.VIEWS + tiny_clip.CAPTIONS,) if TASKS[task].sample_views else ()
    width = getattr(method, "bottleneck_dim", TEACHER_DIM)
    features = torch.randn(ROWS, *several, width, generator=generator, dtype=torch.float64).to(dtype)
    if several:
        embeddings = torch.nn.functional.normalize(features, dim=-1)
        return ModelOutput(3 * embeddings, embeddings[:, 0], embeddings)
    return ModelOutput(torch.randn(ROWS, CLASSES, generator=generator, dtype=torch.float64).to(dtype), features)


def member(model: ModelConfig, method: MethodConfig, task: str, number: int, **training: Any) -> Member:
    """Number `number` of the trainings that are stacked, each with its own seed, rates, network and targets."""
    rates = {"lr": (1e-2, 1e-3, 3e-3)[number], "weight_decay": (0.01, 0.1, 0.0)[number], "batch_size": 6}
    config = TrainingConfig(**{"epochs": 2, "monitor": MONITOR.get(task, "val/loss"), **rates, **training})
    dtype, name = DTYPES[config.precision], model.kind
    torch.manual_seed(number)
    student = MODELS[name].build(model, SHAPES[name], CLASSES).to(dtype)
    if isinstance(student, ContrastiveModel):
        student.log_scale.requires_grad_(method.learns_scale)
    build = METHODS[method.kind].build
    loss = build(method, model.feature_dim, TEACHER_DIM, TASKS[task]).to(dtype)
    splits = [split(name, task, rows, rows, dtype) for rows in (ROWS, VAL_ROWS)]
    return Member(Problem(student, loss, *splits, targets(method, task, number, dtype), TASKS[task]), config, number)


def assert_like_alone(make: Any, tolerance: float = 1e-9) -> None:
    """`make(number)` gives a member before its training, the same each time."""
    together, alone = ([make(number) for number in range(MEMBERS)] for _ in range(2))
    for one, other, found in zip(together, alone, train_together(together), strict=True):
        wanted = train(other.problem, other.config, other.seed)
        for report, expected in zip(found.history, wanted.history, strict=True):
            assert report.metrics == pytest.approx(expected.metrics, rel=tolerance, abs=tolerance)
        for network in ("student", "method"):
            state, expected = (getattr(own.problem, network).state_dict() for own in (one, other))
            for name, value in state.items():
                torch.testing.assert_close(
                    value, expected[name], rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
                )


def trial(model: ModelConfig, method: MethodConfig, task: str) -> TrialConfig:
    """A trial with the first data set of the task that needs no files."""
    config = next(
        entry.config
        for entry in DATASETS.values()
        if entry.config.task == task and not any(field.is_required() for field in entry.config.model_fields.values())
    )
    teacher = model if TASKS[task].sample_views else MODELS["mlp"].config(**SMALL["mlp"])
    training = TrainingConfig(monitor=MONITOR.get(task, "val/loss"))
    return TrialConfig(data=config(), teacher=teacher, student=model, method=method, training=training)


def models() -> list[Any]:
    """Every model in small, and with what may tie its rows together or draw."""
    return [
        pytest.param(name, fields, id=" ".join([name, *(f"{key}={value}" for key, value in fields.items())]))
        for name in MODELS
        for fields in ({}, *({field: OTHER[name][field]} for field in ("norm", "dropout") if field in OTHER[name]))
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fields"), models())
def test_every_model(name: str, fields: dict[str, Any]) -> None:
    model, task = MODELS[name].config(**{**SMALL[name], **fields}), TASK_OF_MODEL.get(name, "classification")
    whole = trial(model, NoneConfig(), "classification" if task == "detection" else task)
    assert (pack_key(whole) is None) == bool(model.why_not_stacked)
    assert why_not_stacked(whole) == (f"student {name}: {model.why_not_stacked}" if model.why_not_stacked else "")
    if not model.why_not_stacked:
        assert_like_alone(lambda number: member(model, NoneConfig(), task, number, precision="float64"))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_in_single_precision(name: str) -> None:
    model, task = MODELS[name].config(**SMALL[name]), TASK_OF_MODEL.get(name, "classification")
    if not model.why_not_stacked:
        assert_like_alone(lambda number: member(model, NoneConfig(), task, number, **ONE_STEP), 1e-5)


def varied(config: MethodConfig, number: int, weights: bool = True) -> MethodConfig:
    """The config with other values of the fields in which members may differ; `weights` of its terms, too."""
    changes: dict[str, Any] = {}
    for name in config.stackable if number else ():
        options = other_values(type(config).model_fields[name])
        if name == "bottleneck_dim":
            options = [value for value in options if value < STUDENT_DIM]
        if name not in config.terms or (weights and name in config.active_terms):
            changes[name] = options[number % len(options)]
    return config.model_copy(update=changes)


def student_for(config: MethodConfig) -> ModelConfig:
    name = "clip" if TASKS[task_of(config)].sample_views else "mlp"
    return MODELS[name].config(**{**SMALL[name], "feature_dim": STUDENT_DIM})


@pytest.mark.parametrize("config", cases())
def test_every_method(config: MethodConfig) -> None:
    model, task = student_for(config), task_of(config)
    keys = {pack_key(trial(model, varied(config, number), task)) for number in range(MEMBERS)}
    if config.why_not_stacked:
        method = config.model_dump()["method"]
        assert (
            keys == {None}
            and why_not_stacked(trial(model, config, task)) == f"method {method}: {config.why_not_stacked}"
        )
        return
    assert len(keys) == 1 and None not in keys
    assert_like_alone(lambda number: member(model, varied(config, number), task, number, precision="float64"))


@pytest.mark.parametrize("config", cases())
def test_every_method_in_single_precision(config: MethodConfig) -> None:
    """With the weights of its terms as they are: GD's range begins at 1e4, which magnifies rounding."""
    model, task = student_for(config), task_of(config)
    if not config.why_not_stacked:
        assert_like_alone(
            lambda number: member(model, varied(config, number, weights=False), task, number, **ONE_STEP), 1e-5
        )
