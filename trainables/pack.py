"""Packs: trainings of one shape that run as one. What differs between them is numbers only.

Their networks are stacked and every step is taken for all at once (`torch.func.vmap`): small networks are bound by the
cost of calling operations, not by arithmetic. A member's parameters and optimiser state are views of the stacked
tensors, so its session copies, saves, restores and measures them as ever and knows nothing of the pack; a member that
ends is left out by stacking the others anew. Each takes the steps that it would take alone, to rounding.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, vmap

from trainables.inputs import as_numbers, chunk_rows, inputs_of, take
from trainables.session import DTYPES, NonFiniteLossError, Outcome, Session
from trainables.stacked_optimizer import STACKED_OPTIMIZERS, Rates, zero_moments
from trainables.tasks import measure
from trainables.types import Batch, ModelOutput


class Slot(NamedTuple):
    """Where one parameter lies in a member's row of the stacked numbers."""

    network: str
    name: str
    shape: torch.Size


class Pack:
    """Several sessions, stacked. All must have the same `trainables.packing.pack_key`."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions = list(sessions)
        first = self.sessions[0]
        self.networks = {"student": copy.deepcopy(first.problem.student), "method": copy.deepcopy(first.problem.method)}
        self.slots = [Slot(network, name, value.shape) for network, name, value in trained(first)]
        self.rows = torch.stack([torch.cat([value.detach().flatten() for *_, value in trained(s)]) for s in sessions])
        self.rows.requires_grad_()
        self.kind = STACKED_OPTIMIZERS[first.config.optimizer]
        self.moments = zero_moments(self.kind.moments, self.rows.detach())
        self.counts = self.rows.new_zeros(len(self.sessions), 1, dtype=torch.float64)
        for number, session in enumerate(self.sessions):
            self.adopt(number, session)
        self.numbers = {name: self.column(name) for name in first.problem.method.config.stackable or ()}
        self.terms: tuple[str, ...] = ()

    def adopt(self, number: int, session: Session) -> None:
        """Make a session's parameters and moments views of row `number`, with the values that they have."""
        begin = 0
        for *_, value in trained(session):
            end = begin + value.numel()
            state = session.optimizer.state[value]
            value.data = self.rows.detach()[number, begin:end].view(value.shape)
            value.grad = None
            for name, stacked in self.moments.items():
                row = stacked[number, begin:end].view(value.shape)
                if state.get(name) is not None:
                    row.copy_(state[name])
                state[name] = row
            if self.kind.counts:
                self.counts[number] = float(state.get("step", 0.0))
            begin = end

    def column(self, name: str) -> Float[Tensor, " members"]:
        """One hyperparameter of the method, member by member."""
        values = [float(getattr(session.problem.method.config, name)) for session in self.sessions]
        return self.rows.new_tensor(values, requires_grad=False)

    def run_epochs(self, epochs: Sequence[int]) -> list[Outcome]:
        """Train each member for its epoch of this number and evaluate it."""
        first = self.sessions[0]
        orders = torch.stack([s.begin_epoch(epoch).order for s, epoch in zip(self.sessions, epochs, strict=True)])
        rates = Rates(*(self.rate(name) for name in Rates._fields))
        values: list[Tensor] = []
        weights = self.rows.new_zeros(0)
        for step in range(first.steps):
            lr = [s.set_lr((epoch - 1) * s.steps + step) for s, epoch in zip(self.sessions, epochs, strict=True)]
            rates = rates._replace(lr=self.rows.new_tensor(lr, dtype=torch.float64)[:, None])
            rows = orders[:, step * first.batch_size : (step + 1) * first.batch_size]
            value, weights = self.run_step(rows, rates)
            values.append(value)
        self.hand_back()
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

    def rate(self, name: str) -> Float[Tensor, "members 1"]:
        """A number of every member's optimiser."""
        return self.rows.new_tensor([[getattr(s.config, name)] for s in self.sessions], dtype=torch.float64)

    def run_step(
        self, rows: Int[Tensor, "members batch"], rates: Rates
    ) -> tuple[Float[Tensor, "members terms"], Float[Tensor, "members terms"]]:
        """One optimisation step of every member on rows of its own; values and weights of the loss terms."""
        inputs = tuple(
            self.gather([inputs_of(s.problem.train)[part] for s in self.sessions], rows, True)
            for part in range(len(inputs_of(self.sessions[0].problem.train)))
        )
        targets = [s.problem.targets for s in self.sessions]
        known = [(t.logits, t.features) for t in targets if isinstance(t, ModelOutput)]
        teacher = tuple(self.gather(list(parts), rows) for parts in zip(*known, strict=True))
        labels = tuple(
            self.gather([s.problem.train[part] for s in self.sessions], rows) for part in range(2, len(Batch._fields))
        )
        values, weights = vmap(self.member)(self.split(), self.numbers, inputs, teacher, labels)
        (gradient,) = torch.autograd.grad((values * weights).sum(), self.rows)
        self.counts += 1
        with torch.no_grad():
            self.kind.update(self.rows, gradient, self.moments, self.counts, rates)
        return values.detach(), weights.detach()

    def split(self) -> tuple[Float[Tensor, "members numbers"], ...]:
        """The stacked numbers, parameter by parameter (one operation, so that its gradient is one, too)."""
        return self.rows.split([slot.shape.numel() for slot in self.slots], dim=1)

    def gather(self, parts: list[Tensor], rows: Int[Tensor, "members batch"], inputs: bool = False) -> Tensor:
        """Each member's rows of a stored tensor; of one tensor at once, where all share it."""
        if all(part is parts[0] for part in parts):
            return self.taken(parts[0], rows, inputs)
        return torch.stack([self.taken(part, own, inputs) for part, own in zip(parts, rows, strict=True)])

    def taken(self, part: Tensor, rows: Tensor, inputs: bool) -> Tensor:
        """Rows of a stored tensor; inputs as a network takes them."""
        dtype = DTYPES[self.sessions[0].config.precision]
        if not inputs:
            return part[rows.to(part.device)]
        return take(part, rows.flatten(), self.rows.device, dtype).unflatten(0, rows.shape)

    def member(
        self,
        parameters: tuple[Tensor, ...],
        numbers: dict[str, Tensor],
        inputs: tuple[Tensor, ...],
        teacher: tuple[Tensor, ...],
        labels: tuple[Tensor, ...],
    ) -> tuple[Float[Tensor, " terms"], Float[Tensor, " terms"]]:
        """Values and weights of one member's loss terms; run for all members at once by `vmap`."""
        with self.sessions[0].autocast():
            own = functional_call(self.networks["student"], self.named(parameters, "student"), inputs)
            method = self.networks["method"]
            plain, method.config = method.config, method.config.model_copy(update=numbers)
            nothing = labels[0].new_empty(len(labels[-1]), 0)
            arguments = (own, ModelOutput(*teacher) if teacher else None, Batch(nothing, nothing, *labels), None)
            terms = functional_call(method, self.named(parameters, "method"), arguments)
            method.config = plain
        self.terms = tuple(terms)
        weights = [torch.as_tensor(term.weight).to(self.rows) for term in terms.values()]
        return torch.stack([term.value for term in terms.values()]), torch.stack(weights)

    def named(self, parameters: tuple[Tensor, ...], network: str) -> dict[str, Tensor]:
        """The parameters of one of the two networks, by their names in it."""
        return {
            slot.name: value.view(slot.shape)
            for slot, value in zip(self.slots, parameters, strict=True)
            if slot.network == network
        }

    def hand_back(self) -> None:
        """Note in every session's optimiser how many steps it has taken."""
        if self.kind.counts:
            for session, count in zip(self.sessions, self.counts[:, 0].tolist(), strict=True):
                for state in session.optimizer.state.values():
                    state["step"] = torch.tensor(count)

    @torch.no_grad()
    def evaluate(self) -> list[dict[str, float]]:
        """Every member's metrics on its validation split."""
        vals = [s.problem.val for s in self.sessions]
        if any(inputs is not first for val in vals for inputs, first in zip(val[:3], vals[0][:3], strict=True)):
            return [session.evaluate() for session in self.sessions]
        student, task, inputs = self.networks["student"].eval(), self.sessions[0].problem.task, inputs_of(vals[0])

        def logits(parameters: tuple[Tensor, ...], chunk: tuple[Tensor, ...]) -> Tensor:
            with self.sessions[0].autocast():
                return functional_call(student, self.named(parameters, "student"), chunk).logits

        parts = []
        for several in zip(*(part.split(chunk_rows(inputs)) for part in inputs), strict=True):
            chunk = tuple(as_numbers(part, self.rows.device, self.rows.dtype) for part in several)
            parts.append(vmap(logits, in_dims=(0, None))(self.split(), chunk))
        student.train()
        found = vmap(lambda own: measure(task, own, vals[0].labels))(torch.cat(parts, dim=1))
        return [dict(zip(task.metrics, row, strict=True)) for row in found.tolist()]


def trained(session: Session) -> list[tuple[str, str, nn.Parameter]]:
    """Every parameter that the session trains: the network it is of, its name there, itself."""
    networks: tuple[tuple[str, nn.Module], ...] = (
        ("student", session.problem.student),
        ("method", session.problem.method),
    )
    return [
        (network, name, value)
        for network, module in networks
        for name, value in module.named_parameters()
        if value.requires_grad
    ]
