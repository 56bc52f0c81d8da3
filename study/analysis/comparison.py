"""Compares the values of two arms: Welch's test with Holm's correction, effect size, paired differences.

Takes plain numbers and returns plain numbers, so every result can be checked by hand.
"""

from statistics import fmean, stdev
from typing import NamedTuple

from study.analysis.scipy_functions import holm, student_quantile, welch_p

LEVEL = 0.05
"""Significance level of every statement, and one minus the coverage of every interval."""

CONSTANT = 1e-12
"""Values that differ by less than this, relative to their size, are equal up to rounding."""


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
    """`p` corrected by Holm's method over all arms of the table that have a p-value."""
    effect_size: float | None
    """Hedges' g: the difference in pooled standard deviations, corrected for small samples."""
    paired: PairedDifference | None
    reason: str = ""
    """Why there is no p-value."""


def compare_values(ours: dict[int, float], theirs: dict[int, float]) -> Comparison:
    """The comparison of two sets of values by seed, neither empty, not yet corrected."""
    difference = fmean(ours.values()) - fmean(theirs.values())
    p, reason = welch(list(ours.values()), list(theirs.values()))
    effect_size = hedges_g(list(ours.values()), list(theirs.values())) if p is not None else None
    return Comparison(difference, p, None, effect_size, paired_difference(ours, theirs), reason)


def welch(ours: list[float], theirs: list[float]) -> tuple[float | None, str]:
    """Welch's two-sided p-value for equal means, or None and the reason why there is none."""
    if min(len(ours), len(theirs)) < 2:
        return None, f"needs two seeds or more, but n = {min(len(ours), len(theirs))}"
    if is_constant(ours) and is_constant(theirs):
        return None, "both arms are constant over their seeds, so the test is undefined"
    return welch_p(moments(ours), moments(theirs)), ""


def moments(values: list[float]) -> tuple[float, float, int]:
    """Mean, standard deviation and number, computed exactly, so that rounding gives no constant arm a deviation."""
    return fmean(values), stdev(values), len(values)


def is_constant(values: list[float]) -> bool:
    """Whether the values are equal up to rounding."""
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
    """Mean of `values` with Student's confidence interval; no interval where they are equal up to rounding."""
    mean, n = fmean(values), len(values)
    if n < 2 or max(values) - min(values) <= CONSTANT * scale:
        return PairedDifference(mean, None, None, n)
    half = student_quantile(1 - LEVEL / 2, n - 1) * stdev(values) / n**0.5
    return PairedDifference(mean, mean - half, mean + half, n)


def correct(comparisons: list[Comparison]) -> list[Comparison]:
    """`comparisons` with `holm` filled in: Holm's step-down correction over those that have a p-value."""
    tested = {index: comparison.p for index, comparison in enumerate(comparisons) if comparison.p is not None}
    if not tested:
        return comparisons
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [comparison._replace(holm=corrected.get(index)) for index, comparison in enumerate(comparisons)]


def detectable_difference(n: int) -> float:
    """Smallest difference, in pooled standard deviations, that reaches LEVEL uncorrected with n seeds on each side.

    For equal deviations: t(1 - LEVEL / 2; 2n - 2) sqrt(2 / n).
    """
    return student_quantile(1 - LEVEL / 2, 2 * n - 2) * (2 / n) ** 0.5
