"""Parts of every estimator of mutual information: its config, its input and its result."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from jaxtyping import Float64, Int64
from pydantic import Field
from torch import Tensor

from trainables.common.types import Frozen, Json, TableConfig

Target = Literal["continuous", "discrete"]


class IntervalConfig(Frozen):
    """Confidence interval by subsampling without replacement.

    A bootstrap would draw rows twice; neighbours at distance 0 make nearest-neighbour estimates meaningless.
    """

    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Confidence level. The interval covers sampling noise, not bias (see the self-test)."""
    subsamples: Annotated[int, Field(ge=0)] = 20
    """Number of estimates on random parts of the rows; 0: no interval."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the rows in each part."""


class MIConfig(TableConfig):
    """Options of every estimator. A subclass has its name in `estimator`."""

    kind_field: ClassVar[str] = "estimator"
    standardise: bool = True
    """Scale every column to mean 0 and variance 1. MI does not change; estimates by neighbours do."""
    jitter: Annotated[float, Field(ge=0)] = 1e-10
    """Normal noise added to every column so that no rows are equal: its deviation relative to that of the column."""
    pca: Annotated[int, Field(ge=1)] | None = None
    """Number of principal components kept of each continuous side; null: no reduction. The estimate is then a lower
    bound, by the data processing inequality."""
    interval: IntervalConfig = IntervalConfig()
    """How the interval is computed."""


class Pairs(NamedTuple):
    """Checked and prepared input; row i of x and y is the same example."""

    x: Float64[Tensor, "rows dim_x"]
    y: Float64[Tensor, "rows dim_y"] | Int64[Tensor, " rows"]
    """Continuous columns, or classes 0..C-1 of a discrete target."""

    @property
    def rows(self) -> int:
        """Number of pairs N."""
        return len(self.x)

    @property
    def num_classes(self) -> int:
        """Number of classes of a discrete target; 0 for a continuous one."""
        return 0 if self.y.is_floating_point() else int(self.y.max()) + 1

    @property
    def dim_y(self) -> int:
        """Number of columns of y; 0 for a discrete target."""
        return self.y.shape[1] if self.y.is_floating_point() else 0

    def take(self, rows: Int64[Tensor, " part"]) -> "Pairs":
        """The pairs in these rows."""
        return Pairs(self.x[rows], self.y[rows])


class Value(NamedTuple):
    """The result of an estimator on prepared pairs."""

    nats: float
    notes: tuple[str, ...] = ()
    """Reasons to doubt this value."""


class EstimatorEntry(NamedTuple):
    """An entry of `ESTIMATORS`."""

    config: type[MIConfig]
    compute: Callable[..., Value]
    """`compute(pairs, config, seed)`, where `config` is of the class above; the same value for the same seed."""
    targets: tuple[Target, ...]
    """Kinds of y that it takes."""
    minimum_rows: Callable[..., int]
    """`minimum_rows(config)`: least number of pairs that the estimator needs."""


@dataclass(frozen=True)
class MIEstimate:
    """An estimate of I(X; Y) in nats."""

    value: float
    """Estimate in nats; it is not clipped and can be slightly negative near independence."""
    interval: tuple[float, float] | None
    """Confidence interval of the sampling noise; None if the config asks for no subsamples."""
    standard_error: float | None
    """Standard error behind the interval."""
    settings: dict[str, Json]
    """Complete config, rows, dimensions, classes and seed."""
    warnings: tuple[str, ...] = ()
    """Reasons to doubt the estimate, and changes of the input."""

    @property
    def bits(self) -> float:
        """The value in bits."""
        return self.value / math.log(2)
