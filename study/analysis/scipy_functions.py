"""The functions of SciPy and statsmodels that this room uses, with types.

Neither library has type stubs, so pyright cannot check what they return; all their calls are in this file. Both take
seconds to import, so the first call imports them.
"""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from collections.abc import Sequence


def welch_p(ours: tuple[float, float, int], theirs: tuple[float, float, int]) -> float:
    """Two-sided p-value of Welch's test for equal means, from mean, sample standard deviation and number."""
    from scipy import stats

    return float(stats.ttest_ind_from_stats(*ours, *theirs, equal_var=False)[1])


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t distribution."""
    from scipy import stats

    return float(stats.t.ppf(probability, freedom))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values after Holm's step-down correction, in their order."""
    from statsmodels.stats.multitest import multipletests

    corrected = multipletests(list(p_values), method="holm")[1]
    assert corrected is not None
    return [float(p) for p in corrected]


def ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value, from 1; equal values share their mean rank."""
    from scipy.stats import rankdata

    return [float(rank) for rank in rankdata(values)]
