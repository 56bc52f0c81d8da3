"""One arm's search: its configurations, its sampler, its pruner."""

import logging
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from statistics import fmean

import numpy as np

from study.config.study_config import Arm, Params, SearchConfig
from study.search.criterion_gate import Gate
from study.search.pruners import ArmPruner
from study.search.samplers import INDEPENDENT, Observation, Sampler, State, grid_point
from study.storage.groups import current_trials
from study.storage.store import Proposal, StudyStore
from trainables.common.distributed import derive_seed
from trainables.common.types import EpochReport, TrialResult
from trainables.config import TrialConfig

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 10
"""Suggestions that may be turned down (tried already, or unfit) before a configuration is drawn from the rest."""

MAX_ENUMERATED = 1_000_000
"""Size up to which what is left of a finite space is enumerated rather than drawn from."""

MAX_DRAWS = 500
"""Blind draws from an uncountable space before it counts as exhausted (nearly all of it must be unfit then)."""


@dataclass(eq=False)
class Configuration:
    """One proposed configuration and what its trials have come to so far."""

    number: int
    group_id: str
    params: Params
    trials: dict[str, TrialConfig]
    """By trial id, in the order of the study's seeds."""
    results: dict[str, TrialResult]
    """Of the finished trials, by trial id."""
    skipped: str = ""
    """Why its trials are not run; empty if they are."""
    expected: int = 0
    """How many trials of it the arm counts on."""
    epochs: dict[int, float] = field(default_factory=dict)
    """First objective after each epoch of the trial that was judged, once it is finished; empty if nobody asks."""

    @property
    def first(self) -> str:
        """Trial id of the first seed, which decides whether the others are run."""
        return next(iter(self.trials))

    @property
    def judged(self) -> str:
        """Trial id whose epochs the pruner compares: the first seed (or the one that an older file's search pruned)."""
        return next((trial_id for trial_id, result in self.results.items() if result.status == "pruned"), self.first)

    @property
    def state(self) -> State:
        """A pruned or failed first seed ends it; otherwise every seed is run, and all must be complete."""
        if self.skipped:
            return "skipped"
        states = {result.status for result in self.results.values()}
        first = self.results.get(self.first)
        if "pruned" in states:
            return "pruned"
        if first and first.status == "failed":
            return "failed"
        if len(self.results) < len(self.trials):
            return "running"
        return "failed" if "failed" in states else "complete"

    def startable(self) -> list[str]:
        """Ids of the unfinished trials that may run now: the first seed alone, then all others."""
        missing = [trial_id for trial_id in self.trials if trial_id not in self.results]
        return missing[:1] if self.first in missing else missing

    def mean(self, metric: str) -> float:
        """Mean over the seeds. Raises ValueError if a trial does not report the metric."""
        for trial_id, result in self.results.items():
            if metric not in result.metrics:
                raise ValueError(
                    f"the objective must be a metric that every arm reports, but trial {trial_id} has no {metric!r}; "
                    f"it reports {sorted(result.metrics)}"
                )
        return fmean(self.results[trial_id].metrics[metric] for trial_id in self.trials)


