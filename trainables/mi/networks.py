"""Parts of the estimators that train networks: settings, columns, split, seeded initialisation."""

import math
from collections.abc import Callable
from typing import Annotated, NamedTuple, TypeVar

import torch
from jaxtyping import Float32
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trainables.mi.base import IntervalConfig, MIConfig, Pairs

Network = TypeVar("Network", bound=nn.Module)

CLIP = 10.0
"""Columns are clipped to this many standard deviations before training."""


class NeuralConfig(MIConfig):
    """Fields of the estimators that train networks."""

    interval: IntervalConfig = IntervalConfig(subsamples=5)
    """How the interval is computed; a network is trained for every subsample."""
    batch_size: Annotated[int, Field(ge=2)] = 128
    """Pairs in one optimisation step."""
    epochs: Annotated[int, Field(ge=1)] = 100
    """Passes over the training pairs."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of Adam."""
    train_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the pairs for training; the estimate is computed from the others."""


class Columns(NamedTuple):
    """Paired columns as inputs of networks."""

    x: Float32[Tensor, "rows dim_x"]
    y: Float32[Tensor, "rows dim_y"]
    """Continuous columns, or a class in one-hot form."""

    def take(self, rows: Tensor) -> "Columns":
        """The pairs in these rows."""
        return Columns(self.x[rows], self.y[rows])


def columns_of(pairs: Pairs) -> Columns:
    """Prepared pairs in float32, clipped to ten standard deviations; classes in one-hot form."""
    x, y = pairs.x.float().clamp(-CLIP, CLIP), pairs.y
    if pairs.num_classes:
        return Columns(x, functional.one_hot(y, pairs.num_classes).float())
    return Columns(x, y.float().clamp(-CLIP, CLIP))


def split_rows(rows: int, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random training rows and the held-out rows, at least two of each."""
    order = torch.randperm(rows, generator=generator)
    training = min(max(round(fraction * rows), 2), rows - 2)
    return order[:training], order[training:]


def minimum_rows(config: NeuralConfig) -> int:
    """Least number of pairs: two on each side of the split, and eight in all."""
    return max(8, math.ceil(2 / min(config.train_fraction, 1 - config.train_fraction)))


def seeded(build: Callable[[], Network], seed: int) -> tuple[Network, torch.Generator]:
    """`build()` initialised from `seed`, and a CPU generator; torch's global generators are not changed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build(), torch.Generator().manual_seed(seed)


def check_finite(value: float, config: NeuralConfig, epoch: int) -> float:
    """The value.

    Raises:
        FloatingPointError: if it is NaN or infinite.
    """
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the held-out value of {config.kind!r} must be finite, but is {value!r} after epoch {epoch}; "
            f"try an lr below {config.lr!r}"
        )
    return value
