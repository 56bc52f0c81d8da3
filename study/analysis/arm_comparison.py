"""Statistics of a study: each arm's best configuration, and how it differs from the baseline arm's.

The best configuration of an arm is chosen by the validation objective, the test metric is only compared. Nothing here
reads a file, so every number can be checked by hand. SciPy and statsmodels, which take seconds to import, come with the
first test: a running study has no need of them.
"""

from collections.abc import Iterable
from statistics import fmean, stdev
from typing import NamedTuple

from search_spaces.domains import Value
from study.config.study_config import StudyConfig
from study.storage.groups import Group, best_group
from trainables.metrics.classification import Direction

LEVEL = 0.05
"""Significance level of every statement, and one minus the coverage of every interval."""

CONSTANT = 1e-12
"""Values that differ by less than this, relative to their size, are equal but for rounding."""


class Summary(NamedTuple):
    """One metric of one group over its complete seeds."""

    mean: float
    std: float | None
    """Sample standard deviation (n - 1); None below two values."""
    n: int


class PairedDifference(NamedTuple):
    """Arm minus baseline, seed by seed: both share the seed's teacher, initialisation and data order."""

    mean: float
    low: float | None
    """Lower end of Student's 95 % confidence interval; None below two pairs or when all differences are equal."""
    high: float | None
    n: int
    """Number of seeds that both have."""


class Comparison(NamedTuple):
    """One arm's best group against the baseline arm's best group, on the test metric."""

    difference: float | None
    """Arm's mean minus the baseline's."""
    p: float | None
    """Welch's two-sided p-value; None where `reason` says why."""
    holm: float | None
    """`p` corrected by Holm's method over every arm of the table that has one."""
    effect_size: float | None
    """Hedges' g: the difference in pooled standard deviations, corrected for small samples."""
    paired: PairedDifference | None
    reason: str = ""
    """Why there is no p-value."""


class ArmResult(NamedTuple):
    """One row of the arms table."""

    arm: str
    groups: tuple[Group, ...]
    best: Group | None
    """Complete group with the best mean objective; None if no group is complete."""
    objective: Summary | None
    """The objective metric of `best`. It chose `best` among the arm's groups, so it flatters."""
    test: Summary | None
    comparison: Comparison | None
    """None for the baseline arm itself."""


class StudyResults(NamedTuple):
    """Everything that tables and figures show."""

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
        """The baseline in a sentence: its name, or what stands for several."""
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
            summarise(by_seed(best[name], objective.metric)),
            summarise(by_seed(best[name], test_metric)),
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


class StageUsage(NamedTuple):
    """What the trials' shared stages (prepared data, teachers, bottlenecks, ...) cost and spared them."""

    computed: int
    """Artifacts that a trial of the study had to compute."""
    reused: int
    """How often a trial found one ready."""
    elsewhere: int
    """Artifacts among those found ready that no trial of the study computed: another study had, or an estimate."""
    seconds_saved: float
    """What the artifacts found ready had cost when they were computed, each time that one was found."""


def stage_usage(groups: Iterable[Group]) -> StageUsage:
    """The stages of every finished trial; one that several arms share counts once."""
    trials = {trial.trial_id: trial.result for group in groups for trial in group.trials}
    results = [result for result in trials.values() if result]
    computed = {stage for result in results for stage in result.stages_computed}
    reused = [stage for result in results for stage in result.stages_reused]
    saved = sum(result.seconds_saved for result in results)
    return StageUsage(len(computed), len(reused), len(set(reused) - computed), saved)


def by_seed(group: Group | None, metric: str) -> dict[int, float]:
    """The metric of each complete trial by its seed."""
    values = {}
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
    ours, theirs = by_seed(group, metric), by_seed(baseline, metric)
    if not ours:
        return Comparison(None, None, None, None, None, missing(group, metric, "this arm"))
    if not theirs:
        return Comparison(None, None, None, None, None, missing(baseline, metric, "the baseline arm"))
    return compare_values(ours, theirs)


