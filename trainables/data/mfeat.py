"""mfeat: 2,000 handwritten numerals, each described by six views of the same pattern (UCI data set 72, CC BY 4.0).

One row, number 0 (a zero): fou = [0.0641, 0.8068, 0.7087, ...] (76 Fourier coefficients of the shape),
pix = [1, 4, 6, 6, 6, 5, 1, ...] (240 pixel averages, a 16 x 15 grid), label = 0.
"""

import hashlib
from importlib import resources
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from trainables.data.base import DataConfig, Dataset, DataShape
from trainables.types import Batch, PairedData

View = Literal["fac", "fou", "kar", "mor", "pix", "zer"]
WIDTHS: dict[str, int] = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
ROWS, CLASSES = 2000, 10


class MfeatConfig(DataConfig):
    """Two views of the numerals, split once, standardised by the training rows."""

    teacher_only: ClassVar[tuple[str, ...]] = ("teacher",)
    dataset: Literal["mfeat"] = "mfeat"
    teacher: View = "pix"
    """View that the teacher sees."""
    student: View = "fou"
    """View that the student sees."""
    train: Annotated[int, Field(ge=10)] = 800
    """Training pairs, the same number of each class."""
    val: Annotated[int, Field(ge=10)] = 200
    """Validation pairs; the rest of the 2,000 is the test split."""
    labels: Annotated[int, Field(ge=10)] | None = None
    """How many training pairs carry a label (balanced); null: all. Distillation terms see every pair."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the split and of the choice of labelled pairs; not the trial's seed."""


def load(config: MfeatConfig) -> PairedData:
    """The three splits, views standardised by the training rows' mean and deviation, float32."""
    with raw_file() as arrays:
        labels = arrays["label"].astype(np.int64)
        splits = dict(zip(("train", "val", "test"), balanced_split(labels, config), strict=True))
        views = [standardise(arrays[view], splits["train"]) for view in (config.teacher, config.student)]
    labelled = np.ones(ROWS, dtype=bool)
    if config.labels is not None:
        labelled[splits["train"][config.labels :]] = False
    tensors = [torch.from_numpy(array) for array in (*views, labels, labelled, np.arange(ROWS))]
    made = {name: Batch(*(tensor[torch.from_numpy(np.sort(rows))] for tensor in tensors)) for name, rows in splits.items()}
    return PairedData(made["train"], made["val"], made["test"], CLASSES)


def balanced_split(labels: np.ndarray, config: MfeatConfig) -> list[np.ndarray]:
    """Row numbers of train, val and test; every leading run of a split holds the classes evenly.

    The rows of each class are shuffled, then dealt in turn, so the first `labels` training rows are balanced too.
    """
    generator = np.random.default_rng(config.split_seed)
    by_class = np.stack([generator.permutation(np.flatnonzero(labels == c)) for c in range(CLASSES)])
    dealt = by_class.T.reshape(-1)
    return np.split(dealt, [config.train, config.train + config.val])


def standardise(view: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Zero mean and unit deviation over the training rows; a constant column becomes 0."""
    mean, deviation = view[train].mean(axis=0), view[train].std(axis=0)
    return ((view - mean) / np.where(deviation == 0, 1, deviation)).astype(np.float32)


def raw_file() -> "np.lib.npyio.NpzFile":
    """The shipped arrays, opened."""
    return np.load(resources.files("trainables.data") / "files" / "mfeat.npz")


def fingerprint(config: MfeatConfig) -> str:
    """Hash of the shipped file."""
    return hashlib.sha256((resources.files("trainables.data") / "files" / "mfeat.npz").read_bytes()).hexdigest()


def shape(config: MfeatConfig) -> DataShape:
    """Widths of the two views and sizes of the splits."""
    return DataShape(
        (WIDTHS[config.teacher],),
        (WIDTHS[config.student],),
        CLASSES,
        config.train,
        config.val,
        ROWS - config.train - config.val,
    )


MFEAT = Dataset(MfeatConfig, load, fingerprint, shape)
