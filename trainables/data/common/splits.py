"""Rows into splits: balanced or given, partly labelled, standardised; and splits into batches."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy import ndarray

from trainables.common.types import Batch, PairedData


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
