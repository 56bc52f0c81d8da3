"""The training loop: trains one or several members epoch by epoch, reports, saves checkpoints and stops members.

Used by `fit` and by the stages that train networks.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from trainables.common.distributed import ONE_WORKER, Workers
from trainables.common.types import EpochReport
from trainables.config import TrainingConfig
from trainables.training.pack import Pack
from trainables.training.session import NonFiniteLossError, Outcome, Problem, Progress, Session

Report = Callable[[EpochReport], object]
"""Called on rank 0 after every epoch; returning true stops the training. It may also return a function without
arguments, which is called when all members of a pack have reported the epoch and returns whether to stop."""


@runtime_checkable
class Checkpoint(Protocol):
    """Stores a training's state between attempts."""

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None."""
        ...

    def save(self, state: Callable[[], dict[str, Any]], last: bool) -> None:
        """Save the result of `state()` atomically (rank 0 only). May skip a state that is not the `last`.

        `state()` returns the tensors that are being trained: they change as soon as the training continues.
        """
        ...


def train(
    problem: Problem,
    config: TrainingConfig,
    seed: int,
    *,
    workers: Workers = ONE_WORKER,
    report: Report | None = None,
    checkpoint: Checkpoint | None = None,
) -> Progress:
    """Train one student: `train_together` with one member.

    Args:
        problem: networks and data, on the workers' device.
        config: the training recipe.
        seed: the trial's seed.
        workers: this process among those that train together.
        report: called on rank 0 after every epoch.
        checkpoint: stores the state after every epoch.

    Returns:
        The progress at the end.

    Raises:
        NonFiniteLossError: with the first step at which a loss was not finite.

    """
    [progress] = train_together([Member(problem, config, seed, report, checkpoint)], workers)
    if progress.error is not None:
        raise progress.error
    return progress


class Member(NamedTuple):
    """One of the trainings that run together."""

    problem: Problem
    """Networks and data, on the workers' device and in the number format of `config.precision`."""
    config: TrainingConfig
    seed: int
    """The trial's seed."""
    report: Report | None = None
    """Called on rank 0 after every epoch, also for epochs replayed from a checkpoint."""
    checkpoint: Checkpoint | None = None
    """Loaded once at the start. `save` is called after every epoch."""


def train_together(members: Sequence[Member], workers: Workers = ONE_WORKER) -> list[Progress]:
    """Train every member's student in place and leave it with the selected epoch's weights, in eval mode.

    All randomness comes from (seed, epoch), so a training that resumes from a checkpoint takes the same steps as one
    that was never stopped. Several members are trained as one pack (see `trainables.training.pack`); each takes the
    steps that it would take without the others. A member whose loss is not finite ends with `Progress.error`.

    Args:
        members: none, one, or several with the same `trainables.training.pack_key.pack_key`.
        workers: this process among those that train together; all call this function. A pack has one worker.

    Returns:
        The progress of each member, in the same order.

    """
    if not members:
        return []
    runs = [MemberTraining(member, workers) for member in members]
    pack: list[MemberTraining] = []
    epochs = epochs_of(runs[:1])
    while active := [run for run in runs if run.is_active]:
        if active != pack:  # members that ended are left out of the pack
            pack, epochs = active, epochs_of(active)
            for run in active:
                run.progress.together = max(run.progress.together, len(active))
        started = time.perf_counter()
        outcomes = epochs([run.progress.epoch + 1 for run in active])
        seconds = (time.perf_counter() - started) / len(active)
        for run, outcome in zip(active, outcomes, strict=True):
            run.record(outcome, seconds)
        for run in active:
            run.apply_answer()
    for run in runs:
        run.finish()
    return [run.progress for run in runs]


class MemberTraining:
    """The training of one member: its session, progress, reports and checkpoints."""

    def __init__(self, member: Member, workers: Workers) -> None:
        self.member, self.workers = member, workers
        self.session = Session(member.problem, member.config, member.seed, workers)
        self.progress = self.session.restore(member.checkpoint.load()) if member.checkpoint else Progress()
        self.answer: object = False
        for past in self.progress.history:
            self.answer = self.report(past)
            self.apply_answer()
            if self.progress.stopped:
                break

    @property
    def is_active(self) -> bool:
        """Whether there is an epoch to train."""
        progress = self.progress
        return progress.epoch < self.member.config.epochs and not progress.stopped and progress.error is None

    def record(self, outcome: "Outcome", seconds: float) -> None:
        """Add an epoch's outcome to the progress, save it and report it."""
        if isinstance(outcome, NonFiniteLossError):
            self.progress.error = outcome
            return
        progress, checkpoint = self.progress, self.member.checkpoint
        progress.epoch += 1
        progress.seconds += seconds
        progress.history.append(EpochReport(progress.epoch, outcome))
        self.session.record_best(progress)
        if checkpoint and self.workers.rank == 0:
            checkpoint.save(lambda: self.session.state(progress), last=progress.epoch == self.member.config.epochs)
        self.answer = self.report(progress.history[-1])

    def report(self, report: EpochReport) -> object:
        """Report an epoch and return the answer; False without a report function and on other ranks."""
        send = self.member.report
        return send(report) if send and self.workers.rank == 0 else False

    def apply_answer(self) -> None:
        """Stop on every rank if the answer to the last report says so."""
        if self.progress.error is None:
            answer = self.answer() if callable(self.answer) else self.answer
            self.progress.stopped = self.workers.broadcast(bool(answer))

    def finish(self) -> None:
        """Leave the student with the selected weights."""
        student = self.member.problem.student
        student.load_state_dict(self.progress.best_state or student.state_dict())
        student.eval()


def epochs_of(runs: Sequence[MemberTraining]) -> Callable[[Sequence[int]], list[Outcome]]:
    """A function that trains each run for the epoch of the given number."""
    sessions = [run.session for run in runs]
    if len({session.shape for session in sessions}) == 1 < len(sessions):
        return Pack(sessions).run_epochs
    return lambda epochs: [
        one for session, epoch in zip(sessions, epochs, strict=True) for one in session.run_epochs([epoch])
    ]
