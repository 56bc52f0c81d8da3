"""What several data sets share: balanced splits, partial labels, standardisation, and their checks."""

import hashlib
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy import ndarray

from trainables.common.types import Batch, EarlierFields, PairedData, earlier

T = TypeVar("T")


def leaves_test_rows(most: int, rows: int) -> Callable[[int, EarlierFields], int]:
    """A check of `val`, after `train`: together they may take `most` of the `rows` examples."""

    def check(val: int, info: EarlierFields) -> int:
        train = earlier(info, "train")
        if isinstance(train, int) and train + val > most:
            raise ValueError(
                f"train + val may take {most} of the {rows} examples, so that a balanced test split remains, "
                f"but got {train!r} + {val!r} = {train + val!r}; lower one of them by {train + val - most}"
            )
        return val

    return check


def at_most_train(labels: int, info: EarlierFields) -> int:
    """A check of `labels`, after `train`."""
    train = earlier(info, "train")
    if isinstance(train, int) and labels > train:
        raise ValueError(
            f"labels counts training pairs, so it may be at most train = {train!r}, but got {labels!r}; "
            "lower it, or write null to label them all"
        )
    return labels


def balanced_split(labels: Int64[ndarray, " rows"], train: int, val: int, seed: int) -> dict[str, Int64[ndarray, " _"]]:
    """Row numbers of train, val and test; in every leading run of train, and of val, the classes differ by one at most.

    The rows of each class are shuffled, then the classes deal in turn; one that has no rows left is passed over,
    which only happens in the test split. So the first n training rows are a balanced subset for every n, and grow
    with n.
    """
    generator = np.random.default_rng(seed)
    turn = np.empty(len(labels), dtype=np.int64)
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        turn[generator.permutation(rows)] = np.arange(len(rows))
    dealt = np.lexsort((labels, turn))
    return dict(zip(("train", "val", "test"), np.split(dealt, [train, train + val]), strict=True))


def standardise(view: ndarray, train: Int64[ndarray, " _"], axes: tuple[int, ...] = (0,)) -> ndarray:
    """Zero mean and unit deviation over the training rows (and the other `axes`), float32; constants become 0."""
    seen = view[train].astype(np.float64)
    mean, deviation = seen.mean(axis=axes, keepdims=True), seen.std(axis=axes, keepdims=True)
    return ((view - mean) / np.where(deviation == 0, 1, deviation)).astype(np.float32)


def split_pairs(
    teacher: Float32[ndarray, " rows *teacher"],
    student: Float32[ndarray, " rows *student"],
    labels: Int64[ndarray, " rows"],
    splits: Mapping[str, Int64[ndarray, " _"]],
    labelled: int | None,
) -> PairedData:
    """The splits of one set of rows, in ascending order; the first `labelled` of `splits["train"]` are labelled."""
    mask = np.ones(len(labels), dtype=bool)
    if labelled is not None:
        mask[splits["train"][labelled:]] = False
    arrays = (teacher, student, labels, mask, np.arange(len(labels)))
    batches = {name: to_batch(*(array[np.sort(rows)] for array in arrays)) for name, rows in splits.items()}
    return PairedData(batches["train"], batches["val"], batches["test"], int(labels.max()) + 1)


def join_splits(parts: list[tuple[ndarray, ndarray, ndarray]], num_classes: int) -> PairedData:
    """Splits drawn one by one (teacher, student, labels), all labelled, rows numbered through train, val and test."""
    ends = np.cumsum([len(labels) for _, _, labels in parts])
    batches = [
        to_batch(teacher, student, labels, np.ones(len(labels), dtype=bool), np.arange(end - len(labels), end))
        for (teacher, student, labels), end in zip(parts, ends, strict=True)
    ]
    return PairedData(*batches, num_classes=num_classes)


def to_batch(teacher: ndarray, student: ndarray, labels: ndarray, labelled: ndarray, index: ndarray) -> Batch:
    """One split as contiguous tensors, inputs in float32."""
    inputs = [np.ascontiguousarray(view, dtype=np.float32) for view in (teacher, student)]
    return Batch(*(torch.from_numpy(array) for array in (*inputs, labels, labelled, index)))


def fingerprint_of(name: str, version: int, *raw: bytes) -> str:
    """Hash of a data set's raw bytes and of the version of the code that turns them (or nothing) into arrays.

    The config is not hashed: it stands beside the fingerprint in every key.
    """
    state = hashlib.sha256(f"{name} {version}".encode())
    for part in raw:
        state.update(hashlib.sha256(part).digest())
    return state.hexdigest()


def only_with(field: str, needed: str) -> Callable[[object], Callable[[T, EarlierFields], T]]:
    """Checks of fields that mean something only where the earlier `field` is `needed`; made with their default."""

    def with_default(default: object) -> Callable[[T, EarlierFields], T]:
        def check(value: T, info: EarlierFields) -> T:
            chosen = earlier(info, field)
            if chosen not in (None, needed) and value != default:
                raise ValueError(
                    f"belongs to `{field}: {needed}`, but the {field} is {chosen!r}; leave it out, "
                    f"or choose `{field}: {needed}`"
                )
            return value

        return check

    return with_default
