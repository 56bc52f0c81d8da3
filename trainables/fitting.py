"""fit: one distillation, from a TrialConfig to its result. It uses plain torch, without Ray, Optuna or MLflow.

from trainables import TrialConfig, fit

config = TrialConfig.model_validate({
    "data": {"dataset": "mfeat"}, "teacher": {"model": "mlp"}, "student": {"model": "mlp"},
    "method": {"method": "kd", "temperature": 4.0},
})
fit(config, report=print).result.metrics["test/accuracy"]
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from trainables.common.distributed import Workers, derive_seed
from trainables.common.types import EpochReport, ModelOutput, PairedData, TrialResult
from trainables.config import TrialConfig
from trainables.evaluation.contrastive_diagnostics import teacher_gap
from trainables.evaluation.final_metrics import extra_data_metrics, final_split_metrics
from trainables.evaluation.teacher_check import check_teacher
from trainables.evaluation.trial_diagnostics import loss_split, trial_diagnostics
from trainables.methods import METHODS
from trainables.methods.base import Method
from trainables.models.base import Model
from trainables.models.contrastive.base import ContrastiveModel
from trainables.stages.artifacts import StageStore, Usage
from trainables.stages.networks import build_model, teacher_network, teacher_stage
from trainables.stages.prepared import SPLITS, prepared_stage, read_prepared
from trainables.stages.targets import read_targets, required_stages, target_stage
from trainables.tasks import TASKS
from trainables.training.inputs import split_for, to_device
from trainables.training.loop import Checkpoint, Member, Report, train_together
from trainables.training.session import DTYPES, Problem, Progress, evaluate_split

T = TypeVar("T")


class FitResult(NamedTuple):
    """The result of `fit`."""

    result: TrialResult
    student: Model
    """With the selected epoch's weights, in eval mode."""
    history: list[EpochReport]
    diagnostics: dict[str, Tensor]
    """Small arrays for the report: see `trainables.evaluation.trial_diagnostics`."""


def fit(
    config: TrialConfig,
    report: Report | None = None,
    checkpoint: Checkpoint | None = None,
    *,
    stages: StageStore | None = None,
    workers: Workers | None = None,
) -> FitResult:
    """Train the trial's student and measure it.

    Args:
        config: the trial.
        report: called after every epoch with an EpochReport; returning true stops the training.
        checkpoint: stores the state between attempts; the training resumes from its state.
        stages: the shared artifacts. Without it they are computed for this call and deleted afterwards.
        workers: this process among those that train the trial together; all of them call `fit`. Without it this
            process trains alone, on the GPU if there is one.

    Returns:
        The result (status "pruned" if `report` stopped the training), the student, its history and its diagnostics.

    Raises:
        NonFiniteLossError: if a loss becomes NaN or infinite.
        ValueError: if a model does not take inputs of the data's shapes.

    """
    [fitted] = fit_together([FitJob(config, report, checkpoint)], stages=stages, workers=workers)
    if isinstance(fitted, Exception):
        raise fitted
    return fitted


class FitJob(NamedTuple):
    """One of the trials that are trained together."""

    config: TrialConfig
    report: Report | None = None
    checkpoint: Checkpoint | None = None


