"""The search of one arm: its configurations, its sampler, its pruner."""

import logging
import math
from collections import Counter
from collections.abc import Iterator
from functools import reduce

import numpy as np

from study.config.study_config import Arm, Params, SearchConfig
from study.search.configuration import Configuration
from study.search.pruners import ArmPruner
from study.search.samplers import INDEPENDENT, Observation, Sampler, grid_point
from study.search.skip_rule import SkipRule
from study.storage.groups import current_trials
from study.storage.store import Proposal, StudyStore
from trainables.common.distributed import derive_seed
from trainables.common.types import EpochReport, TrialResult
from trainables.config import TrialConfig

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 10
"""Suggestions of the sampler that may be rejected (already tried, or invalid) before a random configuration is used."""

MAX_ENUMERATED = 1_000_000
"""Size up to which the rest of a finite space is enumerated in random order."""

MAX_DRAWS = 500
"""Random samples of an infinite space before it counts as exhausted (nearly all of it must be invalid then)."""


class ArmSearch:
    """The search of one arm."""

    def __init__(self, arm: Arm, search: SearchConfig, store: StudyStore, skip_rule: SkipRule) -> None:
        """Rebuild the search from the store, without the configurations that the study file no longer contains.

        Args:
            arm: the arm.
            search: settings of the search.
            store: the study directory.
            skip_rule: decides which configurations are skipped.

        Raises:
            ValueError: if the sampler cannot search the arm's space.
        """
        self.arm = arm
        self.search = search
        self.store = store
        self.skip_rule = skip_rule
        self.metrics = [objective.metric for objective in search.objectives]
        self.size = arm.size()
        self.budget = search.trials if self.size is None else min(search.trials, self.size)
        """Number of configurations to try: `search.trials`, or the size of the space if it is smaller."""
        self.sampler = Sampler(arm, search)
        self.pruner = ArmPruner(search)
        self.configurations: list[Configuration] = []
        self.open: list[Configuration] = []
        """The configurations with unfinished trials, by number."""
        proposals = store.proposals(arm.name)
        self.next_number = max((proposal.number for proposal in proposals), default=-1) + 1
        """Larger than every number in the store, including proposals of an older study file."""
        self.space_exhausted = False
        """Whether every valid configuration of the space has been proposed."""
        self.statuses: Counter[str] = Counter()
        """Finished trials by how they ended."""
        self.skipped = 0
        """Number of skipped configurations."""
        self._known = 0
        """Number of trials that the configurations so far will have had, as far as known."""
        self._tried: set[object] = set()
        """Values and group ids of `configurations`, for a quick check of each candidate."""
        self._grid_position = 0
        """Points of the grid before this one are tried or invalid."""
        for proposal in proposals:
            trials = current_trials(arm, proposal, search.seeds)
            if trials:
                decided = self._decide_skip(proposal, trials)
                if decided != proposal:  # the study file or its estimates have changed
                    store.propose(decided)
                self._enter(decided, trials)

    @property
    def exhausted(self) -> bool:
        """Whether no other configuration will be proposed."""
        return self.space_exhausted or len(self.configurations) >= self.budget

    @property
    def knows_next(self) -> bool:
        """Whether no running trial can change the next proposal or be pruned because of it.

        Before `startup_trials` configurations exist, model-based samplers sample at random (by number), and the median
        pruner prunes nothing.
        """
        search = self.search
        starting = len(self.configurations) < search.startup_trials
        return (starting or search.sampler in INDEPENDENT) and (
            search.pruner == "none" or (starting and search.pruner == "median")
        )

    @property
    def planned(self) -> int:
        """Number of trials of the configurations so far, plus all seeds of those to come."""
        to_come = 0 if self.exhausted else self.budget - len(self.configurations)
        return self._known + to_come * len(self.search.seeds)

    def propose(self) -> Configuration | None:
        """Store and open the next configuration; None (and `exhausted`) if the space has no other one."""
        for params in self._candidates(self.next_number):
            trials = self._untried(params)
            if trials:
                proposal = Proposal(self.arm.name, self.next_number, trials[0].group_id, params)
                proposal = self._decide_skip(proposal, trials)
                self.store.propose(proposal)
                self.next_number += 1
                return self._enter(proposal, trials)
        logger.info("arm %r has no other configuration after %d", self.arm.name, len(self.configurations))
        self.space_exhausted = True
        return None

    def report(self, configuration: Configuration, trial_id: str, report: EpochReport) -> bool:
        """Report one epoch to the pruner, and return whether it stops the trial. Only first seeds are judged.

        Args:
            configuration: the trial's configuration.
            trial_id: the trial.
            report: the epoch.
        """
        if trial_id != configuration.first or self.metrics[0] not in report.metrics:
            return False
        number, epoch = configuration.number, report.epoch
        is_new = epoch > self.pruner.reported(number)
        stops = self.pruner.report(number, epoch, report.metrics[self.metrics[0]])
        if is_new and not stops and self.search.pruner != "none":
            self.store.record_passed(self.arm.name, number, epoch)
        return stops

    def complete(self, configuration: Configuration, trial_id: str, result: TrialResult) -> None:
        """Record the result of one trial.

        Args:
            configuration: the trial's configuration.
            trial_id: the trial.
            result: its result.
        """
        before = configuration.results.get(trial_id)
        self.statuses.subtract([before.status] if before else [])
        self.statuses[result.status] += 1
        configuration.results[trial_id] = result
        self._update(configuration)

    def observations(self) -> list[Observation]:
        """The configurations that are in the present space, by number, for the sampler."""
        return [
            Observation(params, configuration.state, self._values(configuration), configuration.epochs)
            for configuration in self.configurations
            if configuration.state != "skipped" and (params := self._present_params(configuration)) is not None
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
        """The trials of a candidate; none if the arm has tried it, or if its values are invalid together."""
        if values_key(params) in self._tried:
            return []
        try:
            trials = [self.arm.trial(params, seed) for seed in self.search.seeds]
        except ValueError as error:
            logger.info("arm %r: %r is not valid: %s", self.arm.name, params, error)
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
            for trial_id in by_id.keys() - results.keys():  # it was in the first seed's pack when the study was killed
                self.store.delete_trial(trial_id)
        self._update(configuration)
        return configuration

    def _decide_skip(self, proposal: Proposal, trials: list[TrialConfig]) -> Proposal:
        """The proposal with the decision of the skip rule. A configuration that has started is never skipped."""
        reason = self.skip_rule.reason(self.arm, proposal.params, proposal.group_id)
        if reason and any(self.store.trial(trial.trial_id).begun for trial in trials):
            reason = ""
        return proposal._replace(skipped=reason)

    def _update(self, configuration: Configuration) -> None:
        """Pass a finished first seed to the pruner, and close the configuration if all of its trials have ended."""
        judged = configuration.results.get(configuration.judged)
        # Only the pruner needs the epochs of every trial. Samplers learn from those of pruned trials.
        if judged and not configuration.epochs and (self.pruner.prunes or judged.status == "pruned"):
            configuration.epochs = self._epochs(configuration.judged, judged)
            self.pruner.observe(configuration.number, configuration.epochs)
        self._expect(configuration)
        if configuration.state != "running":
            values = self._values(configuration)
            self.pruner.end(configuration.number, configuration.state, values[0] if values else None)
            self.open.remove(configuration)

    def _expect(self, configuration: Configuration) -> None:
        """Count the trials that a configuration will have had: all of them, unless it has ended early."""
        continues = configuration.state in ("running", "complete")
        expected = len(configuration.trials if continues else configuration.results)
        self._known += expected - configuration.expected
        configuration.expected = expected

    def _epochs(self, trial_id: str, result: TrialResult) -> dict[int, float]:
        """A finished trial's first objective by epoch; of a pruned trial, only up to the decision."""
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

    def _present_params(self, configuration: Configuration) -> Params | None:
        """A configuration's values in the present space; None if it is outside, because the space has changed.

        A hyperparameter that was not swept before has the value of the configuration's trials.
        """
        trial = configuration.trials[configuration.first]
        params: Params = {}
        for name, domain in self.arm.space.items():
            params[name] = reduce(getattr, self.arm.path(name).split("."), trial)  # pyright: ignore[reportArgumentType]
            if not domain.contains(params[name]):
                return None
        return params


def values_key(params: Params) -> object:
    """A key that is equal if and only if the values are equal."""
    return frozenset(params.items())