class ArmSearch:
    """The search of one arm."""

    def __init__(self, arm: Arm, search: SearchConfig, store: StudyStore, gate: Gate | None = None) -> None:
        """Rebuild from the store: replay what is finished, reopen what is not, leave out what an older file asked for.

        Raises:
            ValueError: if the sampler cannot search the arm's space.

        """
        self.arm = arm
        self.search = search
        self.store = store
        self.gate = gate
        self.metrics = [objective.metric for objective in search.objectives]
        self.size = arm.size()
        self.budget = search.trials if self.size is None else min(search.trials, self.size)
        """Configurations that the arm may try: `search.trials`, or as many as its space holds."""
        self.sampler = Sampler(arm, search)
        self.pruner = ArmPruner(search)
        self.configurations: list[Configuration] = []
        self.open: list[Configuration] = []
        """The configurations with trials yet to finish, by number."""
        proposals = store.proposals(arm.name)
        self.next_number = max((proposal.number for proposal in proposals), default=-1) + 1
        """Above every number present, those of an older file's proposals included."""
        self.exhausted = False
        """Whether every configuration that the space allows has been proposed."""
        self.statuses: Counter[str] = Counter()
        """Finished trials by how they ended."""
        self.skipped = 0
        """Configurations that the gate has taken out."""
        self._known = 0
        """Trials that the configurations so far will have had, as far as known."""
        self._tried: set[object] = set()
        """The values and the group ids of `configurations`: whether a candidate is among them is asked for each one."""
        self._grid_position = 0
        """Points of the grid before this one are tried, or do not fit."""
        for proposal in proposals:
            trials = current_trials(arm, proposal, search.seeds)
            if trials:
                decided = self._gated(proposal, trials)
                if decided != proposal:  # the file or its estimates have changed since
                    store.propose(decided)
                self._enter(decided, trials)

    @property
    def spent(self) -> bool:
        """Whether no further configuration will be proposed."""
        return self.exhausted or len(self.configurations) >= self.budget

    @property
    def knows_next(self) -> bool:
        """Whether nothing that is still running can change the next proposal, or be pruned because of it.

        Until `startup_trials` configurations are there, model-based samplers draw at random (by number), and the
        median pruner lets everything pass.
        """
        search = self.search
        starting = len(self.configurations) < search.startup_trials
        return (starting or search.sampler in INDEPENDENT) and (
            search.pruner == "none" or (starting and search.pruner == "median")
        )

    @property
    def planned(self) -> int:
        """Trials of the configurations so far, and all seeds of those to come."""
        to_come = 0 if self.spent else self.budget - len(self.configurations)
        return self._known + to_come * len(self.search.seeds)

    def propose(self) -> Configuration | None:
        """Store and open the next configuration; None (and `exhausted`) if the space holds no other."""
        for params in self._candidates(self.next_number):
            trials = self._untried(params)
            if trials:
                proposal = Proposal(self.arm.name, self.next_number, trials[0].group_id, params)
                proposal = self._gated(proposal, trials)
                self.store.propose(proposal)
                self.next_number += 1
                return self._enter(proposal, trials)
        logger.info("arm %r has no further configuration after %d", self.arm.name, len(self.configurations))
        self.exhausted = True
        return None

    def report(self, configuration: Configuration, trial_id: str, report: EpochReport) -> bool:
        """Whether the pruner stops the trial after this epoch. Only first seeds are judged."""
        if trial_id != configuration.first or self.metrics[0] not in report.metrics:
            return False
        number, epoch = configuration.number, report.epoch
        is_new = epoch > self.pruner.reported(number)
        stops = self.pruner.report(number, epoch, report.metrics[self.metrics[0]])
        if is_new and not stops and self.search.pruner != "none":
            self.store.record_passed(self.arm.name, number, epoch)
        return stops

    def complete(self, configuration: Configuration, trial_id: str, result: TrialResult) -> None:
        """Take in how one trial ended."""
        before = configuration.results.get(trial_id)
        self.statuses.subtract([before.status] if before else [])
        self.statuses[result.status] += 1
        configuration.results[trial_id] = result
        self._update(configuration)

    def observations(self) -> list[Observation]:
        """What the sampler may know: the configurations that lie in the present space, by number."""
        return [
            Observation(params, configuration.state, self._values(configuration), configuration.epochs)
            for configuration in self.configurations
            if configuration.state != "skipped" and (params := self._place(configuration)) is not None
        ]

    def _candidates(self, number: int) -> Iterator[Params]:
        """Configurations to consider for proposal `number`, best first."""
        if self.search.sampler == "grid":
            while self._grid_position < (self.size or 0):
                self._grid_position += 1
                yield grid_point(self.arm, self._grid_position - 1)
            return
        observations = [] if self.search.sampler in INDEPENDENT else self.observations()
        for attempt in range(MAX_ATTEMPTS):
            yield self.sampler.suggest(observations, number, attempt)
        if self.size is not None and self.size <= MAX_ENUMERATED:
            seed = derive_seed(self.search.sampler_seed, self.arm.name, number)
            order = np.random.default_rng(seed).permutation(self.size)
            yield from (grid_point(self.arm, int(index)) for index in order)
        else:
            yield from (self.sampler.random(number, attempt) for attempt in range(MAX_DRAWS))

    def _untried(self, params: Params) -> list[TrialConfig]:
        """The trials of a candidate; none if the arm has tried it, or if its values do not fit together."""
        if values_key(params) in self._tried:
            return []
        try:
            trials = [self.arm.trial(params, seed) for seed in self.search.seeds]
        except ValueError as error:
            logger.info("arm %r: %r is left out: %s", self.arm.name, params, error)
            return []
        return trials if trials[0].group_id not in self._tried else []

    def _enter(self, proposal: Proposal, trials: list[TrialConfig]) -> Configuration:
        by_id = {trial.trial_id: trial for trial in trials}
        results = {trial_id: result for trial_id in by_id if (result := self.store.trial(trial_id).result())}
        values = (proposal.number, proposal.group_id, proposal.params, by_id, results, proposal.skipped)
        configuration = Configuration(*values)
        self.configurations.append(configuration)
        self._tried |= {values_key(proposal.params), proposal.group_id}
        self.statuses.update(result.status for result in results.values())
        if configuration.skipped:
            self.skipped += 1
            self._expect(configuration)
            return configuration
        self.open.append(configuration)
        self.pruner.begin(configuration.number)
        if configuration.first not in results:
            passed = self.store.last_passed_epoch(self.arm.name, configuration.number)
            known = self._objective(self.store.trial(configuration.first).history())
            self.pruner.observe(configuration.number, {e: value for e, value in known.items() if e <= passed})
        elif results[configuration.first].status != "complete":
            for trial_id in by_id.keys() - results.keys():  # trained beside the first seed when the study was killed
                self.store.delete_trial(trial_id)
        self._update(configuration)
        return configuration

    def _gated(self, proposal: Proposal, trials: list[TrialConfig]) -> Proposal:
        """The proposal with the gate's decision. What has begun is never skipped."""
        reason = ""
        if self.gate and self.gate.acts and not any(self.store.trial(trial.trial_id).begun for trial in trials):
            reason = self.gate.reason_to_skip(self.arm, proposal.params, proposal.group_id)
        return proposal._replace(skipped=reason)

    def _update(self, configuration: Configuration) -> None:
        """Tell the pruner of a first seed that has finished, and close the configuration if that was all."""
        judged = configuration.results.get(configuration.judged)
        # Nobody else asks for the epochs: samplers learn from those of pruned trials alone.
        if judged and not configuration.epochs and (self.pruner.prunes or judged.status == "pruned"):
            configuration.epochs = self._epochs(configuration.judged, judged)
            self.pruner.observe(configuration.number, configuration.epochs)
        self._expect(configuration)
        if configuration.state != "running":
            values = self._values(configuration)
            self.pruner.end(configuration.number, configuration.state, values[0] if values else None)
            self.open.remove(configuration)

    def _expect(self, configuration: Configuration) -> None:
        """Count the trials that a configuration will have had: all of them, unless it has ended before."""
        goes_on = configuration.state in ("running", "complete")
        expected = len(configuration.trials if goes_on else configuration.results)
        self._known += expected - configuration.expected
        configuration.expected = expected

    def _epochs(self, trial_id: str, result: TrialResult) -> dict[int, float]:
        """A finished trial's first objective by epoch. What a pruned one trained past the decision does not count."""
        history = self._objective(self.store.trial(trial_id).history())
        last = result.epochs if result.status == "pruned" else math.inf
        return {epoch: value for epoch, value in history.items() if epoch <= last}

    def _objective(self, history: list[EpochReport]) -> dict[int, float]:
        """The first objective by epoch."""
        metric = self.metrics[0]
        return {report.epoch: report.metrics[metric] for report in history if metric in report.metrics}

    def _values(self, configuration: Configuration) -> tuple[float, ...]:
        if configuration.state != "complete":
            return ()
        return tuple(configuration.mean(metric) for metric in self.metrics)

    def _place(self, configuration: Configuration) -> Params | None:
        """Where a configuration stands in the present space, which may have changed since; None if outside.

        A hyperparameter that was not swept at the time has the value that its trials were run with.
        """
        trial = configuration.trials[configuration.first]
        params: Params = {}
        for name, domain in self.arm.space.items():
            params[name] = reduce(getattr, self.arm.path(name).split("."), trial)  # pyright: ignore[reportArgumentType]
            if not domain.contains(params[name]):
                return None
        return params


def values_key(params: Params) -> object:
    """What two configurations have in common if and only if their values are equal."""
    return frozenset(params.items())
