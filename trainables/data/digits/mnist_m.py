"""MNIST and MNIST-M: the teacher sees grey handwritten digits, the student coloured digits on photographs.

One row: teacher = digit 5 of `train-images-idx3-ubyte` (28 x 28, ink from 0 to 255), student = |patch - digit| (3 x 28
x 28), where patch is a piece of a photo of BSDS500; label = 5.

Under `root`: `mnist/` with the four idx files (gz or not), and for the student `photos/` (any folders of pictures) or
`mnist_m/`: `mnist_m_train/*.png`, `mnist_m_train_labels.txt` (lines `00000000.png 5`), and the same for test. The
published pictures seem to be in another order than MNIST; see `pairs`.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from pydantic import Field

from trainables.common.types import Batch, PairedData
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.corruption import NO_NOISE, Blur, NoiseLevel, NoiseSeed, add_noise, blur
from trainables.data.common.raw_files import fingerprint_of_files
from trainables.data.common.splits import balanced_split, standardise
from trainables.data.digits.backgrounds import cut_patches, photo_paths
from trainables.data.digits.mnist_files import (
    SIDE,
    digits_of,
    idx_path,
    idx_shape,
    picture_labels,
    picture_paths,
    picture_pixels,
)

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""

CLASSES = 10
Part = Literal["train", "test"]


class MNISTMConfig(DataConfig):
    """Grey digits for the teacher, digits on photographs for the student; both 28 x 28."""

    location: ClassVar[tuple[str, ...]] = ("root",)
    teacher_only: ClassVar[tuple[str, ...]] = ("teacher_channels", "teacher_blur", "teacher_noise", "noise_seed")
    dataset: Literal["mnist_m"] = "mnist_m"
    """MNIST's grey digits for the teacher, MNIST-M's colour digits for the student."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with the data; a relative one starts at the study file's folder."""
    pairs: Literal["made", "classes", "aligned"] = "made"
    """Student pictures. `made`: from each digit and a piece of a photograph; `classes`: MNIST-M's, each paired with a
    digit of its class; `aligned`: MNIST-M's, picture i with digit i, whose labels must agree."""
    teacher_channels: Literal[1, 3] = 3
    """Channels of the teacher's pictures; 3 repeats the grey channel, so that both networks can be equal."""
    teacher_blur: Blur = 0.0
    """Standard deviation, in pixels, of a Gaussian blur of the teacher's digit; 0: none."""
    teacher_noise: NoiseLevel = 0.0
    """Gaussian noise added to the teacher's pixels: its deviation relative to theirs; 0: none."""
    train: Annotated[int, Field(ge=10)] | None = None
    """Training pairs, balanced as far as possible; null: all that are not used for validation."""
    val: Annotated[int, Field(ge=10)] = 5000
    """Validation pairs, taken from the official training rows; the numbers of each class differ by one at most."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the selection of validation pairs; not the trial's seed."""
    pair_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the pieces of photographs (`made`), or of the digits of each picture (`classes`)."""
    noise_seed: NoiseSeed = 0
    """Seed of the teacher's noise; null: the trial's seed."""

    def for_student(self) -> DataConfig:
        return self.model_copy(update={"teacher_channels": 3, "teacher_blur": 0.0, **NO_NOISE})


def load(config: MNISTMConfig) -> PairedData:
    """The three splits in half precision, standardised by channel over the training rows; official test rows.

    Raises:
        FileNotFoundError: if files are missing.
        ValueError: if they are truncated or wrong, or pairs do not share their class.

    """
    shape(config)
    parts = [load_part(config, part) for part in ("train", "test")]
    digits, pictures, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    splits = {**split_rows(config, parts[0][2]), "test": np.arange(len(parts[0][2]), len(labels))}
    grey = standardise(blur(digits.astype(np.float32), config.teacher_blur)[:, None], splits["train"], (0, 2, 3))
    grey = add_noise(grey, config.teacher_noise, config.noise_seed, splits["train"], axes=(0, 2, 3))
    colours = (standardise(pictures[:, [c]], splits["train"], axes=(0, 2, 3)).astype(np.float16) for c in range(3))
    colour = np.concatenate(list(colours), axis=1)  # one channel at a time, to save memory
    batches = {}
    for name, rows in splits.items():
        teacher = np.repeat(grey[rows], config.teacher_channels, axis=1)
        batches[name] = to_batch(teacher, colour[rows], labels[rows], rows)
    return PairedData(**batches, num_classes=CLASSES)


def load_part(config: MNISTMConfig, part: Part) -> tuple[ndarray, ndarray, Int64[ndarray, " rows"]]:
    """Digits (rows, 28, 28), the student's pictures (rows, 3, 28, 28), both uint8, and labels of one official part."""
    root = Path(config.root)
    digits, labels = digits_of(root, part)
    seed = (config.pair_seed, part == "test")
    if config.pairs == "made":
        return digits, blend(cut_patches(root / "photos", len(digits), SIDE, seed), digits), labels
    of_pictures = picture_labels(root, part)
    if config.pairs == "aligned":
        check_aligned(labels, of_pictures, part)
        rows = np.arange(len(of_pictures))
    else:
        rows = rows_of_classes(labels, of_pictures, seed)
    return digits[rows], picture_pixels(root, part, SIDE), of_pictures


