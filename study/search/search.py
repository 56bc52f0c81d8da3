"""Search: which trial starts next, and which is pruned. `samplers` propose configurations, `pruners` judge them.

A `Search` is rebuilt from the study directory at every start. With one trial at a time it continues after a kill
exactly as it would have without it. With several at a time, the order in which they finish decides what a sampler
knows, as in an undisturbed run.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from heapq import merge
from itertools import repeat
from typing import NamedTuple

import optuna

from study.config.resolved_study import ResolvedStudy
from study.config.trial_ref import TrialRef
from study.search.arm_search import ArmSearch
from study.search.configuration import Configuration
from study.search.samplers import INDEPENDENT
from study.search.skip_rule import SkipRule
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
    """Trial id of the first seed, if both are trained in one pack: this trial is kept only if that one is complete."""


class Counts(NamedTuple):
    """Number of trials by state. Each seed of each configuration of each arm counts once."""

    planned: int
    """All trials, if no other configuration is pruned or fails at its first seed."""
    complete: int
    pruned: int
    failed: int
    reused: int
    """Finished trials that were in the store already (from an earlier run, another arm or an older study file)."""
    skipped: int = 0
    """Configurations (not trials) that are skipped because of the criterion."""


class Search:
    """Returns trials to start: those of open configurations first, then new configurations. Not thread-safe."""

    def __init__(self, study: ResolvedStudy, store: StudyStore) -> None:
        """Rebuild from the store. Raises ValueError if the sampler cannot search one of the spaces."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = study
        skip_rule = SkipRule(study)
        self.arms = [ArmSearch(arm, study.search, store, skip_rule) for arm in study.arms]
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
        """A trial to start now. None if the search must wait for a running trial, or is `finished`."""
        job = self.peek()
        if job:
            self._running.add(job.trial.trial_id)
        return job

    def peek(self) -> Job | None:
        """The trial that `next` would return. Configurations are proposed if necessary, but no trial is started."""
        while True:
            job = next(self._startable(), None)
            if job:
                return job
            arms = [arm for arm in self.arms if not arm.exhausted]
            if not arms:
                return None
            arm = min(arms, key=lambda arm: len(arm.configurations))
            configuration = arm.propose()
            if configuration:
                self._enter(arm, configuration)

    def next_pack(self, size: Callable[[TrialConfig], int], *, ahead: bool = False, hasty: bool = False) -> list[Job]:
        """A trial to start now and those that can be trained in one pack with it.

        The other seeds of a configuration are in the pack of its first seed. New configurations are added only if the
        search would propose the same ones later.

        Args:
            size: returns the largest number of trials to train together, given the first one.
            ahead: take only trials that are next regardless of the running ones (see `next_ahead`).
            hasty: add new configurations in any case. They are then proposed with less knowledge, and pruned less.

        Returns:
            The pack; empty if `next` (or `next_ahead`) returns None.
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
        """As `next`, but only a trial that is next regardless of the results of the running ones.

        It can wait at the slots, so that no slot waits for the search. Proposals of model-based samplers depend on the
        results before them, and a running first seed can open or close its configuration; a later seed cannot.
        """
        if self.study.search.sampler in INDEPENDENT and self.study.search.pruner == "none":
            return self.next()
        job = next(self._startable(), None) if not any(map(self._is_first, self._running)) else None
        if job:
            self._running.add(job.trial.trial_id)
        return job

    def finished(self) -> bool:
        """Whether no trial runs and none is left to start."""
        return not self._running and not any(arm.open for arm in self.arms) and all(arm.exhausted for arm in self.arms)

    def report(self, trial_id: str, report: EpochReport) -> bool:
        """Report one epoch of a running trial, and return whether it is pruned. A repeated epoch gets the same answer.

        If several arms share the trial, the arm that proposed it first decides.
        """
        answers = [arm.report(configuration, trial_id, report) for arm, configuration in self._owners[trial_id]]
        return answers[0]

    def complete(self, trial_id: str, result: TrialResult) -> None:
        """Record the result of a running trial."""
        self._running.discard(trial_id)
        for position, (arm, configuration) in enumerate(self._owners[trial_id]):
            arm.complete(configuration, trial_id, result)
            if position > 0:
                self._count_reused(arm, configuration, trial_id)

    def release(self, trial_id: str) -> None:
        """A running trial was interrupted. `next` may return it again."""
        self._running.discard(trial_id)

    def take_reused(self) -> list[tuple[Job, TrialResult]]:
        """Trials that were found finished in the store since the last call (at first all finished ones)."""
        taken, self._reused = self._reused, []
        return taken

    def take_skipped(self) -> list[tuple[str, Configuration]]:
        """Configurations that were skipped since the last call, each with the name of its arm."""
        taken, self._skipped = self._skipped, []
        return [(arm.arm.name, configuration) for arm, configuration in taken]

    @property
    def left(self) -> int:
        """Number of trials that are neither finished nor running, plus the last trial that `next` returned."""
        counts = self.counts
        return counts.planned - counts.complete - counts.pruned - counts.failed - len(self._running) + 1

    @property
    def counts(self) -> Counts:
        """Number of trials by state, as known now."""
        ended = sum((arm.statuses for arm in self.arms), Counter[str]())
        planned, skipped = sum(arm.planned for arm in self.arms), sum(arm.skipped for arm in self.arms)
        return Counts(planned, ended["complete"], ended["pruned"], ended["failed"], self._num_reused, skipped)

    def _companions(self, lead: Job, room: int, hasty: bool) -> Iterator[Job]:
        """Trials that can be trained together with `lead`, which is already taken."""
        key = self._key(lead)
        yield from self._followers(lead)
        for job in list(self._startable()):
            if self._key(job) == key:
                yield job
                yield from self._followers(job)
        arm = next(arm for arm in self.arms if arm.arm.name == lead.trial.arm)
        for _ in range(2 * room):  # a proposal that does not fit this pack stays open for a later one
            if arm.exhausted or not (hasty or arm.knows_next):
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
        """The other seeds of a configuration whose first seed is in the pack."""
        if not job.first_seed:
            return
        for arm, configuration in self._owners[job.trial.trial_id][:1]:
            for trial_id in configuration.trials:
                if trial_id not in configuration.results and trial_id not in self._running:
                    yield job_of(arm, configuration, trial_id)._replace(follows=configuration.first)

    def _key(self, job: Job) -> str | None:
        """Key that the members of a pack have in common; None for a trial that must be trained separately."""
        trial_id = job.trial.trial_id
        if trial_id not in self._keys:
            self._keys[trial_id] = pack_key(job.config)
        return self._keys[trial_id]

    def _startable(self) -> Iterator[Job]:
        """Trials of open configurations that do not run yet, by proposal number and then in the order of the arms."""
        waiting = (zip(arm.open, repeat(arm), strict=False) for arm in self.arms)
        for configuration, arm in merge(*waiting, key=lambda pair: pair[0].number):
            for trial_id in configuration.startable():
                if trial_id not in self._running:
                    yield job_of(arm, configuration, trial_id)

    def _is_first(self, trial_id: str) -> bool:
        """Whether the trial is a first seed, so that the other seeds of its configuration depend on it."""
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
    """The job that runs one trial of a configuration.

    Args:
        arm: the search of the configuration's arm.
        configuration: the configuration.
        trial_id: the trial.
    """
    config = configuration.trials[trial_id]
    trial = TrialRef(trial_id, arm.arm.name, configuration.number, config.seed, configuration.params)
    return Job(trial, config, first_seed=trial_id == configuration.first)
