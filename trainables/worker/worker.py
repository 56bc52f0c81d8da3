"""The function that Ray Train runs on every worker of a slot: take a pack of trials, train it, report it, repeat.

A slot is one long-lived worker group, because starting a group takes 8 to 25 seconds and a trial often less. Rank 0
calls the mailbox (see `study.execution.mailbox`) and broadcasts its answers. A group that replaces a dead one gets the
dead group's pack again and continues from the trials' checkpoints.
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
from trainables.worker.driver_link import CheckpointFile, DriverLink, DriverLostError, answer_of
from trainables.worker.messages import Assignment, PackResult, PruneDecisions, SlotConfig, TrialJob
from trainables.worker.trial_directory import TrialDirectory


def run_slot(settings: dict[str, Any]) -> None:
    """Take assignments from the mailbox and run them until it closes.

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
        ray.get(mailbox.register.remote(slot.slot, ray.util.get_current_placement_group()))
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
    """A trial of an assignment with its directory and checkpoint."""

    job: TrialJob
    config: TrialConfig
    trial: TrialDirectory
    checkpoint: CheckpointFile


def run_assignment(
    assignment: Assignment, slot: SlotConfig, mailbox: Any, stages: StageStore, workers: Workers
) -> None:
    """Train the trials of a pack and store their results. An exception in one trial fails only that trial.

    Args:
        assignment: the pack.
        slot: settings of this slot.
        mailbox: handle of the mailbox actor.
        stages: the shared artifacts.
        workers: this process among those of the slot.

    Raises:
        DriverLostError: if the mailbox is gone.
        Exception: if a trial fails on one of several ranks: only a new worker group brings the ranks back into step.
    """
    tasks = [task_of(job, slot) for job in assignment.trials]
    # A worker group that died may already have stored some results of a pack.
    stored = {task.job.trial_id: task.trial.result() for task in tasks} if len(tasks) > 1 else {}
    ended = {trial_id: result for trial_id, result in stored.items() if result}
    tasks = [task for task in tasks if task.job.trial_id not in ended and not is_superfluous(task, ended)]
    size = assignment.size
    if size is None and tasks:
        size = find_size(tasks, stages, workers)
    tasks = tasks[:size]
    link = DriverLink(mailbox, slot.slot, assignment)
    if workers.rank == 0:
        mailbox.started.remote(assignment.pack, {task.job.trial_id: begin(task) for task in tasks})
    workers.broadcast(None)  # every rank waits until rank 0 has written the checkpoints
    fitted = train_tasks(tasks, link, stages, workers)
    if workers.size > 1 and isinstance(fitted[0], Exception) and not isinstance(fitted[0], NonFiniteLossError):
        # The other ranks may be waiting for this one in a collective operation.
        ray.get(mailbox.fail.remote(slot.slot, assignment.pack, describe(fitted[0])))
        raise fitted[0]
    if workers.rank == 0 and not link.interrupted:
        conclude(list(zip(tasks, fitted, strict=True)), link, PackResult(ended, size))


def task_of(job: TrialJob, slot: SlotConfig) -> Task:
    """The trial of a job."""
    trial = TrialDirectory(Path(job.directory))
    checkpoint = CheckpointFile(trial.checkpoint / "state.pt", slot.checkpoint_seconds)
    return Task(job, TrialConfig.model_validate(job.config), trial, checkpoint)


def begin(task: Task) -> int:
    """Record that a trial starts or continues, and return the number of epochs in its checkpoint."""
    if not task.checkpoint.path.exists():
        copy_shorter_trial(task)
    state = task.checkpoint.load()
    epochs = state["progress"]["epoch"] if state else 0
    task.trial.begin(task.config, from_epoch=epochs)
    return epochs


def copy_shorter_trial(task: Task) -> None:
    """Copy history and checkpoint of the same trial with fewer epochs, if it is complete, so that no epoch is repeated.

    This is exact only if no step depends on the total number of epochs, so it is not done with a learning rate
    schedule.
    """
    config, trial, checkpoint = task.config, task.trial, task.checkpoint.path
    if config.training.schedule != "constant":
        return
    for epochs in task.job.shorter:
        training = config.training.model_copy(update={"epochs": epochs})
        shorter = TrialDirectory(trial.path.with_name(config.model_copy(update={"training": training}).trial_id))
        result = shorter.result()
        state = shorter.checkpoint / checkpoint.name
        if result is not None and result.status == "complete" and state.exists():
            trial.set_history(shorter.history())
            write_bytes(checkpoint, state.read_bytes())
            return