def blend(
    patches: UInt8[ndarray, "rows 3 side side"], digits: UInt8[ndarray, "rows side side"]
) -> UInt8[ndarray, "rows 3 side side"]:
    """|patch - digit| in every channel, the recipe of MNIST-M (Ganin et al. 2016)."""
    ink = digits[:, None]
    return np.where(patches > ink, patches - ink, ink - patches)


def check_aligned(digits: Int64[ndarray, " digits"], pictures: Int64[ndarray, " pictures"], part: str) -> None:
    """Raises ValueError unless picture i has the class of digit i."""
    same = min(len(digits), len(pictures))
    wrong = np.flatnonzero(digits[:same] != pictures[:same])
    if len(wrong):
        what = f"picture {wrong[0]} is a {pictures[wrong[0]]}, digit {wrong[0]} a {digits[wrong[0]]}"
    else:
        what = f"there are {len(pictures)} pictures and {len(digits)} digits"
    if len(wrong) or len(pictures) > len(digits):
        raise ValueError(
            f"mnist_m: with `pairs: aligned` picture i of {part} must show digit i, but {what}; write `pairs: made` "
            "or `pairs: classes`"
        )


def rows_of_classes(
    digits: Int64[ndarray, " digits"], pictures: Int64[ndarray, " pictures"], seed: tuple[int, ...]
) -> Int64[ndarray, " pictures"]:
    """For every picture the row of a digit of its class: shuffled digits in turn, repeated if there are too few.

    Args:
        digits: class of each digit.
        pictures: class of each picture.
        seed: seed of the shuffle.

    """
    generator = np.random.default_rng(seed)
    rows = np.empty(len(pictures), dtype=np.int64)
    for label in np.unique(pictures):
        shuffled, places = generator.permutation(np.flatnonzero(digits == label)), np.flatnonzero(pictures == label)
        if not len(shuffled):
            raise ValueError(f"mnist_m: there are pictures of class {label} but no digits; restore the idx files")
        rows[places] = shuffled[np.arange(len(places)) % len(shuffled)]
    return rows


def split_rows(config: MNISTMConfig, labels: Int64[ndarray, " rows"]) -> dict[str, Int64[ndarray, " _"]]:
    """Training and validation rows of the official training rows, each in ascending order."""
    val, train, _ = balanced_split(labels, config.val, len(labels) - config.val, config.split_seed).values()
    return {"train": np.sort(train[: config.train]), "val": np.sort(val)}


def to_batch(
    teacher: Float[ndarray, "rows channels side side"],
    student: Float[ndarray, "rows colours side side"],
    labels: Int64[ndarray, " rows"],
    rows: Int64[ndarray, " rows"],
) -> Batch:
    """One split as contiguous tensors; pictures in half precision."""
    pictures, colours = (torch.from_numpy(np.ascontiguousarray(view, np.float16)) for view in (teacher, student))
    marked = torch.ones(len(rows), dtype=torch.bool)
    return Batch(pictures, colours, torch.from_numpy(labels), marked, torch.from_numpy(rows.copy()))


def fingerprint(config: MNISTMConfig) -> str:
    """Hash of the labels and of names and sizes of digits and pictures."""
    root = Path(config.root)
    whole = [idx_path(root, part, "labels") for part in ("train", "test")]
    sizes = [idx_path(root, part, "images") for part in ("train", "test")]
    if config.pairs == "made":
        sizes += photo_paths(root / "photos")
    else:
        whole += [root / "mnist_m" / f"mnist_m_{part}_labels.txt" for part in ("train", "test")]
        sizes += [path for part in ("train", "test") for path in picture_paths(root, part)]
    return fingerprint_of_files("mnist_m", VERSION, whole, sizes, root)


def shape(config: MNISTMConfig) -> DataShape:
    """Shapes and sizes, read from headers and lists only. Raises ValueError or FileNotFoundError."""
    root = Path(config.root)
    rows = {part: idx_shape(root, part)[0] for part in ("train", "test")}
    if config.pairs == "made":
        photo_paths(root / "photos")
    else:
        rows = {part: len(picture_labels(root, part)) for part in ("train", "test")}
    left = rows["train"] - config.val
    if left < (config.train or 1):
        raise ValueError(
            f"mnist_m: train + val must be at most the {rows['train']} official training rows, but got "
            f"{config.train or 1} + {config.val}; lower data.val or data.train"
        )
    side = (SIDE, SIDE)
    train = config.train or left
    return DataShape((config.teacher_channels, *side), (3, *side), CLASSES, train, config.val, rows["test"])


def not_comparable(config: MNISTMConfig) -> str | None:
    """The paper's pairs, networks and blur levels are not published."""
    return "the paper's pairs of MNIST and MNIST-M and its tables are not published"


MNIST_M = Dataset(MNISTMConfig, load, fingerprint, shape, not_comparable=not_comparable)
