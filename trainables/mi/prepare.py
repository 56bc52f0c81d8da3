"""Checks and prepares the input of an estimate: errors, repairs with a warning, scaling of the columns."""

import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

from trainables.mi.base import MIConfig, Pairs


def prepare(
    x: Float[Tensor, " rows_x *dim_x"],
    y: Shaped[Tensor, " rows_y *dim_y"],
    config: MIConfig,
    discrete_y: bool,
    seed: int,
    minimum: int = 2,
) -> tuple[Pairs, tuple[str, ...]]:
    """Check and prepare the input of an estimator.

    Args:
        x: continuous, (rows,) or (rows, columns).
        y: the same, or classes.
        config: how columns are scaled, reduced and jittered.
        discrete_y: whether y is a class.
        seed: seed of the jitter.
        minimum: least number of pairs that the estimator needs.

    Returns:
        The pairs in float64 on the device of x, and warnings about changes of the input.

    Raises:
        ValueError: for rows that do not match, NaN or infinite values, fewer than `minimum` rows, or no column that
            varies.
    """
    if len(x) != len(y):
        raise ValueError(f"x and y must have a row for each example, but x has {len(x)} rows and y {len(y)}")
    warnings: list[str] = []
    generator = torch.Generator().manual_seed(seed)
    columns = continuous("x", x, warnings)
    if discrete_y:
        keep, classes = at_least_two_each(class_indices(y.to(x.device)), warnings)
        columns = columns[keep]
        enough(len(columns), minimum)
        return Pairs(finish(columns, config, generator), classes), tuple(warnings)
    other = continuous("y", y.to(x.device), warnings)
    enough(len(columns), minimum)
    note_duplicates(torch.cat([columns, other], dim=1), config, warnings)
    return Pairs(finish(columns, config, generator), finish(other, config, generator)), tuple(warnings)


def enough(rows: int, minimum: int) -> None:
    """Raise ValueError if there are fewer rows than the estimator needs."""
    if rows < minimum:
        raise ValueError(
            f"this estimator needs at least {minimum} pairs, but there are {rows}; use more data or a smaller k"
        )


def continuous(side: str, values: Shaped[Tensor, " rows *dim"], warnings: list[str]) -> Float64[Tensor, "rows columns"]:
    """Float64 columns without the constant ones."""
    columns = values.double().flatten(1) if values.ndim > 1 else values.double()[:, None]
    bad = int((~columns.isfinite()).any(dim=1).sum())
    if bad:
        raise ValueError(
            f"{side} must be finite, but {bad} of {len(columns)} rows contain NaN or infinity; leave them out"
        )
    varies = (columns != columns[:1]).any(dim=0)
    if not bool(varies.any()):
        raise ValueError(f"{side} must have a column that varies, but all {columns.shape[1]} are constant")
    dropped = int((~varies).sum())
    if dropped:
        warnings.append(f"{dropped} of {columns.shape[1]} columns of {side} are constant and were dropped")
    return columns[:, varies]


def class_indices(labels: Shaped[Tensor, " rows *dim"]) -> Int64[Tensor, " rows"]:
    """Classes 0..C-1 in ascending order of the labels, which may be any numbers or rows of numbers.

    Raises:
        ValueError: if a label is NaN.
    """
    if labels.is_floating_point() and bool(labels.isnan().any()):
        raise ValueError("y must be a class for every row, but some are NaN; leave those rows out")
    return torch.unique(labels, dim=0, return_inverse=True)[1].flatten()


def at_least_two_each(
    classes: Int64[Tensor, " rows"], warnings: list[str]
) -> tuple[Int64[Tensor, " kept"], Int64[Tensor, " kept"]]:
    """Rows of the classes with at least two examples, and their classes, renumbered.

    Raises:
        ValueError: if fewer than two classes are left.
    """
    counts = torch.bincount(classes)
    keep = (counts[classes] > 1).nonzero().flatten()
    single = int((counts == 1).sum())
    if len(counts) - single < 2:
        raise ValueError(
            f"y must have two classes with two examples or more, but has {len(counts) - single} of its {len(counts)}; "
            "use discrete_y=False for a target that is not a class"
        )
    if single:
        warnings.append(f"{single} of {len(counts)} classes have one example only and were dropped")
    return keep, class_indices(classes[keep])


def note_duplicates(columns: Float64[Tensor, "rows columns"], config: MIConfig, warnings: list[str]) -> None:
    """Warn of pairs that occur more than once: neighbours at distance 0 make an estimate too high."""
    repeated = len(columns) - len(torch.unique(columns, dim=0))
    if repeated:
        cure = f"separated by the jitter of {config.jitter:g} only" if config.jitter else "left as they are (jitter: 0)"
        warnings.append(
            f"{repeated} of {len(columns)} pairs repeat another and were {cure}: nearest-neighbour estimates are "
            "too high (do not draw rows with replacement)"
        )


def finish(
    columns: Float64[Tensor, "rows columns"], config: MIConfig, generator: torch.Generator
) -> Float64[Tensor, "rows kept"]:
    """Standardise, reduce and jitter the columns by the config. Noise is drawn on the CPU: equal on every device."""
    if config.standardise:
        columns = (columns - columns.mean(dim=0)) / columns.std(dim=0, correction=0)
    if config.pca is not None and config.pca < columns.shape[1]:
        columns = principal_components(columns, config.pca)
    if config.jitter:
        noise = torch.randn(columns.shape, generator=generator, dtype=torch.float64).to(columns.device)
        columns = columns + config.jitter * columns.std(dim=0, correction=0) * noise
    return columns


def principal_components(columns: Float64[Tensor, "rows columns"], count: int) -> Float64[Tensor, "rows _kept"]:
    """The first principal components, divided by one factor so that their mean variance is 1."""
    centred = columns - columns.mean(dim=0)
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :count]
    scores = centred @ directions
    return scores / scores.square().mean().sqrt()
