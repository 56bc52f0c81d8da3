"""One training: its epochs and steps, its evaluation, and the state that a checkpoint saves.

Deliberately absent: per-step host synchronisation (losses stay on the device until the epoch ends), DataLoader
workers (a batch is an index-select of a split that is in memory, is memory-mapped, or has separate processes that
decode it, `trainables.data.readers.lazy_images`), and any knowledge of methods by name.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainables.common.distributed import Workers, derive_seed
from trainables.common.types import Batch, EpochReport, LossTerm, ModelOutput
from trainables.config import TrainingConfig
from trainables.methods.base import Method
from trainables.models.base import Model
from trainables.tasks import Task, evaluate, metric_direction
from trainables.training.batches import Step, make_step, read_ahead, with_masked_view
from trainables.training.inputs import as_numbers, chunk_rows, network_inputs

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""Number format of weights and data for each `training.precision` (bfloat16 is autocast over float32)."""


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite."""

    def __init__(self, epoch: int, step: int, terms: dict[str, float]) -> None:
        self.epoch, self.step = epoch, step
        values = ", ".join(f"{name} {value:g}" for name, value in terms.items())
        super().__init__(f"loss is not finite at step {step} (epoch {epoch}): {values}; try a lower lr")


Outcome = dict[str, float] | NonFiniteLossError
"""An epoch's metrics, or the error that ended the training."""


class Problem(NamedTuple):
    """A student, its training rows and its method's loss."""

    student: Model
    method: Method[Any]
    train: Batch
    """Training rows, as `trainables.training.inputs.split_for` gives them to the student."""
    val: Batch
    targets: ModelOutput | Model | None
    """The teacher's outputs for the rows of `train`, in the same order; or the frozen teacher itself."""
    task: Task
    """Gives the metrics of the validation split."""
    probe: Callable[[Model], dict[str, float]] | None = None
    """Computes additional metrics of the student after every epoch."""