def compare_values(ours: dict[int, float], theirs: dict[int, float]) -> Comparison:
    """The comparison of two sets of values by seed, neither empty, not yet corrected."""
    difference = fmean(ours.values()) - fmean(theirs.values())
    p, reason = welch(list(ours.values()), list(theirs.values()))
    effect_size = hedges_g(list(ours.values()), list(theirs.values())) if p is not None else None
    return Comparison(difference, p, None, effect_size, paired_difference(ours, theirs), reason)


def missing(group: Group | None, metric: str, whose: str) -> str:
    """Why there is nothing to compare."""
    return f"{whose} has no complete configuration" if group is None else f"{whose} has no {metric}"


def welch(ours: list[float], theirs: list[float]) -> tuple[float | None, str]:
    """Welch's two-sided p-value for equal means, or None and the reason why there is none."""
    if min(len(ours), len(theirs)) < 2:
        return None, f"needs two seeds or more, but n = {min(len(ours), len(theirs))}"
    if is_constant(ours) and is_constant(theirs):
        return None, "both arms are constant over their seeds, so the test is undefined"
    from scipy import stats

    found = stats.ttest_ind_from_stats(*moments(ours), *moments(theirs), equal_var=False)
    return float(found[1]), ""


def moments(values: list[float]) -> tuple[float, float, int]:
    """Mean, standard deviation and number, computed exactly, so that no constant arm gets a deviation by rounding."""
    return fmean(values), stdev(values), len(values)


def is_constant(values: list[float]) -> bool:
    """Whether the values are equal but for rounding."""
    return max(values) - min(values) <= CONSTANT * max(map(abs, values))


def hedges_g(ours: list[float], theirs: list[float]) -> float:
    """J (mean - mean) / s with the pooled deviation s and J = 1 - 3 / (4 df - 1), df = n1 + n2 - 2 (Hedges 1981)."""
    freedom = len(ours) + len(theirs) - 2
    squares = (len(ours) - 1) * stdev(ours) ** 2 + (len(theirs) - 1) * stdev(theirs) ** 2
    return (1 - 3 / (4 * freedom - 1)) * (fmean(ours) - fmean(theirs)) / (squares / freedom) ** 0.5


def paired_difference(ours: dict[int, float], theirs: dict[int, float]) -> PairedDifference | None:
    """Mean over common seeds of ours - theirs, with Student's confidence interval; None without a common seed."""
    differences = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    if not differences:
        return None
    scale = max(map(abs, [*ours.values(), *theirs.values()]))
    return interval_of_mean(differences, scale)


def interval_of_mean(values: list[float], scale: float) -> PairedDifference:
    """Mean of `values` with Student's confidence interval; no interval where they are equal but for rounding."""
    mean, n = fmean(values), len(values)
    if n < 2 or max(values) - min(values) <= CONSTANT * scale:
        return PairedDifference(mean, None, None, n)
    from scipy import stats

    half = float(stats.t.ppf(1 - LEVEL / 2, n - 1)) * stdev(values) / n**0.5
    return PairedDifference(mean, mean - half, mean + half, n)


def correct(comparisons: list[Comparison]) -> list[Comparison]:
    """`comparisons` with `holm` filled in: Holm's step-down correction over those that have a p-value."""
    tested = [index for index, comparison in enumerate(comparisons) if comparison.p is not None]
    if not tested:
        return comparisons
    import numpy as np
    from statsmodels.stats.multitest import multipletests

    corrected = np.asarray(multipletests([comparisons[index].p for index in tested], method="holm")[1])
    found = dict(zip(tested, corrected.tolist(), strict=True))
    return [comparison._replace(holm=found.get(index)) for index, comparison in enumerate(comparisons)]


def detectable_difference(n: int) -> float:
    """Smallest difference, in pooled standard deviations, that reaches LEVEL uncorrected with n seeds on each side.

    For equal deviations: t(1 - LEVEL / 2; 2n - 2) sqrt(2 / n).
    """
    from scipy import stats

    return float(stats.t.ppf(1 - LEVEL / 2, 2 * n - 2)) * (2 / n) ** 0.5
