"""Base of the data sets of photographs: config fields, and pixels that are stored or decoded from files in training."""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8
from pydantic import Field
from torch import Tensor

from trainables.data.common.base import DataConfig
from trainables.data.common.tokenizer import ContextLength
from trainables.data.image_text.image_arrays import (
    COPIES,
    ImageRow,
    Images,
    Views,
    ViewSeed,
    bytes_of,
    check_readable,
    read_images,
)
from trainables.data.readers.crops import Photo, read_photo_views
from trainables.data.readers.lazy_images import LazyImages
from trainables.data.readers.prefetch import ImageFiles
from trainables.data.readers.preparation import Split

SHARE = 0.8
"""Share of the free disk space that `input: auto` may fill."""

logger = logging.getLogger(__name__)


class PhotosConfig(DataConfig):
    """Config fields of every data set of photographs."""

    location: ClassVar[tuple[str, ...]] = ("root",)
    reading: ClassVar[tuple[str, ...]] = ("input", "decoders")
    root: Annotated[str, Field(min_length=1)]
    """Folder with the files of the data set."""
    size: Annotated[int, Field(ge=8, le=1024)] = 224
    """Side of an image in pixels: the short side is resized to it (bicubic), then the centre is cropped."""
    views: Views = 1
    """Number of stored views of each training image: one fixed view and `views - 1` random crops (90 to 100 % of the
    area)."""
    view_seed: ViewSeed = 0
    """Seed of the random crops; not the trial's seed."""
    context_length: ContextLength = 77
    """Tokens of a caption, including start and end; a longer caption is cut at its end."""
    skip_bad: Annotated[int, Field(ge=0)] = 0
    """Number of images that may be unreadable; they are skipped and counted in the report."""
    input: Literal["auto", "stored", "decoded"] = "auto"
    """Source of the pixels. `stored`: images are decoded and resized once; `decoded`: worker processes decode them in
    every epoch; `auto`: stored if twice their size is at most 80 % of the free disk. Pixels and results are equal."""
    decoders: Annotated[int | None, Field(ge=0)] = None
    """Number of processes that decode images for a trial; null: the trial's share of the cores; 0: the training process
    decodes."""


def photo_row(config: PhotosConfig, file: str, split: Split, number: int) -> ImageRow:
    """The row of one image.

    Args:
        config: the data config.
        file: path of the image within the root.
        split: its split.
        number: its position in the list of images, which seeds its random crops.

    """
    photo = Photo(os.path.join(config.root, file), config.size, views_of(config, split), (config.view_seed, number))
    return ImageRow(file, photo, split, number)


def views_of(config: PhotosConfig, split: Split) -> int:
    """Number of views of each row of a split."""
    return config.views if split == "train" else 1


def read_photos(dataset: str, config: PhotosConfig, rows: Sequence[ImageRow], folder: Path) -> Images:
    """The pixels: stored in `folder`, or as `LazyImages` after a check that all files can be read.

    Args:
        dataset: name of the data set, for messages.
        config: the data config; its `input` selects one of the two.
        rows: the images.
        folder: folder of the prepared arrays.

    Raises:
        ValueError: if more than `skip_bad` images cannot be read, or there is no room on the disk.

    """
    shape = (config.views, 3, config.size, config.size)
    if config.input == "stored" or (config.input == "auto" and fits(dataset, bytes_of(rows, shape), folder)):
        return read_images(dataset, rows, read_photo_views, shape, folder, config.skip_bad)
    kept, notes = check_readable(dataset, rows, read_photo_views, folder / "checked", config.skip_bad)
    pixels: dict[Split, Tensor] = {}
    for split, own in kept.items():
        files = to_bytes([rows[position].name for position in own])
        numbers = torch.tensor([rows[position].number for position in own], dtype=torch.int64)
        pixels[split] = decoded(config, split, files, numbers)
    return Images(pixels, kept, notes | {"input": "decoded while training"})


def fits(dataset: str, size: int, folder: Path) -> bool:
    """Whether `size` bytes of pixels can be stored, or storing them has begun; logs a warning if not."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if COPIES * size <= SHARE * free or (folder / "done.npy").exists():
        return True
    logger.warning(
        "%s: the prepared images would take %d x %.1f GB, but %s has %.1f GB free: they are decoded while training",
        *(dataset, COPIES, size / 1e9, folder, free / 1e9),
    )
    return False


def decoded(
    config: PhotosConfig, split: Split, files: UInt8[Tensor, "rows length"], numbers: Int[Tensor, " rows"]
) -> LazyImages:
    """The images of a split that stay in their files (`trainables.data.common.base.Dataset.decoded`).

    Args:
        config: the data config.
        split: name of the split.
        files: paths within the root as bytes (see `to_bytes`).
        numbers: row numbers in the data set.

    """
    photos = ImageFiles(config.kind, config.root, files, numbers, config.size, config.view_seed, config.decoders)
    return LazyImages(photos, torch.arange(views_of(config, split)))


def to_bytes(names: Sequence[str]) -> UInt8[Tensor, "rows length"]:
    """Names as bytes, padded with zeros to the longest."""
    encoded = [os.fsencode(name) for name in names]
    length = max(map(len, encoded), default=1)
    return torch.from_numpy(np.array(encoded, dtype=f"S{length}").view(np.uint8).reshape(len(names), length))
