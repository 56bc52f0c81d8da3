"""The conductor: between the study's search and Ray Tune's two extension points, searcher and scheduler."""

import math
import threading
from collections import deque
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from study.config.study_config import ResourcesConfig, StudyConfig
from study.execution import events
from study.execution.events import Emit
from study.execution.mailbox import News
from study.search.search import Job, Search
from study.storage.store import StudyStore
from trainables.config import TrialConfig
from trainables.training.pack_key import pack_key
from trainables.worker.messages import Assignment, TrialOrder

LARGEST_PACK = 64
"""No more trials than this are trained together unless the study file says so."""


class Conductor:
    """Passes proposals, epochs and results between the search, Tune, and the display.

    Tune calls the searcher and the scheduler in one thread, so the search needs no lock.
    """

    def __init__(self, study: StudyConfig, store: StudyStore, search: Search, emit: Emit, mailbox: Any) -> None:
        self.study, self.store, self.search, self.mailbox = study, store, search, mailbox
        self.interrupted = threading.Event()
        self._emit = emit
        self._lengths = store.epoch_counts()
        self._packs: dict[str, dict[str, Job]] = {}
        """By Tune's id, the packs of which Tune knows: their trials by id, the first of which names the pack."""
        self._ahead: deque[dict[str, Job]] = deque()
        """Packs in the mailbox of which Tune does not know yet: a slot begins one at once, and tells Tune later."""
        self._pruned: set[str] = set()
        self._started: set[str] = set()
        self._sizes = PackSizes(study.resources)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher, scheduler and stopper into snapshots that nobody reads: nothing of ours."""
        return {}

    def suggest(self, tune_id: str) -> dict[str, Any] | str | None:
        """The next pack, put into the mailbox, as a Tune config; None: wait; FINISHED."""
        if self.interrupted.is_set():
            return Searcher.FINISHED
        pack = self._ahead.popleft() if self._ahead else self._next_pack()
        for reused, result in self.search.take_reused():
            self._emit(events.TrialReused(reused.trial, result))
        for arm, left_out in self.search.take_skipped():
            self._emit(events.ConfigurationSkipped(arm, left_out.number, left_out.params, left_out.skipped))
        if not pack:
            return Searcher.FINISHED if self.search.finished() else None
        self._packs[tune_id] = pack
        self._submit(pack)
        while len(self._ahead) < self.study.resources.concurrency and (following := self._next_pack(ahead=True)):
            self._submit(following)
            self._ahead.append(following)
        return {"pack": next(iter(pack))}

    def _next_pack(self, ahead: bool = False) -> dict[str, Job]:
        """The trials to train together next, by id; none as for `Search.next`."""
        hasty = self.study.resources.pack != "auto"
        jobs = self.search.next_pack(lambda lead: self._sizes.most(lead, self.search.left), ahead=ahead, hasty=hasty)
        return {job.trial.trial_id: job for job in jobs}

    def _submit(self, pack: dict[str, Job]) -> None:
        """Put a pack into the mailbox, which knows one that is on its way already."""
        ray.get(self.mailbox.submit.remote(self._assignment(pack)))

    def hear(self, tune_id: str, news: News) -> None:
        """Take in a pack's news, and tell its slot which trials are to stop; it then hands in what was decided."""
        pack = self._packs[tune_id]
        for notice in news.notices:
            died = events.WorkersDied(notice.slot, notice.trials, notice.deaths)
            self._emit(died if notice.kind == "died" else events.SlotReady(notice.slot))
        for trial_id, report in news.reports:
            job = pack[trial_id]
            if trial_id in self._pruned:
                continue
            if trial_id not in self._started:
                self._started.add(trial_id)
                self._emit(events.TrialStarted(job.trial, news.from_epoch.get(trial_id, 0), news.slot))
            self._emit(events.EpochFinished(job.trial, report, job.config.training.epochs))
            if self.search.report(trial_id, report):
                self._pruned.add(trial_id)
                ray.get(self.mailbox.stop.remote(next(iter(pack)), trial_id, report.epoch))

    def end(self, tune_id: str, news: News | None) -> None:
        """Tune is done with a pack: results are stored, or it was interrupted, or its relay died too often."""
        pack = self._packs.pop(tune_id)
        results = news.results if news else {}
        if news and news.done:
            self._sizes.learn(next(iter(pack.values())).config, len(pack), news.size)
        for trial_id, job in pack.items():
            if result := results.get(trial_id):
                self.search.complete(trial_id, result)
                self._emit(events.TrialFinished(job.trial, result))
        for trial_id, job in pack.items():
            if trial_id in results:
                continue
            self.search.release(trial_id)
            if news and news.done and trial_id in self._started:
                self._started.discard(trial_id)
                self._emit(events.TrialLeftOut(job.trial))

    def _assignment(self, pack: dict[str, Job]) -> Assignment:
        lead = next(iter(pack.values())).config
        orders = tuple(self._order(job) for job in pack.values())
        return Assignment("train", lead.trial_id, orders, self._sizes.known(lead, len(pack)))

    def _order(self, job: Job) -> TrialOrder:
        return TrialOrder(
            trial_id=job.trial.trial_id,
            config=job.config.model_dump(mode="json"),
            directory=str(self.store.trial(job.trial.trial_id).path.resolve()),
            prunable=job.first_seed and self.study.search.pruner != "none",
            shorter=tuple(epochs for epochs in self._lengths if epochs < job.config.training.epochs),
            follows=job.follows,
        )


class PackSizes:
    """How many trials to train together, by what the slots have measured."""

    def __init__(self, resources: ResourcesConfig) -> None:
        self.resources = resources
        self._best: dict[str, int] = {}
        """Of each kind of trial (`pack_key`), the size beyond which it does not pay."""
        self._paid: dict[str, int] = {}
        """The largest size that was seen to pay."""

    def most(self, lead: TrialConfig, left: int) -> int:
        """How many trials like `lead` to take together, of `left` trials that are still to be run: every slot's share.

        Several workers train one trial, so they never train a pack.
        """
        if self.resources.workers > 1:
            return 1
        most = self.resources.pack
        if most == "auto":
            most = self._best.get(pack_key(lead) or "", LARGEST_PACK)
        return max(1, min(most, math.ceil(left / self.resources.concurrency)))

    def known(self, lead: TrialConfig, size: int) -> int | None:
        """`size` if it need not be measured whether so many pay."""
        key = pack_key(lead)
        if size == 1 or key is None or self.resources.pack != "auto":
            return size
        return size if key in self._best or size <= self._paid.get(key, 0) else None

    def learn(self, lead: TrialConfig, asked: int, size: int | None) -> None:
        """Take in that of `asked` trials it pays to train `size` together."""
        key = pack_key(lead)
        if size is None or key is None or asked == 1 or self.resources.pack != "auto":
            return
        if size < asked:
            self._best.setdefault(key, size)
        else:
            self._paid[key] = max(size, self._paid.get(key, 0))


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
        if news is not None and not error and news.done:
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
