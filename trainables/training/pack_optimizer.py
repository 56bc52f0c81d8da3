"""The optimiser of a pack: torch's fused SGD, Adam and AdamW on a row of numbers for each member.

The fused operations are those that torch's optimisers call with `fused=True` (`trainables.common.torch_private`).
Called directly they take a fifth of the time of one optimiser object for each row. They also take a fifth of the time
of the same arithmetic on all rows at once, which passes over memory a dozen times (measured with 8 and with 32 members
of 27,658 numbers).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.common.torch_private import fused_adam_step, fused_sgd_step
from trainables.training.session import Session

Settings = dict[str, Any]
"""The parameter group of a session's optimiser: lr, weight_decay, betas and so on."""


class Update(Protocol):
    """One step that changes `row` and the moments in place. `steps` includes this step."""

    def __call__(
        self, row: Tensor, gradient: Tensor, moments: Sequence[Tensor], steps: Tensor, settings: Settings
    ) -> None: ...


def sgd(row: Tensor, gradient: Tensor, moments: Sequence[Tensor], steps: Tensor, settings: Settings) -> None:
    """Step b <- momentum b + (g + decay w); w <- w - lr b."""
    names = ("lr", "weight_decay", "momentum", "dampening", "nesterov", "maximize")
    buffers = moments if settings["momentum"] else ()
    fused_sgd_step(row, gradient, buffers, {name: settings[name] for name in names})


def adam(row: Tensor, gradient: Tensor, moments: Sequence[Tensor], steps: Tensor, settings: Settings) -> None:
    """Adam with the decay as an L2 gradient (Kingma and Ba 2015, Algorithm 1)."""
    fused_adam_step(row, gradient, moments, steps, adam_arguments(settings), decoupled=False)


def adamw(row: Tensor, gradient: Tensor, moments: Sequence[Tensor], steps: Tensor, settings: Settings) -> None:
    """Adam with decoupled decay (Loshchilov and Hutter 2019, Algorithm 2)."""
    fused_adam_step(row, gradient, moments, steps, adam_arguments(settings), decoupled=True)


def adam_arguments(settings: Settings) -> Settings:
    """The settings of Adam and AdamW by the names of torch's fused operations."""
    names = ("lr", "weight_decay", "eps", "amsgrad", "maximize")
    betas = dict(zip(("beta1", "beta2"), settings["betas"], strict=True))
    return betas | {name: settings[name] for name in names}


class OptimizerEntry(NamedTuple):
    """One line of `OPTIMIZERS`."""

    update: Update
    moments: tuple[str, ...]
    """Names of its state in torch's optimiser of the same name."""
    counts: bool
    """Whether torch's optimiser keeps the number of steps."""


OPTIMIZERS: dict[str, OptimizerEntry] = {
    "sgd": OptimizerEntry(sgd, ("momentum_buffer",), counts=False),
    "adam": OptimizerEntry(adam, ("exp_avg", "exp_avg_sq"), counts=True),
    "adamw": OptimizerEntry(adamw, ("exp_avg", "exp_avg_sq"), counts=True),
}


class PackOptimizer:
    """The stacked parameters of sessions: each row has the rates and the state of its session's optimiser.

    The sessions' parameters and their optimisers' moments become views of the rows.
    """

    def __init__(self, sessions: Sequence[Session], parameters: Sequence[Sequence[nn.Parameter]]) -> None:
        self.sessions, self.parameters = sessions, parameters
        self.sizes = [value.numel() for value in parameters[0]]
        values = [torch.cat([value.detach().flatten() for value in own]) for own in parameters]
        self.rows: Float[Tensor, "members numbers"] = torch.stack(values).requires_grad_()
        self.gradient = torch.zeros_like(self.rows)
        self.kind = OPTIMIZERS[sessions[0].config.optimizer]
        self.moments = [torch.zeros_like(self.rows, requires_grad=False) for _ in self.kind.moments]
        self.steps = self.rows.new_zeros(len(sessions), dtype=torch.float32, requires_grad=False)
        for number in range(len(sessions)):
            self.link_to_row(number)

    def link_to_row(self, number: int) -> None:
        """Make a session's parameters and moments views of row `number`, and keep their values."""
        known = self.sessions[number].optimizer.state
        for place, value in enumerate(self.parameters[number]):
            state = known[value]
            value.data, value.grad = self.view(self.rows.detach(), number, place), None
            for name, stacked in zip(self.kind.moments, self.moments, strict=True):
                row = self.view(stacked, number, place)
                if state.get(name) is not None:
                    row.copy_(state[name])
                state[name] = row
            if self.kind.counts:
                self.steps[number] = float(state.get("step", 0.0))

    def view(self, stacked: Float[Tensor, "members numbers"], number: int, place: int) -> Tensor:
        """One parameter of one member, as a view of the stacked tensor."""
        begin = sum(self.sizes[:place])
        return stacked[number, begin : begin + self.sizes[place]].view(self.parameters[number][place].shape)

    @torch.no_grad()
    def step(self, gradients: Sequence[Float[Tensor, "members _"] | None]) -> None:
        """Step each member at its session's rates. Parameters without a gradient do not change."""
        parts = self.rows.split(self.sizes, dim=1)
        kept = [(part, part.clone()) for part, gradient in zip(parts, gradients, strict=True) if gradient is None]
        filled = [torch.zeros_like(part) if one is None else one for part, one in zip(parts, gradients, strict=True)]
        torch.cat(filled, dim=1, out=self.gradient)
        self.steps += 1
        tensors = (self.rows.detach(), self.gradient, *self.moments, self.steps)
        for session, row, gradient, *moments, steps in zip(self.sessions, *(t.unbind() for t in tensors), strict=True):
            self.kind.update(row, gradient, moments, steps, session.optimizer.param_groups[0])
        for part, value in kept:
            part.copy_(value)

    def write_step_counts(self) -> None:
        """Write the number of steps into every session's optimiser."""
        if self.kind.counts:
            for session, count in zip(self.sessions, self.steps.tolist(), strict=True):
                for state in session.optimizer.state.values():
                    state["step"] = torch.tensor(count)
