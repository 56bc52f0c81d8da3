"""The training loop: epochs, evaluation, selection, checkpoints. Used by `fit` and by the stages that train networks.

Deliberately absent: per-step host synchronisation (losses stay on the device until the epoch ends), DataLoader
workers (a split sits in memory or is memory-mapped, and a batch is an index-select), and any knowledge of methods by
name.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainables.config import TrainingConfig
from trainables.distributed import ALONE, Workers, derive_seed
from trainables.draws import Draw
from trainables.inputs import as_numbers, chunk_rows, inputs_of
from trainables.methods.base import Method
from trainables.models.base import Model
from trainables.steps import make_step, with_masked_view
from trainables.tasks import Task, evaluate, metric_direction
from trainables.types import Batch, EpochReport, LossTerm, ModelOutput

Report = Callable[[EpochReport], object]
"""Called on rank 0 after every epoch; a true answer asks for a stop."""

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""Number format of weights and data for each `training.precision` (bfloat16 is autocast over float32)."""


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite."""

    def __init__(self, epoch: int, step: int, terms: dict[str, float]) -> None:
        self.epoch, self.step = epoch, step
        values = ", ".join(f"{name} {value:g}" for name, value in terms.items())
        super().__init__(f"loss is not finite at step {step} (epoch {epoch}): {values}; try a lower lr")


@runtime_checkable
class Checkpoint(Protocol):
    """Where a training's state is kept between attempts."""

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None."""
        ...

    def save(self, state: dict[str, Any], last: bool) -> None:
        """Keep `state` atomically (rank 0 only). May decline if the one before is recent, but not the `last`.

        The tensors are the living ones: they change as soon as the training goes on.
        """
        ...


class Problem(NamedTuple):
    """What is trained: a student on a split, under a method's loss."""

    student: Model
    method: Method
    train: Batch
    """Training rows, as `trainables.inputs.seen_by` gives them to the student."""
    val: Batch
    targets: ModelOutput | Model | None
    """The teacher's outputs for the rows of `train`, in the same order; or the frozen teacher itself."""
    task: Task
    """By whose metrics the validation split is judged."""
    probe: Callable[[Model], dict[str, float]] | None = None
    """What else to measure on the student after every epoch, as metrics of the epoch."""


@dataclass
class Progress:
    """Where a training stands; what a checkpoint holds besides the networks and the optimiser."""

    epoch: int = 0
    history: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float = -math.inf
    best_state: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: bool = False
    """Whether a report asked for a stop."""


def train(
    problem: Problem,
    config: TrainingConfig,
    seed: int,
    *,
    workers: Workers = ALONE,
    report: Report | None = None,
    checkpoint: Checkpoint | None = None,
) -> Progress:
    """Train `problem.student` in place and leave it with the selected epoch's weights, in eval mode.

    Everything random is drawn from (seed, epoch), so a training that goes on from a checkpoint takes the same steps
    as one that was never stopped.

    Args:
        problem: networks and data, on `workers.device` and in the number format of `config.precision`.
        config: the recipe.
        seed: the trial's seed.
        workers: this process's place among those that train together; all call this function.
        report: called on rank 0 after every epoch, also for epochs replayed from a checkpoint.
        checkpoint: read once at the start, offered the state after every epoch.

    Raises:
        NonFiniteLossError: with the first step at which a loss was not finite.

    """
    session = Session(problem, config, seed, workers)
    progress = session.restore(checkpoint.load()) if checkpoint else Progress()
    for past in progress.history:
        if workers.broadcast(bool(report and workers.rank == 0 and report(past))):
            progress.stopped = True
            break
    while progress.epoch < config.epochs and not progress.stopped:
        started = time.perf_counter()
        metrics = session.run_epoch(progress.epoch + 1)
        progress.epoch += 1
        progress.history.append(EpochReport(progress.epoch, metrics))
        session.note_best(progress)
        progress.seconds += time.perf_counter() - started
        if checkpoint and workers.rank == 0:
            checkpoint.save(session.state(progress), last=progress.epoch == config.epochs)
        asked = bool(report and workers.rank == 0 and report(progress.history[-1]))
        progress.stopped = workers.broadcast(asked)
    problem.student.load_state_dict(progress.best_state or problem.student.state_dict())
    problem.student.eval()
    return progress


