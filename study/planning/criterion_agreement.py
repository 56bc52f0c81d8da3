"""How well the criterion predicted the gains: agreement of signs, rank correlation, calibration, and skipped training.

Takes plain numbers and returns plain numbers. Nothing here reads a file.
"""

from itertools import pairwise
from math import sqrt
from statistics import NormalDist, fmean
from typing import NamedTuple

from study.analysis.comparison import LEVEL, PairedDifference
from study.analysis.correlation import Correlation, spearman
from study.planning.criterion import Assessment, Verdict

MOST_BINS = 5


class PairOutcome(NamedTuple):
    """One arm on one pair of networks: the estimate of the criterion and the measured gain."""

    name: str
    arm: str
    estimate: Assessment
    gain: PairedDifference
    """Test metric of the arm's best configuration minus that of its baseline's, by seed; positive is better."""
    seconds: float = 0.0
    """Training seconds of every configuration that was run."""
    trainings: int = 0
    method: str = ""
    """Name of the arm in the study file, where one arm there gives several pairs."""
    teacher: str = ""
    student: str = ""

    @property
    def agrees(self) -> bool:
        """Whether gap and gain have the same sign."""
        return (self.estimate.gap.mean > 0) == (self.gain.mean > 0)

    @property
    def clear(self) -> bool:
        """Whether neither interval contains 0."""
        low, high = self.gain.low, self.gain.high
        return self.estimate.verdict != "undecided" and low is not None and high is not None and low * high > 0


class Share(NamedTuple):
    """k of n, with Wilson's 95 % interval."""

    k: int
    n: int
    low: float
    high: float


class Bin(NamedTuple):
    """Pairs of similar gap."""

    gap: float
    """Mean of the gaps."""
    gain: float
    """Mean of the gains."""
    helped: Share
    """Pairs with a gain above 0."""


class Saving(NamedTuple):
    """The effect of skipping every pair with the verdict "does not pay"."""

    cells: int
    trainings: int
    seconds: float
    """Training seconds spent on them."""
    of_seconds: float
    """Training seconds spent on all."""
    lost: tuple[PairOutcome, ...]
    """The skipped pairs that gained, the largest gain first."""


def share(k: int, n: int) -> Share:
    """The share k of n with Wilson's interval (1927), which is within [0, 1] and has a width above 0 at k = 0 and n."""
    if n == 0:
        return Share(0, 0, 0.0, 1.0)
    z = NormalDist().inv_cdf(1 - LEVEL / 2)
    p = k / n
    centre, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Share(k, n, max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale))


def agreement(outcomes: list[PairOutcome]) -> Share:
    """Pairs whose gap and gain have the same sign."""
    return share(sum(one.agrees for one in outcomes), len(outcomes))


def two_by_two(outcomes: list[PairOutcome]) -> dict[tuple[bool, bool], int]:
    """Numbers of pairs by (gap above 0, gain above 0)."""
    found = {(gap, gain): 0 for gap in (True, False) for gain in (True, False)}
    for one in outcomes:
        found[one.estimate.gap.mean > 0, one.gain.mean > 0] += 1
    return found


def verdicts(outcomes: list[PairOutcome]) -> dict[Verdict, Share]:
    """For each verdict of at least one pair, the share of its pairs that gained."""
    order: tuple[Verdict, ...] = ("pays", "undecided", "does not pay")
    shares: dict[Verdict, Share] = {}
    for verdict in order:
        found = [one for one in outcomes if one.estimate.verdict == verdict]
        if found:
            shares[verdict] = share(sum(one.gain.mean > 0 for one in found), len(found))
    return shares


def gap_against_gain(outcomes: list[PairOutcome]) -> Correlation | None:
    """Spearman(G, gain) over the pairs."""
    return spearman([one.estimate.gap.mean for one in outcomes], [one.gain.mean for one in outcomes])


def calibration_curve(outcomes: list[PairOutcome]) -> list[Bin]:
    """The pairs in up to MOST_BINS bins of nearly equal number, by gap; none with fewer than four pairs."""
    ordered = sorted(outcomes, key=lambda one: one.estimate.gap.mean)
    bins = min(MOST_BINS, len(ordered) // 2) if len(ordered) >= 4 else 0
    edges = [round(index * len(ordered) / bins) for index in range(bins + 1)] if bins else []
    parts = [ordered[start:end] for start, end in pairwise(edges)]
    return [
        Bin(
            fmean(one.estimate.gap.mean for one in part),
            fmean(one.gain.mean for one in part),
            share(sum(one.gain.mean > 0 for one in part), len(part)),
        )
        for part in parts
    ]


def saving(outcomes: list[PairOutcome]) -> Saving:
    """The training time that skipping would have saved, and the gains that it would have lost."""
    skipped = [one for one in outcomes if one.estimate.verdict == "does not pay"]
    lost = sorted((one for one in skipped if one.gain.mean > 0), key=lambda one: -one.gain.mean)
    return Saving(
        len(skipped),
        sum(one.trainings for one in skipped),
        sum(one.seconds for one in skipped),
        sum(one.seconds for one in outcomes),
        tuple(lost),
    )


def failures(outcomes: list[PairOutcome]) -> list[PairOutcome]:
    """The pairs whose gap and gain differ in sign: first those whose intervals exclude 0, then by size of the gain."""
    wrong = [one for one in outcomes if not one.agrees]
    return sorted(wrong, key=lambda one: (not one.clear, -abs(one.gain.mean)))
