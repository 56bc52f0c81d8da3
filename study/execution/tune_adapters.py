"""Adapters between the study's search and Ray Tune: searcher, scheduler and stopper."""

import threading
from collections import deque
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from study.config.resolved_study import ResolvedStudy
from study.execution import events
from study.execution.events import Emit
from study.execution.mailbox import TrialUpdates
from study.execution.pack_sizes import PackSizes
from study.search.search import Job, Search
from study.storage.store import StudyStore
from trainables.worker.messages import Assignment, TrialJob

Pack = dict[str, Job]
"""Trials that are trained together, by trial id. The first one names the pack."""


class TuneBridge:
    """Passes proposals, epochs and results between the search, the mailbox and the display.

    Tune calls the searcher and the scheduler in one thread, so the search needs no lock.
    """

    def __init__(self, study: ResolvedStudy, store: StudyStore, search: Search, emit: Emit, mailbox: Any) -> None:
        """Connect the parts of one run.

        Args:
            study: the study.
            store: its directory.
            search: rebuilt from the store.
            emit: receives the events of the run.
            mailbox: handle of the mailbox actor.
        """
        self.study, self.store, self.search, self.mailbox = study, store, search, mailbox
        self.interrupted = threading.Event()
        self._emit = emit
        self._epoch_counts = store.epoch_counts()
        self._packs: dict[str, Pack] = {}
        """The packs that Tune runs, by Tune's trial id."""
        self._ahead: deque[Pack] = deque()
        """Packs in the mailbox that Tune has not asked for yet: a slot can start one before Tune knows of it."""
        self._pruned: set[str] = set()
        self._started: set[str] = set()
        self._sizes = PackSizes(study.resources)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles searcher, scheduler and stopper into snapshots that are never read."""
        return {}

    def suggest(self, tune_id: str) -> dict[str, Any] | str | None:
        """Submit the next pack to the mailbox.

        Returns:
            The pack as a Tune config; None if Tune must wait for a running trial; FINISHED if the study ends.
        """
        if self.interrupted.is_set():
            return Searcher.FINISHED
        pack = self._ahead.popleft() if self._ahead else self._next_pack()
        self._emit_found()
        if not pack:
            return Searcher.FINISHED if self.search.finished() else None
        self._packs[tune_id] = pack
        self._submit(pack)
        while len(self._ahead) < self.study.resources.concurrency and (following := self._next_pack(ahead=True)):
            self._submit(following)
            self._ahead.append(following)
        return {"pack": name_of(pack)}

    def apply_updates(self, tune_id: str, updates: TrialUpdates) -> None:
        """Report a pack's epochs to the search, and tell the mailbox which trials it prunes."""
        pack = self._packs[tune_id]
        for notice in updates.notices:
            died = events.WorkersDied(notice.slot, notice.trials, notice.deaths)
            self._emit(died if notice.kind == "died" else events.SlotReady(notice.slot))
        for trial_id, report in updates.reports:
            job = pack[trial_id]
            if trial_id in self._pruned:
                continue
            if trial_id not in self._started:
                self._started.add(trial_id)
                self._emit(events.TrialStarted(job.trial, updates.from_epoch.get(trial_id, 0), updates.slot))
            self._emit(events.EpochFinished(job.trial, report, job.config.training.epochs))
            if self.search.report(trial_id, report):
                self._pruned.add(trial_id)
                ray.get(self.mailbox.prune.remote(name_of(pack), trial_id, report.epoch))

    def finish_pack(self, tune_id: str, updates: TrialUpdates | None) -> None:
        """Tune has ended a pack.

        Args:
            tune_id: Tune's id of the pack.
            updates: the last updates; None if its Tune actor died too often. Trials without a result were interrupted.
        """
        pack = self._packs.pop(tune_id)
        results = updates.results if updates else {}
        done = updates is not None and updates.done
        if updates and done:
            self._sizes.record(first_of(pack).config, len(pack), updates.size)
        for trial_id, job in pack.items():
            if result := results.get(trial_id):
                self.search.complete(trial_id, result)
                self._emit(events.TrialFinished(job.trial, result))
        for trial_id, job in pack.items():
            if trial_id in results:
                continue
            self.search.release(trial_id)
            if done and trial_id in self._started:
                self._started.discard(trial_id)
                self._emit(events.TrialLeftOut(job.trial))

    def _emit_found(self) -> None:
        """Emit what the search has found without running a trial: results in the store, skipped configurations."""
        for reused, result in self.search.take_reused():
            self._emit(events.TrialReused(reused.trial, result))
        for arm, skipped in self.search.take_skipped():
            self._emit(events.ConfigurationSkipped(arm, skipped.number, skipped.params, skipped.skipped))

    def _next_pack(self, ahead: bool = False) -> Pack:
        """The trials to train together next; empty if `Search.next` returns None."""
        hasty = self.study.resources.pack != "auto"
        jobs = self.search.next_pack(
            lambda first: self._sizes.largest(first, self.search.left), ahead=ahead, hasty=hasty
        )
        return {job.trial.trial_id: job for job in jobs}

    def _submit(self, pack: Pack) -> None:
        """Submit a pack to the mailbox. Submitting the same pack twice has no effect."""
        size = self._sizes.known(first_of(pack).config, len(pack))
        assignment = Assignment("train", name_of(pack), tuple(map(self._trial_job, pack.values())), size)
        ray.get(self.mailbox.submit.remote(assignment))

    def _trial_job(self, job: Job) -> TrialJob:
        return TrialJob(
            trial_id=job.trial.trial_id,
            config=job.config.model_dump(mode="json"),
            directory=str(self.store.trial(job.trial.trial_id).path.resolve()),
            prunable=job.first_seed and self.study.search.pruner != "none",
            shorter=tuple(epochs for epochs in self._epoch_counts if epochs < job.config.training.epochs),
            follows=job.follows,
        )


def first_of(pack: Pack) -> Job:
    """The first trial of a pack."""
    return next(iter(pack.values()))


def name_of(pack: Pack) -> str:
    """Name of a pack: the trial id of its first trial."""
    return next(iter(pack))


class SearchAdapter(Searcher):
    """The study's search as a Tune searcher."""

    def __init__(self, bridge: TuneBridge, address: dict[str, str]) -> None:
        """Wrap `bridge`; `address` is added to every config, so that the trainable finds the mailbox."""
        super().__init__()
        self.bridge, self.address = bridge, address

    def suggest(self, trial_id: str) -> Any:
        suggestion = self.bridge.suggest(trial_id)
        return {**suggestion, **self.address} if isinstance(suggestion, dict) else suggestion

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        updates: TrialUpdates | None = (result or {}).get("updates")
        if updates is not None and not error and updates.done:
            self.bridge.apply_updates(trial_id, updates)
        self.bridge.finish_pack(trial_id, None if error else updates)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the search is rebuilt from the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""


class SchedulerAdapter(FIFOScheduler):
    """The search's pruner as a Tune scheduler.

    It never returns STOP: a pruned trial ends like any other, after its slot has stored the decision. If Tune ended it
    at once, the next trial could start before the store contains the end of this one.
    """

    def __init__(self, bridge: TuneBridge) -> None:
        super().__init__()
        self.bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        self.bridge.apply_updates(trial.trial_id, result["updates"])
        return TrialScheduler.CONTINUE


class InterruptStopper(tune.Stopper):
    """Ends Tune's run after the user has interrupted it."""

    def __init__(self, bridge: TuneBridge) -> None:
        self.bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.bridge.interrupted.is_set()
