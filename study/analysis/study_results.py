"""The results of a study: the best configuration of each arm, and how it differs from the baseline arm's.

The best configuration of an arm is chosen by the validation objective. The test metric is only compared. Nothing here
reads a file.
"""

from statistics import fmean, stdev
from typing import NamedTuple

from search_spaces.domains import Value
from study.analysis.comparison import Comparison, compare_values, correct
from study.config.study_config import StudyConfig
from study.storage.groups import Group, best_group
from trainables.metrics.classification import Direction


class Summary(NamedTuple):
    """One metric of one group over its complete seeds."""

    mean: float
    std: float | None
    """Sample standard deviation (n - 1); None below two values."""
    n: int


class ArmResult(NamedTuple):
    """One row of the arms table."""

    arm: str
    groups: tuple[Group, ...]
    best: Group | None
    """The complete group with the best mean objective; None if no group is complete."""
    objective: Summary | None
    """The objective metric of `best`. It is optimistic, because `best` was chosen by it."""
    test: Summary | None
    comparison: Comparison | None
    """None for the baseline arm itself."""


class StudyResults(NamedTuple):
    """The results that tables and figures show."""

    metric: str
    """Key of the (first) objective."""
    test_metric: str
    """Key of the same metric on the test split."""
    direction: Direction
    baseline: str
    """The (first) arm that others are compared with."""
    arms: tuple[ArmResult, ...]
    baselines: dict[str, str] = {}  # noqa: RUF012 - never changed
    """By arm, the arm that it is compared with, where that is not the same for all."""

    @property
    def versus(self) -> str:
        """The baseline as a sentence names it: its name, or `its baseline` if arms have different ones."""
        return f"`{self.baseline}`" if not self.baselines else "its baseline"

    def baseline_of(self, arm: str) -> str:
        """The arm that `arm` is compared with."""
        return self.baselines.get(arm, self.baseline)

    def arm(self, name: str) -> ArmResult:
        """The row called `name`."""
        return next(row for row in self.arms if row.arm == name)

    def better(self, difference: float) -> bool:
        """Whether a difference `arm - baseline` is in the arm's favour."""
        return difference > 0 if self.direction == "maximize" else difference < 0


def study_results(study: StudyConfig, groups: list[Group]) -> StudyResults:
    """The arms of `study`, each with its best group and its comparison with the baseline arm's."""
    objective = study.search.objectives[0]
    test_metric = "test/" + objective.metric.partition("/")[2]
    baselines = {arm.name: study.baseline_of(arm) for arm in study.arms}
    own = {arm.name: tuple(group for group in groups if group.arm == arm.name) for arm in study.arms}
    best = {name: best_group(list(found), objective.metric, objective.direction) for name, found in own.items()}
    others = [name for name in own if name != baselines[name]]
    compared = [compare(best[name], best.get(baselines[name]), test_metric) for name in others]
    comparisons = dict(zip(others, correct(compared), strict=True))
    rows = [
        ArmResult(
            name,
            own[name],
            best[name],
            summarise(values_by_seed(best[name], objective.metric)),
            summarise(values_by_seed(best[name], test_metric)),
            comparisons.get(name),
        )
        for name in own
    ]
    several = baselines if len(set(baselines.values())) > 1 else {}
    baseline = study.report.baseline
    return StudyResults(objective.metric, test_metric, objective.direction, baseline, tuple(rows), several)


def best_rows(study: StudyConfig, groups: list[Group]) -> list[dict[str, Value | dict[str, Value] | None]]:
    """Each arm's best group by the objective, for the JSON summary; arms without a complete group are left out."""
    results = study_results(study, groups)
    return [
        {
            "arm": row.arm,
            "group_id": row.best.group_id,
            "params": row.best.params,
            "metric": results.metric,
            **row.objective._asdict(),
        }
        for row in results.arms
        if row.best and row.objective
    ]


def values_by_seed(group: Group | None, metric: str) -> dict[int, float]:
    """The metric of each complete trial by its seed."""
    values: dict[int, float] = {}
    for trial in group.trials if group else ():
        if trial.result and trial.result.status == "complete" and metric in trial.result.metrics:
            values[trial.config.seed] = trial.result.metrics[metric]
    return values


def summarise(values: dict[int, float]) -> Summary | None:
    """Mean, standard deviation and number of `values`; None without any."""
    if not values:
        return None
    return Summary(fmean(values.values()), stdev(values.values()) if len(values) > 1 else None, len(values))


def compare(group: Group | None, baseline: Group | None, metric: str) -> Comparison:
    """The comparison of two groups, not yet corrected for the other arms of the table."""
    ours, theirs = values_by_seed(group, metric), values_by_seed(baseline, metric)
    if not ours:
        return Comparison(None, None, None, None, None, missing(group, metric, "this arm"))
    if not theirs:
        return Comparison(None, None, None, None, None, missing(baseline, metric, "the baseline arm"))
    return compare_values(ours, theirs)


def missing(group: Group | None, metric: str, whose: str) -> str:
    """Why there is nothing to compare."""
    return f"{whose} has no complete configuration" if group is None else f"{whose} has no {metric}"
