"""Divides rows into splits (balanced, partly labelled), standardises them, and turns splits into batches."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy import ndarray

from trainables.common.types import Batch, PairedData


def balanced_split(labels: Int64[ndarray, " rows"], train: int, val: int, seed: int) -> dict[str, Int64[ndarray, " _"]]:
    """Row numbers of train, val and test with balanced classes.

    The rows of each class are shuffled, then taken from the classes in turn; a class without rows left is skipped
    (in the test split only). So the first n training rows are a balanced subset for every n: class counts differ by
    at most one. The same is true for val.

    Args:
        labels: class of each row.
        train: number of training rows.
        val: number of validation rows; all others are test rows.
        seed: seed of the shuffle.

    Returns:
        Row numbers by split, in the order in which they were taken.

    """
    generator = np.random.default_rng(seed)
    turn = np.empty(len(labels), dtype=np.int64)
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        turn[generator.permutation(rows)] = np.arange(len(rows))
    dealt = np.lexsort((labels, turn))
    return dict(zip(("train", "val", "test"), np.split(dealt, [train, train + val]), strict=True))


def standardise(view: ndarray, train: Int64[ndarray, " _"], axes: tuple[int, ...] = (0,)) -> ndarray:
    """The view with mean 0 and standard deviation 1 over the training rows.

    Args:
        view: inputs, (rows, ...).
        train: training rows.
        axes: axes over which mean and deviation are computed; the other axes are the features.

    Returns:
        float32, with the shape of `view`; constant features become 0.

    """
    rows = view[train].astype(np.float64)
    mean, deviation = rows.mean(axis=axes, keepdims=True), rows.std(axis=axes, keepdims=True)
    return ((view - mean) / np.where(deviation == 0, 1, deviation)).astype(np.float32)


def split_pairs(
    teacher: Float32[ndarray, " rows *teacher"],
    student: Float32[ndarray, " rows *student"],
    labels: Int64[ndarray, " rows"],
    splits: Mapping[str, Int64[ndarray, " _"]],
    labelled: int | None,
) -> PairedData:
    """The splits of one set of rows; the rows of each split are in ascending order.

    Args:
        teacher: the teacher's inputs of all rows.
        student: the student's inputs of all rows.
        labels: class of each row.
        splits: row numbers by split.
        labelled: number of training rows with a label, the first of `splits["train"]`; None: all.

    Returns:
        The splits; the index of a row is its row number.

    """
    mask = np.ones(len(labels), dtype=bool)
    if labelled is not None:
        mask[splits["train"][labelled:]] = False
    arrays = (teacher, student, labels, mask, np.arange(len(labels)))
    batches = {name: to_batch(*(array[np.sort(rows)] for array in arrays)) for name, rows in splits.items()}
    return PairedData(batches["train"], batches["val"], batches["test"], int(labels.max()) + 1)


def join_splits(parts: list[tuple[ndarray, ndarray, ndarray]], num_classes: int) -> PairedData:
    """Joins splits that were drawn one by one.

    Args:
        parts: (teacher, student, labels) of train, val and test.
        num_classes: number of classes.

    Returns:
        The splits, all labelled; the index counts the rows of train, val and test in this order.

    """
    ends = np.cumsum([len(labels) for _, _, labels in parts])
    batches = [
        to_batch(teacher, student, labels, np.ones(len(labels), dtype=bool), np.arange(end - len(labels), end))
        for (teacher, student, labels), end in zip(parts, ends, strict=True)
    ]
    return PairedData(*batches, num_classes=num_classes)


def to_batch(teacher: ndarray, student: ndarray, labels: ndarray, labelled: ndarray, index: ndarray) -> Batch:
    """One split as contiguous tensors.

    Args:
        teacher: the teacher's inputs, (rows, ...).
        student: the student's inputs, (rows, ...).
        labels: the labels, (rows, ...).
        labelled: whether each row has a label, (rows,).
        index: the rows' numbers, (rows,).

    Returns:
        The split, with inputs in float32.
    """
    inputs = [np.ascontiguousarray(view, dtype=np.float32) for view in (teacher, student)]
    return Batch(*(torch.from_numpy(array) for array in (*inputs, labels, labelled, index)))
