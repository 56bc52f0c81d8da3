"""Reads the needed parts of MMSA's pickles of CMU-MOSEI, `aligned_50.pkl` and `unaligned_50.pkl`."""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from trainables.data.common.raw_files import require_path
from trainables.data.readers.safe_pickle import PickledArray, read_plain

MODALITIES = ("text", "audio", "vision")
CHUNK = 512
"""Rows that are averaged at a time."""


class MMSAIndex(NamedTuple):
    """The content that is known without reading the features."""

    widths: dict[str, int]
    """Features of each modality."""
    sentiment: dict[str, ndarray]
    """Sentiment of each row, by official split."""


def mmsa_path(root: Path, version: str) -> Path:
    """The pickle. Raises FileNotFoundError."""
    for place in (root / f"{version}.pkl", root / "Processed" / f"{version}.pkl"):
        if place.exists():
            return place
    return require_path("cmu_mosei", root / f"{version}.pkl", "MMSA's features")


def mmsa_tables(root: Path, version: str) -> dict[str, dict[str, Any]]:
    """Arrays by split and key. Raises ValueError if the pickle is wrong or contains more than plain values."""
    path = mmsa_path(root, version)
    stat = path.stat()
    return tables_of(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def tables_of(path: Path, changed: int, size: int) -> dict[str, dict[str, Any]]:
    """The checked content of a pickle. A process reads it once, and again only if the file changes."""
    try:
        tables = read_plain(path)
    except ValueError as error:
        raise ValueError(f"cmu_mosei: {error}") from None
    for split in ("train", "valid", "test"):
        arrays = tables.get(split) if isinstance(tables, dict) else None
        if not isinstance(arrays, dict):
            raise ValueError(f"cmu_mosei: {str(path)!r} must have a dict for {split!r}, but has none; copy it again")
        lengths: dict[str, int] = {}
        for key, dims in (("regression_labels", 1), *((name, 3) for name in MODALITIES)):
            array = arrays.get(key)
            if not isinstance(array, PickledArray) or len(array.shape) != dims:
                known = ", ".join(sorted(map(str, arrays)))
                raise ValueError(
                    f"cmu_mosei: {split} of {str(path)!r} must have {key!r}, an array of {dims} dimensions, but has "
                    f"{known}; copy it again"
                )
            lengths[key] = array.shape[0]
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"cmu_mosei: all arrays of {split} in {str(path)!r} must have the same number of rows, but have "
                f"{lengths}; copy it again"
            )
    return tables


def mmsa_index(root: Path, version: str) -> MMSAIndex:
    """Widths of the modalities and sentiment of every row."""
    tables = mmsa_tables(root, version)
    sentiment = {}
    for split, own in tables.items():
        if split in ("train", "valid", "test"):
            sentiment[split] = np.asarray(own["regression_labels"].read(), dtype=np.float64)
            if not np.isfinite(sentiment[split]).all():
                raise ValueError(
                    f"cmu_mosei: regression_labels of {split} must be finite, but some are not; copy the file again"
                )
    return MMSAIndex({name: tables["train"][name].shape[2] for name in MODALITIES}, sentiment)


def mmsa_means(root: Path, version: str, view: str) -> dict[str, Float[ndarray, "rows features"]]:
    """Mean of one modality over the time steps without padding, by official split.

    Args:
        root: folder with the pickle.
        version: name of the pickle.
        view: text, audio or vision.

    Returns:
        Features of each row; 0 if it has no time steps.

    """
    found = {}
    for split, own in mmsa_tables(root, version).items():
        if split in ("train", "valid", "test"):
            steps = own[view].read()
            lengths = lengths_of(own, view)
            parts = [
                mean_over_time(np.asarray(steps[start : start + CHUNK]), None if lengths is None else lengths[start:])
                for start in range(0, len(steps), CHUNK)
            ]
            found[split] = np.concatenate(parts)
    return found


def lengths_of(own: dict[str, Any], view: str) -> ndarray | None:
    """Time steps of each row without padding, or None if the pickle does not contain them."""
    if view == "text" and isinstance(bert := own.get("text_bert"), PickledArray) and len(bert.shape) == 3:
        return np.asarray(bert.read()[:, 1]).sum(axis=1).astype(np.int64)  # ids, mask, types
    lengths = own.get(f"{view}_lengths")
    if lengths is None:
        return None
    return np.asarray(lengths.read() if isinstance(lengths, PickledArray) else lengths, dtype=np.int64)


def mean_over_time(
    steps: Float[ndarray, "rows steps features"], lengths: ndarray | None
) -> Float[ndarray, "rows features"]:
    """Mean over the time steps of each row; NaN and infinities become 0.

    Args:
        steps: features of each step.
        lengths: steps of each row without padding; None: steps that are all 0 count as padding.

    Returns:
        The means; 0 for a row without steps.

    """
    clean = np.nan_to_num(steps.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    real: Bool[ndarray, "rows steps"] = (
        (clean != 0).any(axis=2)
        if lengths is None
        else np.arange(clean.shape[1]) < np.asarray(lengths[: len(clean)])[:, None]
    )
    total = np.where(real[:, :, None], clean, 0).sum(axis=1)
    return total / np.maximum(real.sum(axis=1), 1)[:, None]
