"""Arrays of images with captions or class prompts.

Every image is decoded and resized once, in parallel, to uint8 on disk (`trainables.data.readers.preparation`): a killed
preparation is resumed, and a split may be larger than the memory. Captions become token ids.

    teacher   uint8 (rows, views, 3, size, size): view 0 fixed, views 1.. stored augmentations (only in `train`)
    student   int32 (rows, captions, length): token ids, all zeros where an image has fewer captions
    labels    bool (rows, captions): which captions exist; for classes int64 (rows,)
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray
from pydantic import Field
from torch import Tensor

from trainables.common.types import Batch, Json, PairedData
from trainables.data.common.tokenizer import caption_tokens
from trainables.data.readers.preparation import SPLITS, Clip, Layout, Place, Read, Split, prepare

Limit = Annotated[int | None, Field(ge=0)]
ViewSeed = Annotated[int, Field(ge=0)]
Views = Annotated[int, Field(ge=1, le=64)]
COPIES = 2
"""Copies of the images on disk at the same time: the prepared arrays, and the stage that is written from them."""


class ImageRow(NamedTuple):
    """One image."""

    name: str
    """Name for messages."""
    source: Any
    """The argument of `read`; picklable."""
    split: Split
    number: int
    """Row number in the data set."""


class Images(NamedTuple):
    """Images that were read."""

    pixels: dict[Split, Tensor]
    """uint8 (rows, views, 3, size, size) of each split."""
    rows: dict[Split, list[int]]
    """Positions of these images in the list of all rows, for each split."""
    notes: dict[str, Json]


def sizes_of(rows: Sequence[Any]) -> tuple[int, int, int]:
    """Numbers of rows of train, val and test."""
    splits = [row.split for row in rows]
    return splits.count("train"), splits.count("val"), splits.count("test")


def read_images(
    dataset: str, rows: Sequence[ImageRow], read: Read, shape: tuple[int, ...], folder: Path, skip_bad: int | None
) -> Images:
    """Read every image into `folder`.

    Args:
        dataset: name of the data set, for messages.
        rows: the images.
        read: reads the source of one image.
        shape: shape of a training row; rows of other splits have its first view only.
        folder: folder of the arrays.
        skip_bad: how many images may be unreadable; None: none.

    Raises:
        ValueError: if more than `skip_bad` images cannot be read, or there is no room on the disk.

    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "done.npy").exists():
        check_room(dataset, bytes_of(rows, shape), folder)
    arrays, kept, notes = prepare_rows(dataset, rows, read, {"teacher": layout_of(shape)}, folder, skip_bad)
    return Images({split: torch.from_numpy(arrays[split]["teacher"]) for split in SPLITS}, kept, notes)


def check_readable(
    dataset: str, rows: Sequence[ImageRow], read: Read, folder: Path, skip_bad: int | None
) -> tuple[dict[Split, list[int]], dict[str, Json]]:
    """Read every image once without storing it.

    Args:
        dataset: name of the data set, for messages.
        rows: the images.
        read: reads the source of one image.
        folder: folder for the state of an unfinished check.
        skip_bad: how many images may be unreadable; None: none.

    Returns:
        `rows` and `notes` of `Images`.

    Raises:
        ValueError: if more than `skip_bad` images cannot be read.

    """
    _, kept, notes = prepare_rows(dataset, rows, read, {}, folder, skip_bad)
    return kept, notes


def prepare_rows(
    dataset: str, rows: Sequence[ImageRow], read: Read, layout: Mapping[str, Layout], folder: Path, skip_bad: int | None
) -> tuple[dict[Split, dict[str, ndarray]], dict[Split, list[int]], dict[str, Json]]:
    """`trainables.data.readers.preparation.prepare` for images: arrays, positions of the kept rows, notes."""
    next_row = dict.fromkeys(SPLITS, 0)
    clips, positions = [], {split: list[int]() for split in SPLITS}
    for position, row in enumerate(rows):
        clips.append(Clip(row.name, row.source, None, (Place(row.split, next_row[row.split]),)))
        next_row[row.split] += 1
        positions[row.split].append(position)
    arrays, bad, notes = prepare(dataset, read, clips, layout, folder, skip_bad)
    skipped = set(bad)
    kept = {split: [position for position in positions[split] if position not in skipped] for split in SPLITS}
    renamed = {"images": notes["clips"], "images_skipped": notes["clips_skipped"], "skipped": notes["skipped"]}
    return arrays, kept, renamed


def layout_of(shape: tuple[int, ...]) -> Layout:
    """Layout of pixels; `shape` is that of a training row, and rows of other splits have its first view only."""
    return Layout(shape, np.uint8, (1, *shape[1:]))


def bytes_of(rows: Sequence[ImageRow], shape: tuple[int, ...]) -> int:
    """Size of the pixels of all rows in bytes."""
    return sum(int(np.prod(layout_of(shape).of(row.split))) for row in rows)


def check_room(dataset: str, size: int, folder: Path) -> None:
    """Raise ValueError if the disk has no room for `COPIES` times `size` bytes of images."""
    free = shutil.disk_usage(folder).free
    if free < COPIES * size:
        raise ValueError(
            f"{dataset}: the prepared images take {COPIES} x {size / 1e9:.1f} GB, but {str(folder)!r} has "
            f"{free / 1e9:.1f} GB free; lower data.train, data.size or data.views, or make room"
        )


def with_captions(
    images: Images, rows: Sequence[ImageRow], captions: Sequence[Sequence[str]], count: int, length: int
) -> PairedData:
    """Splits of the task `retrieval`: images, and the first `count` captions of each.

    Args:
        images: the images that were read.
        rows: all images.
        captions: the captions of each of `rows`.
        count: captions kept of each image.
        length: tokens of a caption.

    """
    batches = {}
    for split, positions in images.rows.items():
        tokens, present = caption_tokens([captions[position] for position in positions], count, length)
        batches[split] = to_batch(images, rows, split, tokens, torch.from_numpy(present))
    return PairedData(**batches, num_classes=count, notes=images.notes)


def to_batch(images: Images, rows: Sequence[ImageRow], split: Split, tokens: ndarray, labels: Tensor) -> Batch:
    """One split."""
    numbers = torch.tensor([rows[position].number for position in images.rows[split]], dtype=torch.int64)
    marked = torch.ones(len(numbers), dtype=torch.bool)
    return Batch(images.pixels[split], torch.from_numpy(tokens), labels, marked, numbers)


def limited(dataset: str, limits: Mapping[Split, int | None], rows: Sequence[Any]) -> list[Any]:
    """The first rows of each split.

    Args:
        dataset: name of the data set, for messages.
        limits: number of rows of each split; None: all.
        rows: all rows.

    Raises:
        ValueError: if a split has fewer rows than its limit.

    """
    kept = []
    for split in SPLITS:
        members, limit = [row for row in rows if row.split == split], limits[split]
        if limit is not None and limit > len(members):
            raise ValueError(
                f"{dataset}: data.{split} asks for {limit} images, but there are {len(members)}; lower it, or write "
                "null"
            )
        kept += members[:limit]
    return kept
