"""Packs: trainings that differ in numbers only and run as one stacked computation.

The members' networks are stacked, and every forward and backward pass is computed for all at once (`torch.func.vmap`),
because small networks are bound by the cost of calling operations, not by arithmetic. Then a fused optimiser step
changes each member's row of parameters with the member's rates. A row stays in the cache: one pass over each row takes
a quarter of the time of the same operations on all rows at once (measured).

A member's parameters, buffers and optimiser state are views of the stacked tensors, so its session copies, saves,
restores and measures them without knowing about the pack. When a member ends, the others are stacked again. Each member
takes the same steps as in a separate training, up to rounding.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from trainables.common.types import Batch, ModelOutput
from trainables.tasks import evaluate, measure
from trainables.training.inputs import as_numbers, chunk_rows, network_inputs
from trainables.training.pack_inputs import PackInputs, PackStep
from trainables.training.pack_optimizer import PackOptimizer
from trainables.training.session import NonFiniteLossError, Outcome, Session

State = dict[str, dict[str, Tensor]]
"""By network and name: the tensors that a step uses and does not train. The first axis is the members."""


class ParameterPlace(NamedTuple):
    """One parameter in a member's row of the stacked parameters."""

    network: str
    name: str
    shape: torch.Size


class Pack:
    """Several sessions, stacked. All must have the same `trainables.training.pack_key.pack_key`."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions = list(sessions)
        first = self.sessions[0]
        self.student, self.method = copy.deepcopy(first.problem.student), copy.deepcopy(first.problem.method)
        self.places = [ParameterPlace(network, name, value.shape) for network, name, value in trained(first)]
        self.state = stacked_state(self.sessions)
        self.optimizer = PackOptimizer(self.sessions, [[value for *_, value in trained(s)] for s in self.sessions])
        self.rows = self.optimizer.rows
        self.numbers = different_numbers(self.sessions)
        self.inputs = PackInputs(self.sessions)
        self.terms: tuple[str, ...] = ()

    def run_epochs(self, epochs: Sequence[int]) -> list[Outcome]:
        """Train each member for its epoch of this number and evaluate it."""
        plans = [session.begin_epoch(epoch) for session, epoch in zip(self.sessions, epochs, strict=True)]
        values: list[Tensor] = []
        weights = self.rows.new_zeros(0)
        for step, step_data in enumerate(self.inputs.epoch(plans)):
            for session, epoch in zip(self.sessions, epochs, strict=True):
                session.set_lr((epoch - 1) * session.steps + step)
            value, weights = self.run_step(step_data)
            values.append(value)
        self.optimizer.write_step_counts()
        losses, weighed = torch.stack(values, dim=1).double().cpu(), weights.tolist()
        measured = self.evaluate()
        outcomes: list[Outcome] = []
        for number, (session, epoch) in enumerate(zip(self.sessions, epochs, strict=True)):
            try:
                metrics = session.summarise(losses[number], dict(zip(self.terms, weighed[number], strict=True)), epoch)
            except NonFiniteLossError as error:
                outcomes.append(error)
            else:
                outcomes.append(session.end_epoch(metrics, measured[number]))
        return outcomes

    def run_step(self, step_data: PackStep) -> tuple[Float[Tensor, "members terms"], Float[Tensor, "members terms"]]:
        """One optimisation step of every member; values and weights of the loss terms."""
        parameters = self.split()
        values, weights = vmap(self.member)(parameters, self.state, self.numbers, *step_data)
        gradients = torch.autograd.grad((values * weights).sum(), parameters, allow_unused=True)
        self.optimizer.step(gradients)
        return values.detach(), weights.detach()

    def split(self) -> tuple[Float[Tensor, "members numbers"], ...]:
        """The stacked parameters, one tensor for each."""
        return self.rows.split([place.shape.numel() for place in self.places], dim=1)

    def member(
        self,
        parameters: tuple[Tensor, ...],
        state: State,
        numbers: dict[str, Tensor],
        inputs: tuple[Tensor, ...],
        teacher: tuple[Tensor, ...],
        labels: tuple[Tensor, ...],
    ) -> tuple[Float[Tensor, " terms"], Float[Tensor, " terms"]]:
        """Values and weights of one member's loss terms; `vmap` computes them for all members at once.

        Args:
            parameters: the member's trained parameters, one flat tensor for each.
            state: the tensors that are not trained.
            numbers: the hyperparameters in which the members differ.
            inputs: inputs of the student.
            teacher: the teacher's outputs; empty without a teacher.
            labels: the other fields of `Batch`, from the labels on.
        """
        with self.sessions[0].autocast():
            own = functional_call(self.student, self.named(parameters, state, "student"), inputs)
            method = self.method
            plain, method.config = method.config, method.config.model_copy(update=numbers)
            nothing = labels[0].new_empty(len(labels[-1]), 0)
            arguments = (own, ModelOutput(*teacher) if teacher else None, Batch(nothing, nothing, *labels), None)
            terms = functional_call(method, self.named(parameters, state, "method"), arguments)
            method.config = plain
        self.terms = tuple(terms)
        weights = [torch.as_tensor(term.weight, dtype=torch.float64) for term in terms.values()]
        return torch.stack([term.value.to(self.rows) for term in terms.values()]), torch.stack(weights)

    def named(self, parameters: tuple[Tensor, ...], state: State, network: str) -> dict[str, Tensor]:
        """The named tensors of one of the two networks, for `functional_call`.

        Args:
            parameters: the trained parameters, one flat tensor for each.
            state: the tensors that are not trained.
            network: `student` or `method`.
        """
        return state[network] | {
            place.name: value.view(place.shape)
            for place, value in zip(self.places, parameters, strict=True)
            if place.network == network
        }

    @torch.no_grad()
    def evaluate(self) -> list[dict[str, float]]:
        """Every member's metrics on its validation split."""
        vals = [s.problem.val for s in self.sessions]
        if any(inputs is not first for val in vals for inputs, first in zip(val[:3], vals[0][:3], strict=True)):
            return [session.evaluate() for session in self.sessions]
        student, task, inputs = self.student.eval(), self.sessions[0].problem.task, network_inputs(vals[0])

        def logits(parameters: tuple[Tensor, ...], state: State, chunk: tuple[Tensor, ...]) -> Tensor:
            with self.sessions[0].autocast():
                return functional_call(student, self.named(parameters, state, "student"), chunk).logits

        parts, rows = [], max(1, chunk_rows(inputs) // len(self.sessions))
        for several in zip(*(part.split(rows) for part in inputs), strict=True):
            chunk = tuple(as_numbers(part, self.rows.device, self.rows.dtype) for part in several)
            parts.append(vmap(logits, in_dims=(0, 0, None))(self.split(), self.state, chunk))
        student.train()
        whole = torch.cat(parts, dim=1)
        if task.measure:  # its control flow may depend on the values, which vmap does not allow
            return [evaluate(task, own, vals[0].labels) for own in whole]
        found = vmap(lambda own: measure(task, own, vals[0].labels))(whole)
        return [dict(zip(task.metrics, row, strict=True)) for row in found.tolist()]


def networks_of(session: Session) -> dict[str, nn.Module]:
    """Both networks that have parameters."""
    return {"student": session.problem.student, "method": session.problem.method}


def trained(session: Session) -> list[tuple[str, str, nn.Parameter]]:
    """Every parameter that the session trains, as (network, name in the network, parameter)."""
    return [
        (network, name, value)
        for network, module in networks_of(session).items()
        for name, value in module.named_parameters()
        if value.requires_grad
    ]


def stacked_state(sessions: Sequence[Session]) -> State:
    """Buffers and frozen parameters of each network, stacked. Those of the sessions become views of the result."""
    state: State = {}
    for network, module in networks_of(sessions[0]).items():
        learnt = {name for name, value in module.named_parameters() if value.requires_grad}
        own = [networks_of(session)[network].state_dict(keep_vars=True) for session in sessions]
        state[network] = {
            name: torch.stack([one[name].detach() for one in own]) for name in own[0] if name not in learnt
        }
        for number, one in enumerate(own):
            for name, stacked in state[network].items():
                one[name].data = stacked[number]
    return state


def different_numbers(sessions: Sequence[Session]) -> dict[str, Float[Tensor, " members"]]:
    """The method's hyperparameters in which the members differ, each member by member in double precision."""
    configs = [session.problem.method.config for session in sessions]
    device = next(sessions[0].problem.student.parameters()).device
    found: dict[str, Tensor] = {}
    for name in configs[0].stackable:
        values = [getattr(config, name) for config in configs]
        if len(set(values)) > 1 and not isinstance(values[0], str):
            found[name] = torch.tensor(values, dtype=torch.float64, device=device)
    return found