class Session:
    """One training: networks, optimiser and the tensors that every epoch uses."""

    def __init__(self, problem: Problem, config: TrainingConfig, seed: int, workers: Workers) -> None:
        self.problem, self.config, self.seed, self.workers = problem, config, seed, workers
        self.student: nn.Module = problem.student
        if workers.size > 1:
            self.student = DistributedDataParallel(problem.student)
        self.parameters = [*problem.student.parameters(), *problem.method.parameters()]
        self.optimizer = make_optimizer(self.parameters, config)
        rows = len(problem.train.labels)
        batch = min(config.batch_size, rows)
        self.batch_size = batch - batch % workers.size
        self.steps = rows // self.batch_size

    def run_epoch(self, epoch: int) -> dict[str, float]:
        """Train for epoch number `epoch` (from 1) and evaluate; the metrics of its report."""
        torch.manual_seed(derive_seed(self.seed, "dropout", epoch, self.workers.rank))
        generator = torch.Generator(self.workers.device).manual_seed(derive_seed(self.seed, "method", epoch))
        shuffle = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        order = torch.randperm(len(self.problem.train.labels), generator=shuffle).to(self.workers.device)
        drawn = torch.Generator().manual_seed(derive_seed(self.seed, "draw", epoch))
        self.problem.student.train()
        totals: list[dict[str, LossTerm]] = []
        lr, task = self.config.lr, self.problem.task
        for step in range(self.steps):
            lr = self.set_lr((epoch - 1) * self.steps + step)
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            draw = task.draw(self.problem.train, rows, drawn) if task.draw else None
            totals.append(self.run_step(rows, draw, generator))
        self.workers.share_buffers(self.problem.student)
        metrics = self.summarise(totals, epoch) | {"train/lr": lr}
        values = evaluate_split(self.problem, self.problem.val, self.workers, self.autocast())
        probed = self.problem.probe(self.problem.student) if self.problem.probe else {}
        return metrics | probed | {f"val/{name}": value for name, value in values.items()}

    def run_step(
        self, rows: Int[Tensor, " batch"], draw: Draw | None, generator: torch.Generator
    ) -> dict[str, LossTerm]:
        """One optimisation step on the global batch `rows`; the loss terms, detached, still on the device."""
        problem, dtype = self.problem, DTYPES[self.config.precision]
        with self.autocast():
            step = make_step(problem.train, problem.targets, rows, draw, self.workers, dtype)
            inputs = with_masked_view(step.inputs, problem.method.config, len(rows), self.workers, generator)
            own = self.student(*inputs)
            terms = problem.method(own.map(self.workers.gather), step.teacher_out, step.batch, generator)
        loss = torch.stack([term.value * term.weight for term in terms.values()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {name: LossTerm(term.value.detach(), term.weight) for name, term in terms.items()}

    def summarise(self, steps: list[dict[str, LossTerm]], epoch: int) -> dict[str, float]:
        """Mean loss terms of an epoch, from one copy to the host. Raises NonFiniteLossError."""
        names = list(steps[0])
        values = torch.stack([torch.stack([step[name].value for name in names]) for step in steps]).double().cpu()
        weights = {name: float(steps[-1][name].weight) for name in names}
        finite = values.isfinite().all(dim=1)
        if not finite.all():
            first = int((~finite).nonzero()[0])
            bad = dict(zip(names, values[first].tolist(), strict=True))
            raise NonFiniteLossError(epoch, (epoch - 1) * self.steps + first + 1, bad)
        means = dict(zip(names, values.mean(dim=0).tolist(), strict=True))
        metrics = {"train/loss": sum(means[name] * weights[name] for name in names)}
        metrics |= {f"train/loss_{name}": means[name] for name in names}
        return metrics | {f"train/weight_{name}": weights[name] for name in names}

    def set_lr(self, step: int) -> float:
        """Set and return the learning rate of optimisation step `step` (from 0, over the whole training)."""
        lr = self.config.lr
        if self.config.schedule == "cosine":
            lr *= 0.5 * (1 + math.cos(math.pi * step / (self.steps * self.config.epochs)))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr

    def autocast(self) -> AbstractContextManager[Any]:
        """The number format of the forward pass."""
        if self.config.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(self.workers.device.type, dtype=torch.bfloat16)

    def note_best(self, progress: Progress) -> None:
        """Keep a copy of the weights if this epoch is the selected one so far (the first of equals stays)."""
        monitored = progress.history[-1].metrics[self.config.monitor]
        value = monitored if metric_direction(self.config.monitor) == "maximize" else -monitored
        if self.config.select == "last" or value > progress.best_value:
            progress.best_value, progress.best_epoch = value, progress.epoch
            progress.best_state = copy.deepcopy(self.problem.student.state_dict())

    def state(self, progress: Progress) -> dict[str, Any]:
        """Everything that `restore` needs, as tensors and plain values."""
        return {
            "student": self.problem.student.state_dict(),
            "method": self.problem.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(progress) | {"history": [vars(report) for report in progress.history]},
        }

    def restore(self, state: dict[str, Any] | None) -> Progress:
        """Load what `state` returned; a fresh Progress if there is nothing to load."""
        if state is None:
            return Progress()
        self.problem.student.load_state_dict(state["student"])
        self.problem.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        history = [EpochReport(**report) for report in state["progress"]["history"]]
        return Progress(**(state["progress"] | {"history": history}))


def make_optimizer(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser of `config`, with fused steps (measured: 0.66 instead of 1.13 ms a step for small towers)."""
    common: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=config.momentum, **common)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.optimizer](parameters, **common)


@torch.no_grad()
def run_model(model: Model, inputs: tuple[Tensor, ...], device: torch.device) -> ModelOutput:
    """Outputs for all rows of the stored `inputs`, in eval mode and in large chunks, on `device`."""
    parts = list(run_chunks(model, inputs, device))
    embeddings = [part.embeddings for part in parts if part.embeddings is not None]
    return ModelOutput(
        torch.cat([part.logits for part in parts]),
        torch.cat([part.features for part in parts]),
        torch.cat(embeddings) if embeddings else None,
    )


def run_chunks(model: Model, inputs: tuple[Tensor, ...], device: torch.device) -> Iterator[ModelOutput]:
    """The outputs of `run_model`, chunk by chunk, so that a caller keeps what it needs."""
    model.eval()
    dtype = next(model.parameters()).dtype
    for several in zip(*(part.split(chunk_rows(inputs)) for part in inputs), strict=True):
        yield model(*(as_numbers(chunk, device, dtype) for chunk in several))


@torch.no_grad()
def evaluate_split(
    problem: Problem, split: Batch, workers: Workers, autocast: AbstractContextManager[Any] | None = None
) -> dict[str, float]:
    """The task's metrics of the student on a whole split (as `seen_by` gives it).

    Every rank computes its share of the rows and gets the same answer.
    """
    rows = len(split.labels)
    padded = torch.arange(rows + -rows % workers.size).clamp(max=rows - 1)
    inputs = inputs_of(split)
    if workers.size > 1:
        inputs = tuple(part[workers.shard(padded).to(part.device)] for part in inputs)
    with autocast or nullcontext():
        own = torch.cat([part.logits for part in run_chunks(problem.student, inputs, workers.device)])
    return evaluate(problem.task, workers.gather(own)[:rows], split.labels)
