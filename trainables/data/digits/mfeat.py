"""mfeat: 2,000 handwritten numerals, each described by six views of the same pattern (UCI data set 72, CC BY 4.0).

One row, number 0 (a zero): fou = [0.0641, 0.8068, 0.7087, ...] (76 Fourier coefficients of the shape),
pix = [1, 4, 6, 6, 6, 5, 1, ...] (240 pixel averages, a 16 x 15 grid), label = 0.
"""

import io
from importlib import resources
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, Field

from trainables.common.types import PairedData
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.corruption import NO_NOISE, NoiseLevel, NoiseSeed, add_noise
from trainables.data.common.field_checks import at_most_train, leaves_test_rows
from trainables.data.common.raw_files import fingerprint_of
from trainables.data.common.splits import balanced_split, split_pairs, standardise

VERSION = 1
"""Increase it when `load` makes other arrays from the same file and config."""

View = Literal["fac", "fou", "kar", "mor", "pix", "zer"]
WIDTHS: dict[View, int] = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
ROWS, CLASSES = 2000, 10


class MfeatConfig(DataConfig):
    """Two views of the numerals, split once, standardised by the training rows."""

    teacher_only: ClassVar[tuple[str, ...]] = ("teacher", "teacher_noise", "noise_seed")
    dataset: Literal["mfeat"] = "mfeat"
    """Handwritten numerals in six views."""
    teacher: View = "pix"
    """View that the teacher sees. The student's own view is allowed: distillation within one modality."""
    student: View = "fou"
    """View that the student sees."""
    teacher_noise: NoiseLevel = 0.0
    """Gaussian noise added to the teacher's inputs: its deviation relative to that of each feature; 0: none."""
    train: Annotated[int, Field(ge=10)] = 800
    """Training pairs; the numbers of each class differ by one at most."""
    val: Annotated[int, Field(ge=10, validate_default=True), AfterValidator(leaves_test_rows(ROWS - CLASSES, ROWS))] = (
        200
    )
    """Validation pairs, as balanced; the rest of the 2,000 is the test split."""
    labels: Annotated[int, Field(ge=10), AfterValidator(at_most_train)] | None = None
    """How many training pairs carry a label (balanced); null: all. Distillation terms see every pair."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the split and of the choice of labelled pairs; not the trial's seed."""
    noise_seed: NoiseSeed = 0
    """Seed of the teacher's noise; null: the trial's seed."""

    def for_student(self) -> DataConfig:
        return self.model_copy(update={"teacher": self.student, **NO_NOISE})


def load(config: MfeatConfig) -> PairedData:
    """The three splits, each column standardised by the training rows.

    Raises:
        FileNotFoundError: if the shipped file is missing.

    """
    with np.load(io.BytesIO(raw_bytes())) as arrays:
        labels = arrays["label"].astype(np.int64)
        splits = balanced_split(labels, config.train, config.val, config.split_seed)
        teacher, student = (standardise(arrays[view], splits["train"]) for view in (config.teacher, config.student))
    teacher = add_noise(teacher, config.teacher_noise, config.noise_seed, splits["train"])
    return split_pairs(teacher, student, labels, splits, config.labels)


def raw_bytes() -> bytes:
    """The shipped file. Raises FileNotFoundError."""
    path = resources.files("trainables.data") / "files" / "mfeat.npz"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"mfeat needs its six views in {str(path)!r}, but there is no such file; it is part of this package "
            "(see mfeat.md in the same folder): install the package again or restore the file from git"
        ) from None


def fingerprint(config: MfeatConfig) -> str:
    """Hash of the shipped file and of `VERSION`."""
    return fingerprint_of("mfeat", VERSION, raw_bytes())


def shape(config: MfeatConfig) -> DataShape:
    """Widths of the two views and sizes of the splits."""
    test = ROWS - config.train - config.val
    return DataShape((WIDTHS[config.teacher],), (WIDTHS[config.student],), CLASSES, config.train, config.val, test)


MFEAT = Dataset(MfeatConfig, load, fingerprint, shape)
