"""Search: which trial to start next, and which to stop early. Proposals by `samplers`, judgement by `pruners`.

Everything that decides stands in the study directory, from which a `Search` is rebuilt at every start: with one trial
at a time it goes on after a kill exactly as it would have without. With several at a time the order in which they
finish decides what a sampler knew, as it does in an undisturbed run.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from heapq import merge
from itertools import repeat
from typing import NamedTuple

import optuna

from study.config.study_config import StudyConfig
from study.config.trial_ref import TrialRef
from study.search.arm_search import ArmSearch, Configuration
from study.search.criterion_gate import Gate
from study.search.samplers import INDEPENDENT
from study.storage.store import StudyStore
from trainables.common.types import EpochReport, TrialResult
from trainables.config import TrialConfig
from trainables.training.pack_key import pack_key


class Job(NamedTuple):
    """A trial to start."""

    trial: TrialRef
    config: TrialConfig
    first_seed: bool
    """Whether this is the configuration's first seed, the only one that may be pruned."""
    follows: str = ""
    """Trial id of the first seed, if that one is trained beside this one: it is kept only if that one is complete."""


class Counts(NamedTuple):
    """Trials of the study by where they stand, each seed of each configuration of each arm counted once."""

    planned: int
    """As many as there will be if nothing more is pruned or fails at its first seed."""
    complete: int
    pruned: int
    failed: int
    reused: int
    """Of the finished ones: those that stood in the store already (an earlier run, another arm, an older file)."""
    skipped: int = 0
    """Configurations (not trials) that the criterion's gate keeps from being run."""


