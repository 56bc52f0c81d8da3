"""Domains of hyperparameters: a float range, an integer range, or a choice.

A config field declares its default search range in `Annotated`, next to its bound and its default:

    temperature: Annotated[float, Field(gt=0), FloatRange(1.0, 8.0, log=True), Aliases("tau", "T")] = 2.0
"""

import math
from dataclasses import dataclass

Value = bool | int | float | str
"""A hyperparameter value, the same in YAML, Optuna, MLflow and the report."""

ENDPOINT_SLACK = 1e-9
"""Relative tolerance by which a stepped range includes its upper end (0.1 * 3 > 0.3 in floats)."""

MAX_STEPS = 1_000_000
"""Most steps of a float range: its grid is kept in memory."""


@dataclass(frozen=True)
class FloatRange:
    """Real numbers in `[low, high]`; uniform in the logarithm if `log`; only `low + k * step` if `step` is set."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        check_range(self.low, self.high, self.log, self.step)
        if self.step is not None and (self.high - self.low) / self.step > MAX_STEPS:
            raise ValueError(
                f"a range can have at most {MAX_STEPS} steps, but `step` is {self.step}; use a larger `step`, or "
                "leave it out"
            )

    def contains(self, value: Value) -> bool:
        """Whether a search over this domain could propose `value`."""
        if isinstance(value, bool | str) or not self.low <= value <= self.high:
            return False
        return (
            self.step is None
            or math.isclose((value - self.low) / self.step % 1, 0, abs_tol=1e-6)
            or math.isclose((value - self.low) / self.step % 1, 1, abs_tol=1e-6)
        )

    def size(self) -> int | None:
        """Number of values, or None when there are uncountably many (no `step`)."""
        if self.step is None:
            return 1 if self.low == self.high else None
        return math.floor((self.high - self.low) / self.step * (1 + ENDPOINT_SLACK)) + 1

    def grid(self) -> tuple[float, ...] | None:
        """Every value in order, or None when there are uncountably many (no `step`)."""
        if self.step is None:
            return (self.low,) if self.low == self.high else None
        return tuple(min(self.low + k * self.step, self.high) for k in range(self.size() or 0))


@dataclass(frozen=True)
class IntRange:
    """Integers `low, low + step, ...` up to `high`; uniform in the logarithm if `log` (then `step` is 1)."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        check_range(self.low, self.high, self.log, None if self.log and self.step == 1 else self.step)

    def contains(self, value: Value) -> bool:
        """Whether a search over this domain could propose `value`."""
        if isinstance(value, bool | str) or value != int(value):
            return False
        return self.low <= value <= self.high and (int(value) - self.low) % self.step == 0

    def size(self) -> int:
        """Number of values."""
        return (self.high - self.low) // self.step + 1

    def grid(self) -> tuple[int, ...]:
        """Every value in order."""
        return tuple(range(self.low, self.high + 1, self.step))


@dataclass(frozen=True)
class Choice:
    """One of `options`, in their order. Numbers keep their type: figures draw a choice of H on a numeric axis."""

    options: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError("a choice needs at least one option, but the list is empty; add one")
        if len(set(map(repr, self.options))) < len(self.options):
            raise ValueError(f"every option must be listed once, but got {list(self.options)!r}; remove the repeats")

    def contains(self, value: Value) -> bool:
        """Whether a search over this domain could propose `value`."""
        return value in self.options

    def size(self) -> int:
        """Number of values."""
        return len(self.options)

    def grid(self) -> tuple[Value, ...]:
        """Every value in order."""
        return self.options


Domain = FloatRange | IntRange | Choice


@dataclass(frozen=True, init=False)
class Aliases:
    """Other names of a field in a study file: `temperature` may be written `tau` or `T`."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


def check_range(low: int | float, high: int | float, log: bool, step: int | float | None) -> None:
    """Check that the four values describe a range.

    Args:
        low: lower end.
        high: upper end.
        log: whether the range is uniform in the logarithm.
        step: distance of neighbouring values; None: no step.

    Raises:
        ValueError: with the rule, the values and the fix.

    """
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"`low` and `high` must be finite, but got {low=}, {high=}; write numbers")
    if low > high:
        raise ValueError(f"`low` must be at most `high`, but got {low=}, {high=}; exchange them")
    if log and low <= 0:
        raise ValueError(
            f"a range with `log: true` must start above 0, but got {low=}; use a larger `low`, or leave `log` out"
        )
    if step is not None and step <= 0:
        raise ValueError(f"`step` must be above 0, but got {step=}; use a larger `step`, or leave it out")
    if log and step is not None:
        raise ValueError(f"`log` and `step` cannot be combined, but got both ({step=}); list the values instead")