def find_size(tasks: Sequence[Task], stages: StageStore, workers: Workers) -> int:
    """Number of trials that it pays to train together; 1 if the first one cannot be prepared.

    Args:
        tasks: the trials.
        stages: the shared artifacts.
        workers: this process among those of the slot.
    """
    if len(tasks) == 1:
        return 1
    config = tasks[0].config
    try:
        prepared = prepare_trial(config, InputCache(stages, workers.device), workers)
    except Exception:  # training the trial raises the same error and reports it
        return 1
    stages.add_usage(prepared.used)
    return find_pack_size(prepared.problem, config.training, workers, len(tasks))


def train_tasks(
    tasks: Sequence[Task], link: DriverLink, stages: StageStore, workers: Workers
) -> list[FitResult | Exception]:
    """Train the trials together. If the pack as a whole fails (out of memory), train them one by one.

    Args:
        tasks: the trials.
        link: receives their epochs.
        stages: the shared artifacts.
        workers: this process among those of the slot.

    Returns:
        For each trial what `fit` returned, or its exception.

    Raises:
        DriverLostError: if the mailbox is gone.
    """
    orders = [FitJob(task.config, link.reporter(task.trial, task.checkpoint), task.checkpoint) for task in tasks]
    if not tasks:
        return []
    try:
        return fit_together(orders, stages=stages, workers=workers)
    except DriverLostError:
        raise  # the trial has not failed: the next run of the study continues from its checkpoint
    except Exception as error:
        if len(tasks) == 1:
            return [error]
    if workers.device.type == "cuda":
        torch.cuda.empty_cache()
    return [fitted for task in tasks for fitted in train_tasks([task], link, stages, workers)]


def is_superfluous(task: Task, ended: dict[str, TrialResult]) -> bool:
    """Whether the trial is a later seed of a configuration whose first seed was pruned or failed."""
    if not task.job.follows:
        return False
    first = ended.get(task.job.follows) or TrialDirectory(task.trial.path.with_name(task.job.follows)).result()
    return first is not None and first.status != "complete"


def conclude(fitted: Sequence[tuple[Task, FitResult | Exception]], link: DriverLink, ended: PackResult) -> None:
    """Store the results of the trials after the driver has decided which of them were pruned.

    Training runs ahead of the driver's decisions, but the decision is what is stored: the history of a pruned trial
    ends with the epoch at which it was pruned, even if later epochs were trained. So a result never depends on timing.

    Args:
        fitted: each trial with its training result or exception.
        link: connection to the driver.
        ended: results that are already stored, and the measured pack size.
    """
    decisions = PruneDecisions({}, False)
    if any(task.job.prunable for task, _ in fitted):
        asked = link.mailbox.decisions.remote(link.slot, link.pack, link.take_unsent())
        decisions = PruneDecisions(*answer_of(asked, "decide which trials are pruned"))
    if decisions.interrupted:
        return
    results = dict(ended.results)
    for task, outcome in fitted:
        if is_superfluous(task, results):
            shutil.rmtree(task.trial.path)  # trained before the configuration ended with its first seed
        else:
            results[task.job.trial_id] = store_result(task, outcome, decisions.pruned.get(task.job.trial_id))
    finished = link.mailbox.finish.remote(link.slot, link.pack, link.take_unsent(), PackResult(results, ended.size))
    answer_of(finished, "accept the results")


def store_result(task: Task, fitted: FitResult | Exception, pruned_at: int | None) -> TrialResult:
    """Store the result of one trial.

    Args:
        task: the trial.
        fitted: what its training returned, or its exception.
        pruned_at: epoch after which the driver pruned it; None if it was not pruned.

    Returns:
        The stored result.
    """
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
    """Store the failure of a trial that killed its worker groups or failed on one of several ranks.

    Args:
        assignment: the trial and its error.
        slot: settings of this slot.
        mailbox: handle of the mailbox actor.
    """
    [job] = assignment.trials
    trial = TrialDirectory(Path(job.directory))
    trial.begin(TrialConfig.model_validate(job.config), from_epoch=len(trial.history()))
    result = TrialResult("failed", epochs=len(trial.history()), error=assignment.error)
    trial.finish(result)
    ray.get(mailbox.finish.remote(slot.slot, assignment.pack, [], PackResult({job.trial_id: result})))


def describe(error: Exception) -> TrialError:
    """The stored form of an exception."""
    return TrialError(
        kind=type(error).__name__,
        message=str(error),
        epoch=getattr(error, "epoch", None),
        step=getattr(error, "step", None),
        traceback="".join(traceback.format_exception(error)),
    )
