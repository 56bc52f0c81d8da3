"""digits: scikit-learn's 1,797 handwritten digits; the student sees them in colour, on photographs (after MNIST-M).

One row, number 0 (a zero): the teacher's grey 8 x 8 original has the rows [0, 0, 5, 13, 9, 1, 0, 0],
[0, 0, 13, 15, 10, 15, 5, 0], ... (ink from 0 to 16), enlarged; the student's image is |patch - digit|, where patch
is a piece of one of scikit-learn's two sample photographs; label = 0.
"""

from importlib import resources
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray
from pydantic import AfterValidator, Field
from torch.nn import functional

from trainables.common.types import PairedData
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.corruption import NO_NOISE, Blur, NoiseLevel, NoiseSeed, add_noise, blur
from trainables.data.common.field_checks import at_most_train, leaves_test_rows
from trainables.data.common.raw_files import fingerprint_of
from trainables.data.common.splits import balanced_split, split_pairs, standardise

VERSION = 1
"""Increase it when `load` makes other arrays from the same digits, photographs and config."""

ROWS, CLASSES, INK = 1797, 10, 16
SMALLEST_CLASS = 174
PHOTOS = ("china.jpg", "flower.jpg")


class DigitsConfig(DataConfig):
    """Grey digits for the teacher, the same digits blended into photographs for the student."""

    teacher_only: ClassVar[tuple[str, ...]] = ("teacher_blur", "teacher_noise", "noise_seed")
    dataset: Literal["digits"] = "digits"
    """Handwritten digits: grey for the teacher, on colour photographs for the student."""
    size: Literal[8, 16, 24, 32] = 16
    """Side of both images in pixels; the 8 x 8 originals are enlarged bilinearly."""
    teacher_blur: Blur = 0.0
    """Standard deviation, in pixels of the enlarged image, of a Gaussian blur of the teacher's digit; 0: none."""
    teacher_noise: NoiseLevel = 0.0
    """Gaussian noise added to the teacher's inputs: its deviation relative to that of each feature; 0: none."""
    train: Annotated[int, Field(ge=10)] = 900
    """Training pairs; the numbers of each class differ by one at most."""
    val: Annotated[
        int,
        Field(ge=10, validate_default=True),
        AfterValidator(leaves_test_rows(CLASSES * (SMALLEST_CLASS - 1), ROWS)),
    ] = 300
    """Validation pairs, as balanced; the rest of the 1,797 is the test split."""
    labels: Annotated[int, Field(ge=10), AfterValidator(at_most_train)] | None = None
    """How many training pairs carry a label (balanced); null: all. Distillation terms see every pair."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the split and of the choice of labelled pairs; not the trial's seed."""
    patch_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the pieces of photograph behind the student's digits."""
    noise_seed: NoiseSeed = 0
    """Seed of the teacher's noise; null: the trial's seed."""

    def for_student(self) -> DataConfig:
        return self.model_copy(update={"teacher_blur": 0.0, **NO_NOISE})


def load(config: DigitsConfig) -> PairedData:
    """The three splits: teacher (1, size, size), student (3, size, size), standardised by channel on training rows."""
    from sklearn.datasets import load_digits  # imported here because it takes a second

    raw, labels = (np.asarray(array) for array in load_digits(return_X_y=True))
    labels = labels.astype(np.int64)
    digits = enlarge(raw.reshape(-1, 8, 8) / INK, config.size)
    splits = balanced_split(labels, config.train, config.val, config.split_seed)
    student = np.abs(photo_patches(len(digits), config.size, config.patch_seed) - digits[:, None])
    teacher = blur(digits, config.teacher_blur)[:, None]
    teacher, student = (standardise(view, splits["train"], axes=(0, 2, 3)) for view in (teacher, student))
    teacher = add_noise(teacher, config.teacher_noise, config.noise_seed, splits["train"], axes=(0, 2, 3))
    return split_pairs(teacher, student, labels, splits, config.labels)


def enlarge(digits: Float64[ndarray, "rows 8 8"], size: int) -> Float64[ndarray, "rows {size} {size}"]:
    """Bilinear enlargement.

    Args:
        digits: grey images.
        size: side of the result in pixels.

    Returns:
        The enlarged images, in the same range.
    """
    images = torch.from_numpy(digits)[:, None]
    return functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)[:, 0].numpy()


def photo_patches(rows: int, size: int, seed: int) -> Float64[ndarray, "{rows} 3 {size} {size}"]:
    """One random square of a random sample photograph for each row.

    Args:
        rows: number of squares.
        size: side of a square in pixels.
        seed: seed of the choice.

    Returns:
        Colours from 0 to 1.
    """
    from sklearn.datasets import load_sample_images

    photos = [photo.transpose(2, 0, 1) / 255 for photo in load_sample_images().images]
    generator = np.random.default_rng(seed)
    patches = np.empty((rows, 3, size, size))
    for patch in patches:
        photo = photos[generator.integers(len(photos))]
        top, left = (generator.integers(side - size + 1) for side in photo.shape[1:])
        patch[:] = photo[:, top : top + size, left : left + size]
    return patches


def fingerprint(config: DigitsConfig) -> str:
    """Hash of scikit-learn's digits and photographs, and of `VERSION`."""
    folder = resources.files("sklearn.datasets")
    files = [folder / "data" / "digits.csv.gz", *(folder / "images" / name for name in PHOTOS)]
    return fingerprint_of("digits", VERSION, *(file.read_bytes() for file in files))


def shape(config: DigitsConfig) -> DataShape:
    """Sizes of the images and of the splits."""
    side, test = config.size, ROWS - config.train - config.val
    return DataShape((1, side, side), (3, side, side), CLASSES, config.train, config.val, test)


DIGITS = Dataset(DigitsConfig, load, fingerprint, shape)
