"""Images with captions, or with classes that stand in prompts: the one path from rows and files to arrays.

Every image is decoded and resized once, in parallel, to uint8 on disk (`trainables.data.readers.preparation`): a killed
preparation
goes on, and a split need not fit into memory. The captions become token ids.

    teacher   uint8 (rows, views, 3, size, size): view 0 fixed, views 1.. stored augmentations, in `train` alone
    student   int32 (rows, captions, length): token ids, all zeros where an image has fewer captions
    labels    bool (rows, captions): which captions there are; of classes: int64 (rows,)
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
"""The prepared images and the stage that is written from them, for a moment both on disk."""


class ImageRow(NamedTuple):
    """One image."""

    name: str
    """For messages."""
    source: Any
    """What `read` takes; picklable."""
    split: Split
    number: int
    """Row in the data set."""


class Images(NamedTuple):
    """Images that were read."""

    pixels: dict[Split, Tensor]
    """uint8 (rows, views, 3, size, size) of each split."""
    rows: dict[Split, list[int]]
    """Which of the given rows they are."""
    notes: dict[str, Json]


def sizes_of(rows: Sequence[Any]) -> tuple[int, int, int]:
    """Rows of train, val and test."""
    found = [row.split for row in rows]
    return found.count("train"), found.count("val"), found.count("test")


def read_images(
    dataset: str, rows: Sequence[ImageRow], read: Read, shape: tuple[int, ...], folder: Path, skip_bad: int | None
) -> Images:
    """Read every image into `folder`; `shape` is that of a training row, of which other splits have the first view.

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
    """Read every image once and keep none: `rows` and `notes` of `read_images`, and its errors but for the disk's."""
    _, kept, notes = prepare_rows(dataset, rows, read, {}, folder, skip_bad)
    return kept, notes


def prepare_rows(
    dataset: str, rows: Sequence[ImageRow], read: Read, layout: Mapping[str, Layout], folder: Path, skip_bad: int | None
) -> tuple[dict[Split, dict[str, ndarray]], dict[Split, list[int]], dict[str, Json]]:
    """`trainables.data.readers.preparation.prepare` for images: arrays, which rows were kept, notes."""
    next_row = dict.fromkeys(SPLITS, 0)
    clips, own = [], {split: list[int]() for split in SPLITS}
    for position, row in enumerate(rows):
        clips.append(Clip(row.name, row.source, None, (Place(row.split, next_row[row.split]),)))
        next_row[row.split] += 1
        own[row.split].append(position)
    arrays, bad, notes = prepare(dataset, read, clips, layout, folder, skip_bad)
    skipped = set(bad)
    kept = {split: [position for position in own[split] if position not in skipped] for split in SPLITS}
    renamed = {"images": notes["clips"], "images_skipped": notes["clips_skipped"], "skipped": notes["skipped"]}
    return arrays, kept, renamed


def layout_of(shape: tuple[int, ...]) -> Layout:
    """Rows of pixels; `shape` is that of a training row, of which other splits have the first view."""
    return Layout(shape, np.uint8, (1, *shape[1:]))


def bytes_of(rows: Sequence[ImageRow], shape: tuple[int, ...]) -> int:
    """What the pixels of all rows take."""
    return sum(int(np.prod(layout_of(shape).of(row.split))) for row in rows)


def check_room(dataset: str, size: int, folder: Path) -> None:
    """Raises ValueError if the disk cannot hold `size` bytes of images, and once more the stage made of them."""
    free = shutil.disk_usage(folder).free
    if free < COPIES * size:
        raise ValueError(
            f"{dataset}: the prepared images take {COPIES} x {size / 1e9:.1f} GB, but {str(folder)!r} has "
            f"{free / 1e9:.1f} GB free; lower data.train, data.size or data.views, or make room"
        )


def with_captions(
    images: Images, rows: Sequence[ImageRow], captions: Sequence[Sequence[str]], count: int, length: int
) -> PairedData:
    """Splits of the task `retrieval`: images, and the first `count` captions of each."""
    batches = {}
    for split, own in images.rows.items():
        tokens, present = caption_tokens([captions[position] for position in own], count, length)
        batches[split] = to_batch(images, rows, split, tokens, torch.from_numpy(present))
    return PairedData(**batches, num_classes=count, notes=images.notes)


def to_batch(images: Images, rows: Sequence[ImageRow], split: Split, tokens: ndarray, labels: Tensor) -> Batch:
    """One split."""
    numbers = torch.tensor([rows[position].number for position in images.rows[split]], dtype=torch.int64)
    marked = torch.ones(len(numbers), dtype=torch.bool)
    return Batch(images.pixels[split], torch.from_numpy(tokens), labels, marked, numbers)


def limited(dataset: str, limits: Mapping[Split, int | None], rows: Sequence[Any]) -> list[Any]:
    """The first rows of each split, as many as the config asks for. Raises ValueError if there are fewer."""
    kept = []
    for split in SPLITS:
        own, limit = [row for row in rows if row.split == split], limits[split]
        if limit is not None and limit > len(own):
            raise ValueError(
                f"{dataset}: data.{split} asks for {limit} images, but there are {len(own)}; lower it, or write null"
            )
        kept += own[:limit]
    return kept
