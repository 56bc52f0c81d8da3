"""Estimators of mutual information in nats: the table `ESTIMATORS`, and `estimate`, which checks and runs one."""

import math
from typing import Annotated, Union

from jaxtyping import Float, Shaped
from pydantic import Field
from torch import Tensor

from trainables.common.types import Json
from trainables.mi import critics, networks
from trainables.mi import gaussian as gaussian_form
from trainables.mi import ksg as neighbour
from trainables.mi import latentmi as latent
from trainables.mi.base import EstimatorEntry, IntervalConfig, MIConfig, MIEstimate, Pairs, Target
from trainables.mi.critics import InfoNCEConfig, MINEConfig, SMILEConfig
from trainables.mi.gaussian import GaussianConfig
from trainables.mi.interval import interval_around, standard_error
from trainables.mi.ksg import KSG1Config, KSG2Config, KSGConfig, RossConfig
from trainables.mi.latentmi import LatentMIConfig
from trainables.mi.prepare import prepare

__all__ = ["ESTIMATORS", "AnyMI", "IntervalConfig", "MIConfig", "MIEstimate", "estimate"]

CONTINUOUS: tuple[Target, ...] = ("continuous",)
DISCRETE: tuple[Target, ...] = ("discrete",)
EITHER = CONTINUOUS + DISCRETE

ESTIMATORS: dict[str, EstimatorEntry] = {
    "ksg": EstimatorEntry(KSGConfig, neighbour.ksg, EITHER, neighbour.minimum_rows),
    "ksg1": EstimatorEntry(KSG1Config, neighbour.ksg1, CONTINUOUS, neighbour.minimum_rows),
    "ksg2": EstimatorEntry(KSG2Config, neighbour.ksg2, CONTINUOUS, neighbour.minimum_rows),
    "ross": EstimatorEntry(RossConfig, neighbour.ross, DISCRETE, neighbour.minimum_rows),
    "gaussian": EstimatorEntry(GaussianConfig, gaussian_form.gaussian, CONTINUOUS, gaussian_form.minimum_rows),
    "mine": EstimatorEntry(MINEConfig, critics.mine, EITHER, networks.minimum_rows),
    "smile": EstimatorEntry(SMILEConfig, critics.smile, EITHER, networks.minimum_rows),
    "infonce": EstimatorEntry(InfoNCEConfig, critics.infonce, EITHER, networks.minimum_rows),
    "latentmi": EstimatorEntry(LatentMIConfig, latent.latentmi, EITHER, latent.minimum_rows),
}

AnyMI = Annotated[Union[tuple(entry.config for entry in ESTIMATORS.values())], Field(discriminator="estimator")]  # noqa: UP007
"""Config of any estimator, chosen by `estimator`."""


def estimate(
    x: Float[Tensor, " rows_x *dim_x"],
    y: Shaped[Tensor, " rows_y *dim_y"],
    config: MIConfig,
    *,
    discrete_y: bool = False,
    seed: int = 0,
) -> MIEstimate:
    """Estimate the mutual information I(X; Y) of paired rows, on the device of x.

    Args:
        x: continuous, (rows,) or (rows, columns).
        y: continuous of the same form, or classes.
        config: config of an estimator, such as `KSGConfig(k=3)`.
        discrete_y: whether y is a class; labels may be any numbers.
        seed: seed of jitter, subsamples and training.

    Returns:
        The estimate in nats, with its interval, settings and warnings.

    Raises:
        ValueError: if the estimator does not support this kind of y, or the input is unusable: NaN, too few rows, row
            counts that differ, only constant columns.

    """
    entry = ESTIMATORS[config.kind]
    check_target(config.kind, discrete_y)
    minimum = entry.minimum_rows(config)
    pairs, warnings = prepare(x, y, config, discrete_y, seed, minimum)
    value = entry.compute(pairs, config, seed)
    error = interval = None
    if config.interval.subsamples > 1:
        error = standard_error(
            pairs, lambda part, number: entry.compute(part, config, number).nats, config.interval, minimum, seed
        )
        interval = interval_around(value.nats, error, config.interval)
    doubts = (*warnings, *value.notes, *entropy_note(value.nats, pairs))
    return MIEstimate(value.nats, interval, error, settings_of(config, pairs, seed), doubts)


def check_target(name: str, discrete_y: bool) -> None:
    """Raise ValueError if the estimator does not support this kind of y."""
    kind = "discrete" if discrete_y else "continuous"
    if kind not in ESTIMATORS[name].targets:
        others = sorted(other for other, entry in ESTIMATORS.items() if kind in entry.targets)
        raise ValueError(f"{name!r} takes a y that is {ESTIMATORS[name].targets[0]}, not {kind}; use one of {others}")


def entropy_note(nats: float, pairs: Pairs) -> tuple[str, ...]:
    """A warning if the estimate exceeds ln(classes): I(X; Y) <= H(Y) <= ln(classes)."""
    classes = pairs.num_classes
    if not classes or nats <= math.log(classes):
        return ()
    return (f"{nats:.3f} nats is more than the largest possible value, ln({classes}) = {math.log(classes):.3f}",)


def settings_of(config: MIConfig, pairs: Pairs, seed: int) -> dict[str, Json]:
    """Everything that determines an estimate, except the data."""
    applied: dict[str, Json] = {
        "rows": pairs.rows,
        "dim_x": pairs.x.shape[1],
        "dim_y": pairs.dim_y,
        "classes": pairs.num_classes,
        "seed": seed,
    }
    return config.model_dump(mode="json") | applied
