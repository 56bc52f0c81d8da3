"""One proposed configuration of an arm: its trials and their results."""

from dataclasses import dataclass, field
from statistics import fmean

from study.config.study_config import Params
from study.search.samplers import State
from trainables.common.types import TrialResult
from trainables.config import TrialConfig


@dataclass(eq=False)
class Configuration:
    """One proposed configuration and the results of its trials so far."""

    number: int
    group_id: str
    params: Params
    trials: dict[str, TrialConfig]
    """Configs by trial id, in the order of the study's seeds."""
    results: dict[str, TrialResult]
    """Results of the finished trials, by trial id."""
    skipped: str = ""
    """Why its trials are not run; empty if they are."""
    expected: int = 0
    """Number of its trials that will have been run, as far as known."""
    epochs: dict[int, float] = field(default_factory=dict)
    """First objective after each epoch of the judged trial, once it is finished; empty if neither pruner nor sampler
    needs it."""

    @property
    def first(self) -> str:
        """Trial id of the first seed. Its result decides whether the other seeds are run."""
        return next(iter(self.trials))

    @property
    def judged(self) -> str:
        """Trial id whose epochs the pruner compares: the pruned one if there is one, otherwise the first seed."""
        return next((trial_id for trial_id, result in self.results.items() if result.status == "pruned"), self.first)

    @property
    def state(self) -> State:
        """Decided by a pruned or failed first seed; otherwise every seed is run, and all must be complete."""
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
        """Ids of the unfinished trials that may run now: the first seed, and after it all others."""
        missing = [trial_id for trial_id in self.trials if trial_id not in self.results]
        return missing[:1] if self.first in missing else missing

    def mean(self, metric: str) -> float:
        """Mean of a metric over the seeds.

        Raises:
            ValueError: if a trial does not report the metric.
        """
        for trial_id, result in self.results.items():
            if metric not in result.metrics:
                raise ValueError(
                    f"the objective must be a metric that every arm reports, but trial {trial_id} has no {metric!r}; "
                    f"it reports {sorted(result.metrics)}"
                )
        return fmean(self.results[trial_id].metrics[metric] for trial_id in self.trials)