def fit_together(
    jobs: Sequence[FitJob], *, stages: StageStore | None = None, workers: Workers | None = None
) -> list[FitResult | Exception]:
    """Fit several trials as one pack. Each has the result, or the exception, that it would have with `fit`.

    Args:
        jobs: one trial, or several with the same `trainables.training.pack_key.pack_key`.
        stages: as for `fit`.
        workers: as for `fit`; several trials have one worker.

    Returns:
        The result or the exception of each trial, in the same order.

    """
    workers = workers or Workers(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if stages is None:
        with tempfile.TemporaryDirectory() as directory:
            return fit_together(jobs, stages=StageStore(Path(directory)), workers=workers)
    inputs = InputCache(stages, workers.device)
    prepared = [result_or_error(prepare_trial, job.config, inputs, workers) for job in jobs]
    ready = [(job, trial) for job, trial in zip(jobs, prepared, strict=True) if isinstance(trial, PreparedTrial)]
    members = [
        Member(trial.problem, job.config.training, job.config.seed, job.report, job.checkpoint) for job, trial in ready
    ]
    done = iter(zip(ready, train_together(members, workers), strict=True))
    fitted: list[FitResult | Exception] = []
    for trial in prepared:
        if isinstance(trial, Exception):
            fitted.append(trial)
            continue
        (job, _), progress = next(done)
        fitted.append(progress.error or result_or_error(finish_trial, job.config, trial, progress, stages, workers))
    return fitted


def result_or_error(task: Callable[..., T], *arguments: Any) -> T | Exception:
    """Call `task` and return its result or its exception, so that one failing trial does not stop the others."""
    try:
        return task(*arguments)
    except Exception as error:
        return error


class InputCache:
    """Data and targets of trials, read once for all trials that share them."""

    def __init__(self, stages: StageStore, device: torch.device) -> None:
        self.stages, self.device = stages, device
        self._data: dict[str, PairedData] = {}
        self._targets: dict[str, ModelOutput | Model | None] = {}

    def data(self, config: TrialConfig) -> PairedData:
        """The prepared data with the student's inputs, on the device, in the trial's number format."""
        stage = prepared_stage(config)
        if stage.key not in self._data:
            stored = read_prepared(self.stages, stage)
            seen = {name: split_for(config.student, "student", stored.split(name)) for name in SPLITS}
            self._data[stage.key] = to_device(replace(stored, **seen), self.device, DTYPES[config.training.precision])
        return self._data[stage.key]

    def targets(self, config: TrialConfig) -> ModelOutput | Model | None:
        """The outputs that the student imitates, or (`live_teacher`) the network that computes them in each step."""
        dtype, stage = DTYPES[config.training.precision], target_stage(config)
        key = stage.key if stage else ""
        if key not in self._targets:
            if config.method.live_teacher:
                stored = read_prepared(self.stages, prepared_stage(config))
                targets = teacher_network(self.stages, teacher_stage(config), stored, self.device).to(dtype)
            else:
                outputs = read_targets(self.stages, config, self.device)
                targets = None if outputs is None else outputs.map(lambda part: part.to(self.device, dtype))
            self._targets[key] = targets
        return self._targets[key]


class PreparedTrial(NamedTuple):
    """A trial that is ready to be trained."""

    data: PairedData
    problem: Problem
    used: Usage


def prepare_trial(config: TrialConfig, inputs: InputCache, workers: Workers) -> PreparedTrial:
    """Compute the missing stages, read the data, and build the student and its loss."""
    stages = inputs.stages
    if workers.rank == 0:
        for stage in required_stages(config):
            stages.get(stage, workers.device)
        check_teacher(config, stages, workers.device)
    workers.broadcast(None)  # the other ranks wait here until every stage is ready
    used = stages.pop_usage()
    data = inputs.data(config)
    problem = build_problem(config, data, inputs.targets(config), workers)
    probe = loss_split(config, stages, workers.device) or teacher_gap(config, problem, stages, workers.device)
    stages.pop_usage()
    return PreparedTrial(data, problem._replace(probe=probe), used)


def finish_trial(
    config: TrialConfig, prepared: PreparedTrial, progress: Progress, stages: StageStore, workers: Workers
) -> FitResult:
    """Measure the trained student and make the trial's result."""
    data, problem, used = prepared
    result = TrialResult(
        status="pruned" if progress.stopped else "complete",
        metrics=final_metrics(config, problem, data, progress, stages, workers),
        epochs=progress.epoch,
        selected_epoch=progress.best_epoch,
        seconds=progress.seconds,
        stages_computed=used.computed,
        stages_reused=used.reused,
        seconds_saved=used.seconds_saved,
        trained_together=progress.together,
    )
    diagnostics = {} if progress.stopped else trial_diagnostics(config, problem, data.test, stages, workers.device)
    stages.pop_usage()
    return FitResult(result, problem.student, progress.history, diagnostics)


def build_problem(
    config: TrialConfig, data: PairedData, targets: ModelOutput | Model | None, workers: Workers
) -> Problem:
    """The untrained student, initialised from the seed and independently of the method, and the method's loss."""
    dtype = DTYPES[config.training.precision]
    student = build_model(config.student, data.train, data.num_classes, config.seed)
    if isinstance(student, ContrastiveModel):
        student.log_scale.requires_grad_(config.method.learns_scale)
    method = build_method(config, target_dim(config, targets))
    networks = student.to(workers.device, dtype), method.to(workers.device, dtype)
    return Problem(*networks, data.train, data.val, targets, TASKS[config.data.task])


def target_dim(config: TrialConfig, targets: ModelOutput | Model | None) -> int:
    """Width of the features that the student imitates; 0 without a teacher."""
    if isinstance(targets, Model):
        return config.teacher.feature_dim
    return 0 if targets is None else targets.features.shape[-1]


def build_method(config: TrialConfig, teacher_dim: int) -> Method[Any]:
    """The trial's method, its adapters initialised from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(config.seed, "adapters"))
        entry = METHODS[config.method.kind]
        return entry.build(config.method, config.student.feature_dim, teacher_dim, TASKS[config.data.task])


def final_metrics(
    config: TrialConfig, problem: Problem, data: PairedData, progress: Progress, stages: StageStore, workers: Workers
) -> dict[str, float]:
    """The selected epoch's metrics, and those measured with its weights on the test split and the data of `evaluate`.

    A stopped trial has the metrics of its last epoch only.
    """
    if progress.stopped:
        return progress.history[-1].metrics
    if problem.task.sample_views is None:
        measured = evaluate_split(problem, data.test, workers)
    else:
        measured = final_split_metrics(problem.student, data, data.test, config.data.task, workers.device)
    selected = progress.history[progress.best_epoch - 1].metrics
    extra = extra_data_metrics(config, problem.student, stages, workers.device)
    return selected | {f"test/{name}": value for name, value in measured.items()} | extra
