"""Groups: the trials of one configuration over its seeds. Tables, figures and MLflow runs show groups."""

from collections.abc import Container
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from study.config.study_config import Arm, Params, StudyConfig
from study.storage.store import Proposal, StudyStore, TrialRecord
from trainables.config import TrialConfig

GroupStatus = Literal["complete", "pruned", "failed", "unfinished", "skipped"]


class Group(NamedTuple):
    """One configuration of one arm."""

    arm: str
    number: int
    """Position among the arm's proposals, from 0."""
    group_id: str
    params: Params
    """Swept values by canonical name; what is not swept is in the trials' configs."""
    trials: tuple[TrialRecord, ...]
    """The trials that have begun, in the order of the study's seeds."""
    seeds: tuple[int, ...]
    """All seeds of the study."""
    skipped: str = ""
    """Why the criterion skips it; empty if it is run."""

    @property
    def status(self) -> GroupStatus:
        """Pruned if its first seed was; failed if any trial failed; complete when every seed is."""
        if self.skipped:
            return "skipped"
        states = [trial.result.status for trial in self.trials if trial.result]
        if "pruned" in states:
            return "pruned"
        if "failed" in states:
            return "failed"
        return "complete" if len(states) == len(self.seeds) else "unfinished"

    def values(self, metric: str) -> list[float]:
        """The metric of each complete trial, by seed."""
        results = [trial.result for trial in self.trials if trial.result and trial.result.status == "complete"]
        return [result.metrics[metric] for result in results if metric in result.metrics]

    def mean(self, metric: str) -> float | None:
        """Mean over the complete seeds; None without any."""
        values = self.values(metric)
        return fmean(values) if values else None

    def std(self, metric: str) -> float | None:
        """Sample standard deviation (n - 1) over the complete seeds; None below two."""
        values = self.values(metric)
        return stdev(values) if len(values) > 1 else None


def collect_groups(study: StudyConfig, store: StudyStore) -> list[Group]:
    """Every proposed configuration that the present study file contains, by arm and number."""
    return [group for arm in study.arms for group in collect_arm(arm, study, store)]


def collect_arm(arm: Arm, study: StudyConfig, store: StudyStore, leave_out: Container[int] = ()) -> list[Group]:
    """One arm's groups.

    A proposal with another group id than the present arm gives it belongs to an older file, and is left out.

    Args:
        arm: the arm.
        study: the study.
        store: the study directory.
        leave_out: numbers of proposals that are left out; their files are not read.
    """
    groups: list[Group] = []
    for proposal in store.proposals(arm.name, leave_out):
        configs = current_trials(arm, proposal, study.search.seeds)
        if not configs:
            continue
        trials = tuple(trial for config in configs if (trial := begun_trial(config, store)))
        found = Group(arm.name, proposal.number, proposal.group_id, proposal.params, trials, study.search.seeds)
        groups.append(found._replace(skipped=proposal.skipped))
    return groups


def begun_trial(config: TrialConfig, store: StudyStore) -> TrialRecord | None:
    """The stored record of a trial, or None if it never started. config.json is not read, because `config` is given."""
    trial_id = config.trial_id
    trial = store.trial(trial_id)
    return TrialRecord(trial_id, config, trial.result(), trial) if trial.begun else None


def current_trials(arm: Arm, proposal: Proposal, seeds: tuple[int, ...]) -> list[TrialConfig]:
    """The proposal's trials, one for each seed; empty if the present arm gives it another group id.

    Args:
        arm: the present arm.
        proposal: the stored proposal.
        seeds: the study's seeds.
    """
    try:
        trials = [arm.trial(proposal.params, seed) for seed in seeds]
    except (ValueError, KeyError):  # a hyperparameter or a value that the arm no longer has
        return []
    return trials if trials[0].group_id == proposal.group_id else []


def best_group(groups: list[Group], metric: str, direction: Literal["maximize", "minimize"]) -> Group | None:
    """The complete group with the best mean over seeds (the earliest of equals), or None.

    Args:
        groups: the groups to choose from.
        metric: the metric key.
        direction: whether a larger or a smaller mean is better.
    """
    complete = [group for group in groups if group.status == "complete" and group.mean(metric) is not None]
    sign = 1 if direction == "maximize" else -1
    return max(complete, key=lambda group: sign * (group.mean(metric) or 0.0), default=None)
