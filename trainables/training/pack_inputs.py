"""The data of each step of a pack: the rows of every member, stacked."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional

from trainables.common.types import Batch, ModelOutput
from trainables.training.inputs import network_inputs, select_rows
from trainables.training.session import DTYPES, EpochPlan, Session

BLOCK_NUMBERS = 2**22
"""Maximum number of values that are selected from the stored splits at once: several steps of small inputs."""


class PackStep(NamedTuple):
    """Tensors of one step, (members, batch, ...)."""

    inputs: tuple[Tensor, ...]
    """As a network takes them."""
    teacher: tuple[Tensor, ...]
    """Logits, features and, of contrastive teachers, embeddings; empty without a teacher."""
    labels: tuple[Tensor, ...]
    """The fields of a Batch besides its inputs."""


class PackInputs:
    """The training data of sessions with the same shapes."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions = sessions
        first = sessions[0]
        problems = [session.problem for session in sessions]
        self.plain = not (first.problem.task.sample_views or first.problem.method.config.masked_fraction) and all(
            not isinstance(problem.targets, torch.nn.Module) for problem in problems
        )
        """Whether a step's inputs are stored rows, which can be selected for all members at once."""
        self.stored: list[Sequence[Tensor]] = []
        if self.plain:
            self.stored += zip(*(network_inputs(problem.train) for problem in problems), strict=True)
            targets = [
                existing_outputs(problem.targets) for problem in problems if isinstance(problem.targets, ModelOutput)
            ]
            self.stored += [pad_to_widest(parts) for parts in zip(*targets, strict=True)]
            self.stored += zip(*(problem.train[2:] for problem in problems), strict=True)
        self.num_inputs = len(network_inputs(first.problem.train))

    def epoch(self, plans: Sequence[EpochPlan]) -> Iterator[PackStep]:
        """The steps of an epoch in order."""
        first = self.sessions[0]
        orders = torch.stack([plan.order for plan in plans])[:, : first.steps * first.batch_size]
        rows = orders.unflatten(1, (first.steps, first.batch_size)).transpose(0, 1)
        if not self.plain:
            yield from (self.drawn(own, plans) for own in rows)
            return
        numbers = sum(parts[0][:1].numel() for parts in self.stored) * rows[0].numel()
        for block in rows.split(max(1, BLOCK_NUMBERS // numbers)):
            picked = [self.pick(number, block) for number in range(len(self.stored))]
            for parts in zip(*picked, strict=True):
                inputs, rest = parts[: self.num_inputs], parts[self.num_inputs :]
                split = len(rest) - len(Batch._fields[2:])
                yield PackStep(inputs, rest[:split], rest[split:])

    def pick(self, number: int, rows: Int[Tensor, "steps members batch"]) -> Tensor:
        """Each member's rows of a stored tensor, (steps, members, batch, ...)."""
        parts, session = self.stored[number], self.sessions[0]
        device, dtype = session.workers.device, DTYPES[session.config.precision]

        def picked(part: Tensor, own: Tensor) -> Tensor:
            if number >= self.num_inputs:
                return part[own.to(part.device)]
            return select_rows(part, own.flatten(), device, dtype).unflatten(0, own.shape)

        if all(part is parts[0] for part in parts):
            return picked(parts[0], rows)
        return torch.stack([picked(part, own) for part, own in zip(parts, rows.unbind(1), strict=True)], dim=1)

    def drawn(self, rows: Int[Tensor, "members batch"], plans: Sequence[EpochPlan]) -> PackStep:
        """A step whose inputs each member samples, or that has a live teacher: each session prepares its own part."""
        steps = [session.prepare_step(own, plan) for session, own, plan in zip(self.sessions, rows, plans, strict=True)]
        teacher = [existing_outputs(step.teacher_out) for step in steps if step.teacher_out is not None]
        parts = ([step.inputs for step in steps], teacher, [step.batch[2:] for step in steps])
        return PackStep(*(tuple(map(torch.stack, zip(*part, strict=True))) for part in parts))


def existing_outputs(out: ModelOutput) -> tuple[Tensor, ...]:
    """A network's outputs, without embeddings if they are None."""
    return tuple(part for part in out if part is not None)


def pad_to_widest(parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """Pad the last axis with zeros to the widest tensor's width. The method ignores the padding."""
    widest = max(part.shape[-1] for part in parts)
    return [functional.pad(part, (0, widest - part.shape[-1])) if part.shape[-1] < widest else part for part in parts]
