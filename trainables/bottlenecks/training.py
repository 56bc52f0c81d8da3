"""Train a bottleneck on frozen features (CIBA paper, Algorithm 1)."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.bottlenecks import BOTTLENECKS
from trainables.bottlenecks.base import Bottleneck, BottleneckLoss
from trainables.common.types import EpochReport
from trainables.methods.ciba import CIBAConfig


class PairedFeatures(NamedTuple):
    """Frozen features of one split; row i of both belongs to the same example."""

    teacher: Float[Tensor, "rows teacher_dim"]
    """z': features of the trained teacher."""
    student: Float[Tensor, "rows student_dim"]
    """z: features of the student that was trained without distillation."""


@dataclass(frozen=True)
class TrainedBottleneck:
    """A converged bottleneck, with the weights of its best epoch."""

    model: Bottleneck
    history: tuple[EpochReport, ...]
    """`train/` and `val/` of `loss`, `generation` and `regularization` after each epoch."""
    selected_epoch: int
    """Epoch (from 1) with the lowest `val/loss`, whose weights `model` has."""

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return len(self.history)

    @torch.no_grad()
    def encode(self, teacher: Float[Tensor, "rows teacher_dim"]) -> Float[Tensor, "rows bottleneck"]:
        """Bottleneck features h' of teacher features, which must be on the model's device."""
        return self.model.encode(teacher)

    @torch.no_grad()
    def reconstruct(self, teacher: Float[Tensor, "rows teacher_dim"]) -> Float[Tensor, "rows student_dim"]:
        """Estimated student features ẑ' of teacher features, which must be on the model's device."""
        return self.model.reconstruct(teacher)


def train_bottleneck(
    config: CIBAConfig,
    train: PairedFeatures,
    val: PairedFeatures,
    seed: int,
    device: torch.device | str = "cpu",
) -> TrainedBottleneck:
    """Minimise generation + weight regularization by Adam until the validation loss stops falling.

    The validation loss uses no noise, so an epoch is selected by the features that the student will imitate.
    Initialisation, data order and noise are drawn on the CPU and depend only on `seed`, so the numbers are the same on
    every device. Torch's global generators are not changed.

    Args:
        config: the bottleneck and its training settings.
        train: features of the training split.
        val: features of the validation split.
        seed: seed of initialisation, data order and noise.
        device: device of the training.

    Returns:
        The bottleneck with the weights of its best epoch.

    Raises:
        FloatingPointError: if a validation loss is NaN or infinite.
    """
    model, generator = seeded_model(config, train.teacher.shape[1], train.student.shape[1], seed)
    model.to(device, train.teacher.dtype)
    train, val = (PairedFeatures(split.teacher.to(device), split.student.to(device)) for split in (train, val))
    optimizer = torch.optim.Adam(model.parameters(), lr=config.bottleneck_lr)
    history: list[EpochReport] = []
    best_loss, best_epoch, best_weights = math.inf, 0, {}
    for epoch in range(1, config.bottleneck_epochs + 1):
        metrics = train_epoch(model, optimizer, train, config, generator) | evaluate(model, val)
        if not math.isfinite(metrics["val/loss"]):
            raise FloatingPointError(
                f"the bottleneck's validation loss must be finite, but is {metrics['val/loss']!r} after epoch {epoch}; "
                f"try a bottleneck_lr below {config.bottleneck_lr!r}"
            )
        history.append(EpochReport(epoch, metrics))
        if metrics["val/loss"] < best_loss:
            best_loss, best_epoch = metrics["val/loss"], epoch
            best_weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        elif epoch - best_epoch >= config.bottleneck_patience:
            break
    model.load_state_dict(best_weights)
    return TrainedBottleneck(model.eval(), tuple(history), best_epoch)


def seeded_model(
    config: CIBAConfig, teacher_dim: int, student_dim: int, seed: int
) -> tuple[Bottleneck, torch.Generator]:
    """A new bottleneck initialised from `seed`, and the CPU generator in its state after the initialisation.

    Args:
        config: the bottleneck.
        teacher_dim: width of the teacher's features z'.
        student_dim: width of the student's features z.
        seed: seed of the initialisation.

    Returns:
        The bottleneck on the CPU, and the generator of data order and noise.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = BOTTLENECKS[config.bottleneck](config, teacher_dim, student_dim)
        generator = torch.Generator()
        generator.set_state(torch.default_generator.get_state())
    return model, generator


def train_epoch(
    model: Bottleneck,
    optimizer: torch.optim.Optimizer,
    train: PairedFeatures,
    config: CIBAConfig,
    generator: torch.Generator,
) -> dict[str, float]:
    """One pass over the training rows in random order. Waits for the device only at the end.

    Args:
        model: the bottleneck, which is changed.
        optimizer: optimizer of its parameters.
        train: features of the training split, on the device of the model.
        config: settings of the training.
        generator: CPU generator of order and noise.

    Returns:
        The `train/` metrics, means over rows.
    """
    teacher, student = train
    rows = len(teacher)
    model.prepare_epoch(teacher, generator)
    order = torch.randperm(rows, generator=generator).to(teacher.device)
    noise = torch.randn(rows, model.noise_dim, generator=generator).to(teacher)
    totals = torch.zeros(2, device=teacher.device, dtype=teacher.dtype)
    for batch in order.split(config.bottleneck_batch_size):
        loss = model.loss(teacher[batch], student[batch], noise[batch])
        optimizer.zero_grad()
        total_loss(loss, model.regularization_weight).backward()
        optimizer.step()
        totals += torch.stack(loss).detach() * len(batch)
    return split_metrics("train", BottleneckLoss(*(totals / rows)), model.regularization_weight)


@torch.no_grad()
def evaluate(model: Bottleneck, val: PairedFeatures) -> dict[str, float]:
    """The losses without noise, means over rows."""
    noise = val.teacher.new_zeros(len(val.teacher), model.noise_dim)
    return split_metrics("val", model.loss(*val, noise), model.regularization_weight)


def total_loss(loss: BottleneckLoss, weight: float) -> Float[Tensor, ""]:
    """Algorithm 1's loss, a scalar: generation + weight * regularization."""
    return loss.generation + weight * loss.regularization


def split_metrics(split: str, loss: BottleneckLoss, weight: float) -> dict[str, float]:
    """The metrics of one epoch.

    Args:
        split: `train` or `val`.
        loss: both terms, means over rows.
        weight: weight of the regularization.

    Returns:
        Floats by `split/name`.
    """
    generation, regularization, total = torch.stack([*loss, total_loss(loss, weight)]).tolist()
    return {f"{split}/loss": total, f"{split}/generation": generation, f"{split}/regularization": regularization}