@dataclass
class Progress:
    """The progress of a training; a checkpoint saves it with the networks and the optimiser."""

    epoch: int = 0
    history: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float = -math.inf
    best_state: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    together: int = 1
    """Number of members in the largest pack that trained it."""
    stopped: bool = False
    """Whether a report asked for a stop."""
    error: NonFiniteLossError | None = None
    """Why the training ended early, if it did; such a state is not saved."""


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

    @property
    def shape(self) -> tuple[object, ...]:
        """Shapes of the data; sessions with different shapes cannot be stacked."""
        return tuple(part.shape for part in self.problem.train)

    def run_epochs(self, epochs: Sequence[int]) -> list[Outcome]:
        """Train for the one epoch number in `epochs` (from 1) and evaluate."""
        [epoch] = epochs
        plan = self.begin_epoch(epoch)
        totals: list[dict[str, LossTerm]] = []
        for step in range(self.steps):
            self.set_lr((epoch - 1) * self.steps + step)
            rows = plan.order[step * self.batch_size : (step + 1) * self.batch_size]
            totals.append(self.run_step(rows, plan))
        names = list(totals[0])
        values = torch.stack([torch.stack([step[name].value for name in names]) for step in totals])
        weights = {name: float(totals[-1][name].weight) for name in names}
        try:
            return [self.end_epoch(self.summarise(values.double().cpu(), weights, epoch))]
        except NonFiniteLossError as error:
            return [error]

    def begin_epoch(self, epoch: int) -> "EpochPlan":
        """Seed the generators of epoch number `epoch`, shuffle the rows, and set the student to train mode."""
        seed_globally(derive_seed(self.seed, "dropout", epoch, self.workers.rank), self.workers.device)
        generator = torch.Generator(self.workers.device).manual_seed(derive_seed(self.seed, "method", epoch))
        shuffle = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        order = torch.randperm(len(self.problem.train.labels), generator=shuffle).to(self.workers.device)
        view_generator = torch.Generator().manual_seed(derive_seed(self.seed, "draw", epoch))
        batches = order[: self.steps * self.batch_size].split(self.batch_size)
        read_ahead(self.problem.train, batches, self.problem.task.sample_views, view_generator, self.workers)
        self.problem.student.train()
        return EpochPlan(order, generator, view_generator)

    def end_epoch(self, metrics: dict[str, float], measured: dict[str, float] | None = None) -> dict[str, float]:
        """All metrics of an epoch, from those of its losses; `measured` on the validation split, if that is done."""
        self.workers.share_buffers(self.problem.student)
        values = self.evaluate() if measured is None else measured
        probed = self.problem.probe(self.problem.student) if self.problem.probe else {}
        return metrics | probed | {f"val/{name}": value for name, value in values.items()}

    def evaluate(self) -> dict[str, float]:
        """The task's metrics on the validation split."""
        return evaluate_split(self.problem, self.problem.val, self.workers, self.autocast())

    def prepare_step(self, rows: Int[Tensor, " batch"], plan: "EpochPlan") -> Step:
        """The data of the step on the global batch `rows`, with sampled views and masked images."""
        problem, dtype = self.problem, DTYPES[self.config.precision]
        sampler = problem.task.sample_views
        sample = sampler(problem.train, rows, plan.view_generator) if sampler else None
        with self.autocast():
            step = make_step(problem.train, problem.targets, rows, sample, self.workers, dtype)
            masked = with_masked_view(step.inputs, problem.method.config, len(rows), self.workers, plan.generator)
        return step._replace(inputs=masked)

    def run_step(self, rows: Int[Tensor, " batch"], plan: "EpochPlan") -> dict[str, LossTerm]:
        """One optimisation step on the global batch `rows`; the loss terms, detached, still on the device."""
        step = self.prepare_step(rows, plan)
        with self.autocast():
            own = self.student(*step.inputs)
            method = self.problem.method
            terms = method(own.map(self.workers.gather), step.teacher_out, step.batch, plan.generator)
        loss = torch.stack([term.value * term.weight for term in terms.values()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {name: LossTerm(term.value.detach(), term.weight) for name, term in terms.items()}

    def summarise(
        self, values: Float[Tensor, "steps terms"], weights: Mapping[str, float], epoch: int
    ) -> dict[str, float]:
        """The metrics `train/...` of an epoch.

        Args:
            values: the loss terms of every step, on the CPU, in the order of `weights`.
            weights: weight of each term by name.
            epoch: number of the epoch, from 1.

        Raises:
            NonFiniteLossError: with the first step at which a term is not finite.
        """
        names = list(weights)
        finite = values.isfinite().all(dim=1)
        if not finite.all():
            first = int((~finite).nonzero()[0])
            bad = dict(zip(names, values[first].tolist(), strict=True))
            raise NonFiniteLossError(epoch, (epoch - 1) * self.steps + first + 1, bad)
        means = dict(zip(names, values.mean(dim=0).tolist(), strict=True))
        metrics = {"train/loss": sum(means[name] * weights[name] for name in names)}
        metrics |= {f"train/loss_{name}": means[name] for name in names}
        metrics |= {f"train/weight_{name}": weights[name] for name in names}
        return metrics | {"train/lr": float(self.optimizer.param_groups[0]["lr"])}

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

    def record_best(self, progress: Progress) -> None:
        """Keep a copy of the weights if this epoch is the best so far; of equal epochs the first is kept."""
        monitored = progress.history[-1].metrics[self.config.monitor]
        value = monitored if metric_direction(self.config.monitor) == "maximize" else -monitored
        if self.config.select == "last" or value > progress.best_value:
            progress.best_value, progress.best_epoch = value, progress.epoch
            progress.best_state = {name: value.clone() for name, value in self.problem.student.state_dict().items()}

    def state(self, progress: Progress) -> dict[str, Any]:
        """Everything that `restore` needs, as tensors and plain Python values."""
        known = {name: value for name, value in vars(progress).items() if name != "error"}
        return {
            "student": own_storage(self.problem.student.state_dict()),
            "method": own_storage(self.problem.method.state_dict()),
            "optimizer": own_storage(self.optimizer.state_dict()),
            "progress": known | {"history": [vars(report) for report in progress.history]},
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


def own_storage(state: Any) -> Any:
    """The same nested state with views copied, because saving a view would save the whole tensor behind it."""
    if isinstance(state, Tensor):
        return state.clone() if state.untyped_storage().nbytes() > state.nbytes else state
    if isinstance(state, dict):
        return {name: own_storage(value) for name, value in state.items()}
    return [own_storage(value) for value in state] if isinstance(state, list) else state


class EpochPlan(NamedTuple):
    """The order of the rows and the generators of one epoch."""

    order: Int[Tensor, " rows"]
    """The training rows, shuffled."""
    generator: torch.Generator
    """For the method."""
    view_generator: torch.Generator
    """For the choice of views and captions."""


def seed_globally(seed: int, device: torch.device) -> None:
    """Seed the generators of `device`. `torch.manual_seed` takes a millisecond, mostly for unused devices."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def make_optimizer(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser of `config`, with fused steps (measured: 0.66 instead of 1.13 ms for each step of small towers)."""
    common: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=config.momentum, **common)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.optimizer](parameters, **common)


@torch.no_grad()
def run_model(model: Model, inputs: tuple[Tensor, ...], device: torch.device) -> ModelOutput:
    """The network's outputs for all rows, in eval mode.

    Args:
        model: the network, on `device`.
        inputs: the stored inputs of all rows; they are moved to `device` in large chunks.
        device: the device of the network.

    Returns:
        The outputs, on `device`.
    """
    parts = list(run_chunks(model, inputs, device))
    embeddings = [part.embeddings for part in parts if part.embeddings is not None]
    return ModelOutput(
        torch.cat([part.logits for part in parts]),
        torch.cat([part.features for part in parts]),
        torch.cat(embeddings) if embeddings else None,
    )


def run_chunks(model: Model, inputs: tuple[Tensor, ...], device: torch.device) -> Iterator[ModelOutput]:
    """The outputs of `run_model` (same arguments) in chunks, so that a caller can keep a part of them."""
    model.eval()
    dtype = next(model.parameters()).dtype
    for several in zip(*(part.split(chunk_rows(inputs)) for part in inputs), strict=True):
        yield model(*(as_numbers(chunk, device, dtype) for chunk in several))


@torch.no_grad()
def evaluate_split(
    problem: Problem, split: Batch, workers: Workers, autocast: AbstractContextManager[Any] | None = None
) -> dict[str, float]:
    """The task's metrics of the student on a whole split (as `split_for` returns it).

    Each rank computes its share of the rows; every rank returns the same metrics.

    Args:
        problem: the student and its task.
        split: the rows.
        workers: the processes that share the rows.
        autocast: number format of the forward pass; None: that of the network.
    """
    rows = len(split.labels)
    padded = torch.arange(rows + -rows % workers.size).clamp(max=rows - 1)
    inputs = network_inputs(split)
    if workers.size > 1:
        inputs = tuple(part[workers.shard(padded).to(part.device)] for part in inputs)
    with autocast or nullcontext():
        own = torch.cat([part.logits for part in run_chunks(problem.student, inputs, workers.device)])
    return evaluate(problem.task, workers.gather(own)[:rows], split.labels)
