"""The conductor: between the study's search and Ray Tune's two extension points, searcher and scheduler."""

import threading
from collections import deque
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from study import events
from study.config import StudyConfig
from study.events import Emit
from study.mailbox import News
from study.search import Job, Search
from study.store import StudyStore
from trainables.assignments import Assignment


class Conductor:
    """Passes proposals, epochs and results between the search, Tune, and the display.

    Tune calls the searcher and the scheduler in one thread, so the search needs no lock.
    """

    def __init__(self, study: StudyConfig, store: StudyStore, search: Search, emit: Emit, mailbox: Any) -> None:
        self.study, self.store, self.search, self.mailbox = study, store, search, mailbox
        self.interrupted = threading.Event()
        self._emit = emit
        self._lengths = store.lengths()
        self._jobs: dict[str, Job] = {}
        """By Tune's id, the trials of which Tune knows."""
        self._ahead: deque[Job] = deque()
        """Trials in the mailbox of which Tune does not know yet: a slot begins one at once, and tells Tune later."""
        self._pruned: set[str] = set()
        self._started: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher, scheduler and stopper into snapshots that nobody reads: nothing of ours."""
        return {}

    def suggest(self, tune_id: str) -> dict[str, Any] | str | None:
        """The next trial, put into the mailbox, as a Tune config; None: wait; FINISHED."""
        if self.interrupted.is_set():
            return Searcher.FINISHED
        job = self._ahead.popleft() if self._ahead else self.search.next()
        for reused, result in self.search.take_reused():
            seed, trial_id = reused.trial.seed, reused.trial.trial_id
            self._emit(events.TrialReused(trial_id, reused.arm, reused.number, seed, reused.params, result))
        for arm, left_out in self.search.take_skipped():
            self._emit(events.ConfigurationSkipped(arm, left_out.number, left_out.params, left_out.skipped))
        if job is None:
            return Searcher.FINISHED if self.search.finished() else None
        self._jobs[tune_id] = job
        self._submit(job)
        while len(self._ahead) < self.study.resources.concurrency and (following := self.search.next_ahead()):
            self._submit(following)
            self._ahead.append(following)
        return {"trial_id": job.trial.trial_id}

    def _submit(self, job: Job) -> None:
        """Put a trial into the mailbox, which knows one that is on its way already."""
        ray.get(self.mailbox.submit.remote(self._assignment(job)))

    def hear(self, tune_id: str, news: News) -> None:
        """Take in a trial's news, and tell its slot if it is to stop; the slot then hands in what was decided."""
        job = self._jobs[tune_id]
        trial_id = job.trial.trial_id
        for notice in news.notices:
            died = events.WorkersDied(notice.slot, notice.trial_id or None, notice.deaths)
            self._emit(died if notice.kind == "died" else events.SlotReady(notice.slot))
        if news.reports and trial_id not in self._started:
            self._started.add(trial_id)
            whence = (news.from_epoch, news.slot)
            self._emit(events.TrialStarted(trial_id, job.arm, job.number, job.trial.seed, job.params, *whence))
        for report in news.reports:
            if trial_id in self._pruned:
                return
            self._emit(events.EpochFinished(trial_id, report, job.trial.training.epochs))
            if self.search.report(trial_id, report):
                self._pruned.add(trial_id)
                ray.get(self.mailbox.stop.remote(trial_id, report.epoch))

    def end(self, tune_id: str, news: News | None) -> None:
        """Tune is done with a trial: its result is stored, or it was interrupted, or its relay died too often."""
        job = self._jobs.pop(tune_id)
        trial_id = job.trial.trial_id
        if news is None or news.result is None:
            self.search.release(trial_id)
            return
        self.search.complete(trial_id, news.result)
        self._emit(events.TrialFinished(trial_id, job.arm, job.number, job.trial.seed, job.params, news.result))

    def _assignment(self, job: Job) -> Assignment:
        return Assignment(
            kind="train",
            trial_id=job.trial.trial_id,
            config=job.trial.model_dump(mode="json"),
            directory=str(self.store.trial(job.trial.trial_id).path.resolve()),
            prunable=job.first_seed and self.study.search.pruner != "none",
            shorter=tuple(epochs for epochs in self._lengths if epochs < job.trial.training.epochs),
        )


class StudySearcher(Searcher):
    """Tune's searcher over the study's own search."""

    def __init__(self, conductor: Conductor, address: dict[str, str]) -> None:
        super().__init__()
        self.conductor, self.address = conductor, address

    def suggest(self, trial_id: str) -> Any:
        suggestion = self.conductor.suggest(trial_id)
        return {**suggestion, **self.address} if isinstance(suggestion, dict) else suggestion

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        news: News | None = (result or {}).get("news")
        if news is not None and not error and news.result is not None:
            self.conductor.hear(trial_id, news)
        self.conductor.end(trial_id, None if error else news)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is rebuilt from its store."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""


class StudyScheduler(FIFOScheduler):
    """Tune's scheduler: first in, first out, and the search's pruner decides who stops.

    It never answers STOP: a pruned trial ends like any other, when its slot has stored what was decided. Were Tune to
    end it at once, the next trial could start before the store knows of this one's end.
    """

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self.conductor = conductor

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict) -> str:
        self.conductor.hear(trial.trial_id, result["news"])
        return TrialScheduler.CONTINUE


class InterruptStopper(tune.Stopper):
    """Ends Tune's run when the user has asked for it."""

    def __init__(self, conductor: Conductor) -> None:
        self.conductor = conductor

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.conductor.interrupted.is_set()
