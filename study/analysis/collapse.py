"""Statistics on dimensional collapse: how far distillation shifts the student's spectrum, and whether a bottleneck
dimension between the smallest and the largest is the best.

Both compare seed by seed and give Student's 95 % interval over seeds. Nothing here reads a file.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from study.analysis.comparison import Comparison, PairedDifference, correct, paired_difference
from study.analysis.study_results import StudyResults, compare, values_by_seed
from study.config.study_config import Arm, StudyConfig
from study.storage.groups import Group, best_group
from trainables.diagnostics.spectra import effective_rank

FLOOR = 1e-12
"""Singular values below this fraction of the largest are raised to it: they are rounding errors; 0 has no logarithm."""

Spectrum = Float[np.ndarray, " values"]


class Shift(NamedTuple):
    """One arm's spectrum against the baseline's, seed by seed."""

    arm: str
    level: PairedDifference
    """Mean over the indices of ln σ, arm minus baseline: below 0, the spectrum lies lower."""
    rank: PairedDifference
    """Effective rank, arm minus baseline; unlike the level, it does not change with the features' scale."""


class Peak(NamedTuple):
    """Performance along H in one arm, at the smallest H, at the best one by validation, and at the largest."""

    sizes: tuple[int, int, int]
    below: PairedDifference | None
    """Best minus smallest, on the test metric; None if the best is the smallest."""
    above: PairedDifference | None
    """Best minus largest; None if the best is the largest."""


class Pair(NamedTuple):
    """An arm with a bottleneck and its counterpart without."""

    ciba: str
    plain: str
    comparison: Comparison


def log_level(spectrum: Spectrum) -> float | None:
    """Mean of ln σ over all indices, each σ at least FLOOR times the largest; None if all are 0."""
    values = spectrum.astype(np.float64)
    if not values.size or values.max() <= 0:
        return None
    return float(np.log(np.maximum(values, FLOOR * values.max())).mean())


def spectrum_shift(arm: str, ours: Mapping[int, Spectrum], theirs: Mapping[int, Spectrum]) -> Shift | None:
    """How far the spectra of one arm are from those of another, paired by seed.

    Args:
        arm: Name of the arm.
        ours: By seed, the arm's singular values.
        theirs: By seed, those of the arm that it is compared with.

    Returns:
        The shift; None without a common seed, where the widths differ, or where a spectrum is 0.

    """
    common = [seed for seed in ours if seed in theirs]
    if not common or len({len(side[seed]) for seed in common for side in (ours, theirs)}) > 1:
        return None
    our_levels, their_levels = log_levels(ours, common), log_levels(theirs, common)
    if our_levels is None or their_levels is None:
        return None
    our_ranks, their_ranks = ({seed: rank_of(side[seed]) for seed in common} for side in (ours, theirs))
    level, rank = paired_difference(our_levels, their_levels), paired_difference(our_ranks, their_ranks)
    assert level and rank
    return Shift(arm, level, rank)


def log_levels(spectra: Mapping[int, Spectrum], seeds: list[int]) -> dict[int, float] | None:
    """The level of each seed's spectrum; None if one of them has none."""
    levels = {seed: log_level(spectra[seed]) for seed in seeds}
    known = {seed: level for seed, level in levels.items() if level is not None}
    return known if len(known) == len(levels) else None


def rank_of(spectrum: Spectrum) -> float:
    """Effective rank of a spectrum."""
    return float(effective_rank(torch.tensor(spectrum.astype(np.float64))))


def direction(difference: PairedDifference) -> Literal["lower", "higher", "unclear"]:
    """The side of 0 on which the whole interval lies."""
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "unclear"
    return "lower" if difference.high < 0 else "higher"


def peak(groups: tuple[Group, ...], name: str, results: StudyResults) -> Peak | None:
    """Performance along the swept whole number `name`; None with fewer than three values.

    At each value, the group is chosen on validation. The best value is also chosen on validation and is compared with
    both ends on the test metric, so that the choice does not bias the comparison.
    """
    complete = [group for group in groups if group.status == "complete" and name in group.params]
    chosen: dict[int, Group] = {}
    for size in sorted({int(group.params[name]) for group in complete}):
        found = best_group([g for g in complete if g.params[name] == size], results.metric, results.direction)
        if found:
            chosen[size] = found
    best = best_group(list(chosen.values()), results.metric, results.direction)
    if len(chosen) < 3 or best is None:
        return None
    smallest, largest, top = min(chosen), max(chosen), int(best.params[name])

    def against(size: int) -> PairedDifference | None:
        ours, theirs = values_by_seed(best, results.test_metric), values_by_seed(chosen[size], results.test_metric)
        return None if size == top else paired_difference(ours, theirs)

    return Peak((smallest, top, largest), against(smallest), against(largest))


def bottleneck_pairs(study: StudyConfig, results: StudyResults) -> list[Pair]:
    """Every arm with a bottleneck against the arm that distils by the same loss without one; Holm over these pairs."""
    found = [
        (arm.name, other.name)
        for arm in study.arms
        if arm.base.method.teacher_source == "bottleneck"
        for other in [counterpart(arm, study)]
        if other
    ]
    compared = correct(
        [compare(results.arm(ours).best, results.arm(theirs).best, results.test_metric) for ours, theirs in found]
    )
    return [Pair(*names, comparison) for names, comparison in zip(found, compared, strict=True)]


def counterpart(arm: Arm, study: StudyConfig) -> Arm | None:
    """The first arm with the same loss, data and networks that distils whole features."""
    for other in study.arms:
        alike = all(getattr(arm.base, part) == getattr(other.base, part) for part in ("data", "teacher", "student"))
        whole = other.base.method.teacher_source == "teacher" and "fd" in other.base.method.active_terms
        if alike and whole and loss_of(arm) == loss_of(other):
            return other
    return None


def loss_of(arm: Arm) -> object:
    """The feature loss of an arm."""
    return arm.base.method.model_dump().get("loss")
