"""Photographs, captioned or classified: their fields, and their pixels, which are stored or stay in the files."""

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
"""Of the free disk that `input: auto` may fill."""

logger = logging.getLogger(__name__)


class PhotosConfig(DataConfig):
    """Fields of every data set of photographs."""

    location: ClassVar[tuple[str, ...]] = ("root",)
    reading: ClassVar[tuple[str, ...]] = ("input", "decoders")
    root: Annotated[str, Field(min_length=1)]
    """Folder with the files; each data set says with which."""
    size: Annotated[int, Field(ge=8, le=1024)] = 224
    """Side of a picture in pixels: the short side is resized to it (bicubic), and the centre cut out."""
    views: Views = 1
    """Stored views of a training image: the fixed one, and so many less one random crops of 90 to 100 % of the area."""
    view_seed: ViewSeed = 0
    """Seed of the random crops; not the trial's seed."""
    context_length: ContextLength = 77
    """Tokens of a caption, start and end included; a longer one loses its last words."""
    skip_bad: Annotated[int, Field(ge=0)] = 0
    """Images that may be unreadable; they are skipped and counted in the report."""
    input: Literal["auto", "stored", "decoded"] = "auto"
    """Where the pixels come from: stored, decoded and resized once; or decoded anew in every epoch by worker processes.
    auto: stored where twice their size is at most 80 % of the free disk. Pixels and results are the same."""
    decoders: Annotated[int | None, Field(ge=0)] = None
    """Processes that decode while training, for each trial at a time; null: the trial's share of the cores; 0: none,
    the training waits for its images."""


def photo_row(config: PhotosConfig, file: str, split: Split, number: int) -> ImageRow:
    """What to read for one image, known by its place in the list."""
    photo = Photo(os.path.join(config.root, file), config.size, views_of(config, split), (config.view_seed, number))
    return ImageRow(file, photo, split, number)


def views_of(config: PhotosConfig, split: Split) -> int:
    """Views of each row of a split."""
    return config.views if split == "train" else 1


def read_photos(dataset: str, config: PhotosConfig, rows: Sequence[ImageRow], folder: Path) -> Images:
    """The pixels: read into `folder`, or, if they are to stay in the files, `LazyImages` once all files were read.

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
    """Whether `size` bytes of pixels can be stored, or storing them has begun; if not, says so."""
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
    """The pictures of a split that stay in their files (`trainables.data.common.base.Dataset.decoded`)."""
    photos = ImageFiles(config.kind, config.root, files, numbers, config.size, config.view_seed, config.decoders)
    return LazyImages(photos, torch.arange(views_of(config, split)))


def to_bytes(names: Sequence[str]) -> UInt8[Tensor, "rows length"]:
    """Names as bytes, filled with zeros to the longest."""
    encoded = [os.fsencode(name) for name in names]
    length = max(map(len, encoded), default=1)
    return torch.from_numpy(np.array(encoded, dtype=f"S{length}").view(np.uint8).reshape(len(names), length))
