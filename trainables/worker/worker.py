"""What Ray Train runs on every worker of a slot: take a pack of trials, train it, report it, take the next.

A slot is one long-lived worker group, because starting a group costs 8 to 25 seconds and a trial often less. Rank 0
talks to the mailbox (see `study.execution.mailbox`) and broadcasts what it hears. The group that replaces a dead one is
handed
the pack that died with it, and goes on from the trials' checkpoints.
"""

import shutil
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray
import ray.train
import ray.train.torch
import ray.util
import torch

from trainables.common.atomic_files import write_bytes
from trainables.common.distributed import Workers
from trainables.common.results import TrialError, TrialResult
from trainables.config import TrialConfig
from trainables.fitting import FitJob, FitResult, InputCache, fit_together, prepare_trial
from trainables.stages.artifacts import StageStore
from trainables.training.pack_size import find_pack_size
from trainables.training.session import NonFiniteLossError
from trainables.worker.driver_link import CheckpointFile, DriverLostError, Line, answer_of
from trainables.worker.messages import Assignment, PackResult, SlotConfig, TrialOrder, Verdict
from trainables.worker.trial_directory import TrialDirectory


def run_slot(settings: dict[str, Any]) -> None:
    """The Ray Train function: take and run assignments until the mailbox closes.

    Args:
        settings: the fields of a SlotConfig.

    """
    slot = SlotConfig(**settings)
    torch.set_num_threads(slot.threads)
    context = ray.train.get_context()
    workers = Workers(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
    mailbox = ray.get_actor(slot.mailbox, namespace=slot.namespace)
    stages = StageStore(Path(slot.stages))
    if workers.rank == 0:
        ray.get(mailbox.hello.remote(slot.slot, ray.util.get_current_placement_group()))
    while True:
        taken = ray.get(mailbox.take.remote(slot.slot)) if workers.rank == 0 else None
        assignment: Assignment = workers.broadcast(taken)  # pyright: ignore[reportAssignmentType]
        if assignment.kind == "close":
            return
        if assignment.kind == "abandon" and workers.rank == 0:
            abandon(assignment, slot, mailbox)
        if assignment.kind == "train":
            run_assignment(assignment, slot, mailbox, stages, workers)


class Task(NamedTuple):
    """A trial of an assignment, on its way."""

    order: TrialOrder
    config: TrialConfig
    trial: TrialDirectory
    checkpoint: CheckpointFile


def run_assignment(
    assignment: Assignment, slot: SlotConfig, mailbox: Any, stages: StageStore, workers: Workers
) -> None:
    """Train the trials of a pack and store how each ended. An exception of a trial's own making fails it alone."""
    tasks = [task_of(order, slot) for order in assignment.trials]
    # Of several, a worker group that died may have stored some of the results.
    stored = {task.trial.path.name: task.trial.result() for task in tasks} if len(tasks) > 1 else {}
    ended = {trial_id: result for trial_id, result in stored.items() if result}
    tasks = [task for task in tasks if task.order.trial_id not in ended and not is_superfluous(task, ended)]
    size = assignment.size
    if size is None and tasks:
        size = find_size(tasks, stages, workers)
    tasks = tasks[:size]
    line = Line(mailbox, slot.slot, assignment)
    if workers.rank == 0:
        mailbox.began.remote(assignment.pack, {task.order.trial_id: begin(task) for task in tasks})
    workers.broadcast(None)  # nobody reads a checkpoint before it is there
    fitted = train_tasks(tasks, line, stages, workers)
    if workers.size > 1 and isinstance(fitted[0], Exception) and not isinstance(fitted[0], NonFiniteLossError):
        # The other ranks may be waiting for this one: only a new group is sure to be in step.
        ray.get(mailbox.blame.remote(slot.slot, assignment.pack, describe(fitted[0])))
        raise fitted[0]
    if workers.rank == 0 and not line.interrupted:
        conclude(list(zip(tasks, fitted, strict=True)), line, PackResult(ended, size))


def task_of(order: TrialOrder, slot: SlotConfig) -> Task:
    """The trial of an order."""
    trial = TrialDirectory(Path(order.directory))
    checkpoint = CheckpointFile(trial.checkpoint / "state.pt", slot.checkpoint_seconds)
    return Task(order, TrialConfig.model_validate(order.config), trial, checkpoint)


def begin(task: Task) -> int:
    """Note that a trial begins or goes on; the epochs that its checkpoint holds."""
    if not task.checkpoint.path.exists():
        adopt_shorter(task.config, task.trial, task.checkpoint.path, task.order.shorter)
    state = task.checkpoint.load()
    begun = state["progress"]["epoch"] if state else 0
    task.trial.begin(task.config, from_epoch=begun)
    return begun


def adopt_shorter(config: TrialConfig, trial: TrialDirectory, checkpoint: Path, lengths: tuple[int, ...]) -> None:
    """Start from the last state of the same trial with fewer epochs, if it is complete: a longer study repeats nothing.

    Exact only where no step depends on the number of epochs to come, so not under a falling learning rate.
    """
    if config.training.schedule != "constant":
        return
    for epochs in lengths:
        training = config.training.model_copy(update={"epochs": epochs})
        shorter = TrialDirectory(trial.path.with_name(config.model_copy(update={"training": training}).trial_id))
        result = shorter.result()
        state = shorter.checkpoint / checkpoint.name
        if result is not None and result.status == "complete" and state.exists():
            trial.set_history(shorter.history())
            write_bytes(checkpoint, state.read_bytes())
            return


def find_size(tasks: Sequence[Task], stages: StageStore, workers: Workers) -> int:
    """How many of the trials it pays to train together; 1 where the first cannot even be prepared."""
    if len(tasks) == 1:
        return 1
    config = tasks[0].config
    try:
        prepared = prepare_trial(config, InputCache(stages, workers.device), workers)
    except Exception:  # the trial's own training will say so
        return 1
    stages.put_back(prepared.used)
    return find_pack_size(prepared.problem, config.training, workers, len(tasks))


def train_tasks(tasks: Sequence[Task], line: Line, stages: StageStore, workers: Workers) -> list[FitResult | Exception]:
    """What the training of each trial comes to. Raises DriverLostError.

    What befalls a pack as a whole (no memory for all of it) is tried again trial by trial.
    """
    orders = [FitJob(task.config, line.reporter(task.trial, task.checkpoint), task.checkpoint) for task in tasks]
    if not tasks:
        return []
    try:
        return fit_together(orders, stages=stages, workers=workers)
    except DriverLostError:
        raise  # no failure of the trial: whoever drives the study next goes on from its checkpoint
    except Exception as error:
        if len(tasks) == 1:
            return [error]
    if workers.device.type == "cuda":
        torch.cuda.empty_cache()
    return [fitted for task in tasks for fitted in train_tasks([task], line, stages, workers)]


def is_superfluous(task: Task, ended: dict[str, TrialResult]) -> bool:
    """Whether the trial is one of the further seeds of a configuration whose first seed was pruned or failed."""
    if not task.order.follows:
        return False
    first = ended.get(task.order.follows) or TrialDirectory(task.trial.path.with_name(task.order.follows)).result()
    return first is not None and first.status != "complete"


def conclude(fitted: Sequence[tuple[Task, FitResult | Exception]], line: Line, ended: PackResult) -> None:
    """Store the end of the trials, after the driver has said which were pruned on the way.

    Training runs ahead of the driver's decisions. What is stored is what was decided: the history of a pruned trial
    ends with the epoch at which it was pruned, however far training had come, so a result never depends on timing.
    """
    verdict = Verdict({}, False)
    if any(task.order.prunable for task, _ in fitted):
        asked = line.mailbox.verdict.remote(line.slot, line.pack, line.take())
        verdict = Verdict(*answer_of(asked, "say which trials are pruned"))
    if verdict.interrupted:
        return
    results = dict(ended.results)
    for task, outcome in fitted:
        if is_superfluous(task, results):
            shutil.rmtree(task.trial.path)  # it was trained ahead, and its configuration has ended without it
        else:
            results[task.order.trial_id] = store_end(task, outcome, verdict.pruned.get(task.order.trial_id))
    handed_in = line.mailbox.done.remote(line.slot, line.pack, line.take(), PackResult(results, ended.size))
    answer_of(handed_in, "take the results")


def store_end(task: Task, fitted: FitResult | Exception, pruned_at: int | None) -> TrialResult:
    """Store the end of one trial."""
    trial = task.trial
    if isinstance(fitted, Exception):
        result = TrialResult("failed", epochs=len(trial.history()), error=describe(fitted))
    else:
        result = fitted.result
    if pruned_at is not None:
        kept = [report for report in trial.history() if report.epoch <= pruned_at]
        trial.set_history(kept)
        result = replace(
            result, status="pruned", metrics=kept[-1].metrics, epochs=len(kept), selected_epoch=len(kept), error=None
        )
    elif isinstance(fitted, FitResult):
        trial.write_diagnostics({name: np.asarray(value) for name, value in fitted.diagnostics.items()})
    trial.finish(result)
    return result


def abandon(assignment: Assignment, slot: SlotConfig, mailbox: Any) -> None:
    """Store the failure of a trial that killed its worker groups or broke one of several ranks."""
    [order] = assignment.trials
    trial = TrialDirectory(Path(order.directory))
    trial.begin(TrialConfig.model_validate(order.config), from_epoch=len(trial.history()))
    result = TrialResult("failed", epochs=len(trial.history()), error=assignment.error)
    trial.finish(result)
    ray.get(mailbox.done.remote(slot.slot, assignment.pack, [], PackResult({order.trial_id: result})))


def describe(error: Exception) -> TrialError:
    """What the store keeps of an exception."""
    return TrialError(
        kind=type(error).__name__,
        message=str(error),
        epoch=getattr(error, "epoch", None),
        step=getattr(error, "step", None),
        traceback="".join(traceback.format_exception(error)),
    )