class Search:
    """Hands out trials, first seeds of open configurations before new configurations. Not thread-safe."""

    def __init__(self, study: StudyConfig, store: StudyStore) -> None:
        """Rebuild from the store. Raises ValueError if the sampler cannot search one of the spaces."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = study
        gate = Gate(study)
        self.arms = [ArmSearch(arm, study.search, store, gate) for arm in study.arms]
        self._running: set[str] = set()
        self._keys: dict[str, str | None] = {}
        self._owners: dict[str, list[tuple[ArmSearch, Configuration]]] = defaultdict(list)
        self._reused: list[tuple[Job, TrialResult]] = []
        self._num_reused = 0
        self._skipped: list[tuple[ArmSearch, Configuration]] = []
        for arm in self.arms:
            for configuration in arm.configurations:
                self._enter(arm, configuration)

    def next(self) -> Job | None:
        """A trial to start now, or None: wait for a running one, or (see `finished`) all is done."""
        while True:
            job = next(self._startable(), None)
            if job:
                self._running.add(job.trial.trial_id)
                return job
            arms = [arm for arm in self.arms if not arm.spent]
            if not arms:
                return None
            arm = min(arms, key=lambda arm: len(arm.configurations))
            configuration = arm.propose()
            if configuration:
                self._enter(arm, configuration)

    def next_pack(self, size: Callable[[TrialConfig], int], *, ahead: bool = False, hasty: bool = False) -> list[Job]:
        """A trial to start now and those that can be trained in one pack with it; empty as `next` gives None.

        The other seeds of a configuration come along with its first. Configurations not proposed yet come along where
        the search would propose the same ones later.

        Args:
            size: how many trials to take together at most, given the first.
            ahead: only trials that will come next whatever the running ones come to (see `next_ahead`).
            hasty: new configurations come along in any case: the search knows less of those before, and prunes less.

        """
        lead = self.next_ahead() if ahead else self.next()
        if lead is None:
            return []
        room = size(lead.config)
        if room < 2 or self._key(lead) is None:
            return [lead]
        pack = [lead]
        for job in self._companions(lead, room, hasty):
            if len(pack) == room:
                break
            self._running.add(job.trial.trial_id)
            pack.append(job)
        return pack

    def next_ahead(self) -> Job | None:
        """As `next`, but only a trial that will come next whatever the running ones come to.

        So it may wait where the work is done, and no worker waits for the search. Proposals of TPE and the like depend
        on what finished before them, and a first seed may yet open or close its configuration; a later seed does not.
        """
        if self.study.search.sampler in INDEPENDENT and self.study.search.pruner == "none":
            return self.next()
        job = next(self._startable(), None) if not any(map(self._is_first, self._running)) else None
        if job:
            self._running.add(job.trial.trial_id)
        return job

    def finished(self) -> bool:
        """Whether nothing runs and nothing is left to start."""
        return not self._running and not any(arm.open for arm in self.arms) and all(arm.spent for arm in self.arms)

    def report(self, trial_id: str, report: EpochReport) -> bool:
        """Take in one epoch of a running trial; True: stop it now. An epoch that comes again is answered as before.

        The arm that proposed a configuration first decides for all that share the trial.
        """
        answers = [arm.report(configuration, trial_id, report) for arm, configuration in self._owners[trial_id]]
        return answers[0]

    def complete(self, trial_id: str, result: TrialResult) -> None:
        """Take in how a running trial ended."""
        self._running.discard(trial_id)
        for position, (arm, configuration) in enumerate(self._owners[trial_id]):
            arm.complete(configuration, trial_id, result)
            if position > 0:
                self._count_reused(arm, configuration, trial_id)

    def release(self, trial_id: str) -> None:
        """A running trial was interrupted; it may be handed out again."""
        self._running.discard(trial_id)

    def take_reused(self) -> list[tuple[Job, TrialResult]]:
        """The trials found finished in the store since the last call (after the start: all finished ones)."""
        taken, self._reused = self._reused, []
        return taken

    def take_skipped(self) -> list[tuple[str, Configuration]]:
        """The configurations that the gate has taken out since the last call, each with its arm's name."""
        taken, self._skipped = self._skipped, []
        return [(arm.arm.name, configuration) for arm, configuration in taken]

    @property
    def left(self) -> int:
        """Trials that are neither finished nor running, the one that was handed out last included; as known now."""
        counts = self.counts
        return counts.planned - counts.complete - counts.pruned - counts.failed - len(self._running) + 1

    @property
    def counts(self) -> Counts:
        """Trials as known now."""
        ended = sum((arm.statuses for arm in self.arms), Counter[str]())
        planned, skipped = sum(arm.planned for arm in self.arms), sum(arm.skipped for arm in self.arms)
        return Counts(planned, ended["complete"], ended["pruned"], ended["failed"], self._num_reused, skipped)

    def _companions(self, lead: Job, room: int, hasty: bool) -> Iterator[Job]:
        """Trials that can be trained together with `lead`, which is taken."""
        key = self._key(lead)
        yield from self._followers(lead)
        for job in list(self._startable()):
            if self._key(job) == key:
                yield job
                yield from self._followers(job)
        arm = next(arm for arm in self.arms if arm.arm.name == lead.trial.arm)
        for _ in range(2 * room):  # of what is proposed in vain here, all waits for a pack of its own
            if arm.spent or not (hasty or arm.knows_next):
                return
            configuration = arm.propose()
            if configuration is None:
                continue
            self._enter(arm, configuration)
            for job in self._first(arm, configuration):
                if self._key(job) == key:
                    yield job
                    yield from self._followers(job)

    def _first(self, arm: ArmSearch, configuration: Configuration) -> Iterator[Job]:
        """The startable trials of one configuration."""
        if configuration in arm.open:
            for trial_id in configuration.startable():
                if trial_id not in self._running:
                    yield job_of(arm, configuration, trial_id)

    def _followers(self, job: Job) -> Iterator[Job]:
        """The other seeds of a configuration whose first is handed out now."""
        if not job.first_seed:
            return
        for arm, configuration in self._owners[job.trial.trial_id][:1]:
            for trial_id in configuration.trials:
                if trial_id not in configuration.results and trial_id not in self._running:
                    yield job_of(arm, configuration, trial_id)._replace(follows=configuration.first)

    def _key(self, job: Job) -> str | None:
        """What the members of a pack have in common."""
        trial_id = job.trial.trial_id
        if trial_id not in self._keys:
            self._keys[trial_id] = pack_key(job.config)
        return self._keys[trial_id]

    def _startable(self) -> Iterator[Job]:
        """Trials of open configurations that do not run yet: lowest proposal number first, arms in their order."""
        waiting = (zip(arm.open, repeat(arm), strict=False) for arm in self.arms)
        for configuration, arm in merge(*waiting, key=lambda pair: pair[0].number):
            for trial_id in configuration.startable():
                if trial_id not in self._running:
                    yield job_of(arm, configuration, trial_id)

    def _is_first(self, trial_id: str) -> bool:
        """Whether the trial is a first seed, so that others of its configuration may depend on it."""
        return any(trial_id == configuration.first for _, configuration in self._owners[trial_id])

    def _enter(self, arm: ArmSearch, configuration: Configuration) -> None:
        if configuration.skipped:
            self._skipped.append((arm, configuration))
            return
        for trial_id in configuration.trials:
            self._owners[trial_id].append((arm, configuration))
        for trial_id in configuration.results:
            self._count_reused(arm, configuration, trial_id)

    def _count_reused(self, arm: ArmSearch, configuration: Configuration, trial_id: str) -> None:
        self._num_reused += 1
        self._reused.append((job_of(arm, configuration, trial_id), configuration.results[trial_id]))


def job_of(arm: ArmSearch, configuration: Configuration, trial_id: str) -> Job:
    """The job that runs one trial of a configuration."""
    config = configuration.trials[trial_id]
    trial = TrialRef(trial_id, arm.arm.name, configuration.number, config.seed, configuration.params)
    return Job(trial, config, first_seed=trial_id == configuration.first)
