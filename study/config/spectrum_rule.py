"""`H: {from_spectrum: {...}}` in a space: the rule that chooses H before the search."""

from typing import Annotated

from pydantic import AfterValidator, Field

from search_spaces.domains import Choice, Domain, IntRange
from trainables.common.types import Frozen
from trainables.diagnostics.saturation import FLOOR, THRESHOLD

KEY = "from_spectrum"
BOTTLENECK = "bottleneck_dim"
"""The hyperparameter that this rule can choose."""

MOST_LISTED = 12
"""Of a range of H with more values than this, only the ends and the powers of two are compared."""


def comparable(grid: tuple[int, ...]) -> tuple[int, ...]:
    """The grid. Raises ValueError if it has a single value or a repeated one."""
    if len(grid) == 1:
        raise ValueError(f"must have 2 or more values, but got {list(grid)}; add to the list")
    if len(set(grid)) < len(grid):
        raise ValueError(f"each H may be listed once, but got {list(grid)}; remove the repeated one")
    return grid


class SpectrumRule(Frozen):
    """`H: {from_spectrum: {around: 1}}` chooses H before the search, by training the bottlenecks of a grid of H.

    It trains no student. The suggested H is the smallest one from which on the log singular spectrum of the
    bottleneck's output stays the same (CIBA paper, section 5.1.3). The search then tries it and its neighbours on the
    grid. All other fields of the bottleneck have the arm's fixed values meanwhile. The choice is stored with the study.
    """

    around: Annotated[int, Field(ge=0)] = 1
    """Neighbours of the suggested H on the grid that are tried too, on each side."""
    grid: Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(comparable)] = ()
    """Values of H that are compared. Default: the declared ones up to the student's `feature_dim`."""
    threshold: Annotated[float, Field(gt=0)] = THRESHOLD
    """Mean difference of the logarithms of singular values below which spectra count as the same; 0.05 is 5 %."""
    floor: Annotated[float, Field(gt=0, lt=1)] = FLOOR
    """Share of the largest singular value below which singular values are not compared."""


def grid_of(domain: Domain) -> tuple[int, ...]:
    """The values of H to compare, ascending: all of a list; of a long range, its ends and the powers of 2."""
    if isinstance(domain, Choice):
        return tuple(sorted(int(value) for value in domain.options))
    assert isinstance(domain, IntRange), "H is a whole number"
    if domain.size() <= MOST_LISTED:
        return domain.grid()
    powers = (2**exponent for exponent in range(domain.high.bit_length()))
    return tuple(sorted({domain.low, domain.high, *(power for power in powers if domain.contains(power))}))


def neighbours(grid: tuple[int, ...], suggested: int, around: int) -> tuple[int, ...]:
    """The suggested H and up to `around` values of the ascending grid on each side of it."""
    place = grid.index(suggested)
    return grid[max(0, place - around) : place + around + 1]


def configurations(size: int, rule: SpectrumRule | None) -> int:
    """How many of `size` values of H a search tries, at most."""
    return size if rule is None else min(size, 2 * rule.around + 1)
