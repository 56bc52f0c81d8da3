"""SGD, Adam and AdamW for stacked networks: one row of numbers each, with a learning rate and a decay of its own."""

from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

BETAS = (0.9, 0.999)
EPS = 1e-8
"""Torch's defaults for Adam and AdamW, which the optimisers of `trainables.loop` have."""


class Rates(NamedTuple):
    """What each member of a pack is trained with."""

    lr: Float[Tensor, "members 1"]
    weight_decay: Float[Tensor, "members 1"]
    momentum: Float[Tensor, "members 1"]
    """Of SGD."""


class Update(Protocol):
    """One step: changes `weights` and the moments in place. `steps` counts this one."""

    def __call__(
        self,
        weights: Float[Tensor, "members numbers"],
        gradient: Float[Tensor, "members numbers"],
        moments: "dict[str, Float[Tensor, 'members numbers']]",
        steps: Float[Tensor, "members 1"],
        rates: Rates,
    ) -> None: ...


def sgd(weights: Tensor, gradient: Tensor, moments: dict[str, Tensor], steps: Tensor, rates: Rates) -> None:
    """Step b <- momentum b + (g + decay w); w <- w - lr b, as torch.optim.SGD without dampening."""
    buffer = moments["momentum_buffer"]
    buffer.mul_(rates.momentum).add_(gradient + rates.weight_decay * weights)
    weights.sub_(rates.lr * buffer)


def adam(weights: Tensor, gradient: Tensor, moments: dict[str, Tensor], steps: Tensor, rates: Rates) -> None:
    """Adam with the decay as an L2 gradient (Kingma and Ba 2015, Algorithm 1)."""
    descend(weights, gradient + rates.weight_decay * weights, moments, steps, rates)


def adamw(weights: Tensor, gradient: Tensor, moments: dict[str, Tensor], steps: Tensor, rates: Rates) -> None:
    """Adam with decoupled decay (Loshchilov and Hutter 2019, Algorithm 2)."""
    weights.mul_(1 - rates.lr * rates.weight_decay)
    descend(weights, gradient, moments, steps, rates)


def descend(weights: Tensor, gradient: Tensor, moments: dict[str, Tensor], steps: Tensor, rates: Rates) -> None:
    """Step w <- w - lr m̂ / (sqrt(v̂) + eps)."""
    first, second = BETAS
    moments["exp_avg"].lerp_(gradient, 1 - first)
    moments["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
    scale = (moments["exp_avg_sq"].sqrt() / (1 - second**steps).sqrt().to(weights)).add_(EPS)
    weights.sub_((rates.lr / (1 - first**steps)).to(weights) * moments["exp_avg"] / scale)


class StackedOptimizer(NamedTuple):
    """One line of `STACKED_OPTIMIZERS`."""

    update: Update
    moments: tuple[str, ...]
    """Names of its state, as torch's optimiser of the same name has them."""
    counts: bool
    """Whether torch's keeps the number of steps."""


STACKED_OPTIMIZERS: dict[str, StackedOptimizer] = {
    "sgd": StackedOptimizer(sgd, ("momentum_buffer",), counts=False),
    "adam": StackedOptimizer(adam, ("exp_avg", "exp_avg_sq"), counts=True),
    "adamw": StackedOptimizer(adamw, ("exp_avg", "exp_avg_sq"), counts=True),
}


def zero_moments(names: tuple[str, ...], like: Tensor) -> dict[str, Tensor]:
    """The state before the first step."""
    return {name: torch.zeros_like(like) for name in names}
