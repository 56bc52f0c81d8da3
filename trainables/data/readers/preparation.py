"""Prepared arrays of many clips: read in parallel, kept on disk, resumed after a kill.

    <folder>/train.teacher.npy ...   the arrays at their full size; every row has its place before anything is read
             done.npy                one byte a clip: whether its rows are in place

A clip that cannot be read fails the preparation, unless the config allows that many (`skip_bad`); then its rows are
left out. A clip is read again only if its byte is not set.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray
from numpy.lib.format import open_memmap

from trainables.common.types import Batch, Json, PairedData
from trainables.data.readers.process_pool import run_all

Split = str
View = str
SPLITS: tuple[Split, ...] = ("train", "val", "test")
VIEWS: tuple[View, ...] = ("teacher", "student")
NAMED = 20
"""Skipped clips whose names the notes keep."""

LOG_SECONDS = 30.0
"""Seconds between two lines about a preparation that nobody watches."""

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a row goes."""

    split: Split
    row: int


class Clip(NamedTuple):
    """One thing to read, and the rows that it gives."""

    name: str
    """For messages."""
    source: Any
    """What `read` takes; picklable."""
    label: Any
    """Label of all its rows."""
    places: tuple[Place, ...]


class Layout(NamedTuple):
    """Shape and number format of one view's rows."""

    shape: tuple[int, ...]
    dtype: type[np.generic]
    held_out: tuple[int, ...] | None = None
    """Shape of the rows of val and test where it is another, as without stored augmentations."""

    def of(self, split: Split) -> tuple[int, ...]:
        """Shape of a row of `split`."""
        return self.shape if split == "train" or self.held_out is None else self.held_out


Read = Callable[[Any], Mapping[View, ndarray]]
"""Module-level: a clip's source -> its rows for each view (places, *shape). Raises UnreadableError."""


class ReadTask(NamedTuple):
    """What a process needs to read one clip."""

    read: Read
    source: Any
    places: tuple[Place, ...]
    views: tuple[View, ...]
    folder: Path


def prepare(
    dataset: str, read: Read, clips: Sequence[Clip], layout: Mapping[View, Layout], folder: Path, skip_bad: int | None
) -> tuple[dict[Split, dict[View, ndarray]], list[int], dict[str, Json]]:
    """Read all clips into `folder`.

    Returns:
        The memory-mapped rows of each split and view, without those of skipped clips; the numbers of the skipped
        clips; notes about them.

    Raises:
        ValueError: if more than `skip_bad` clips cannot be read; None: none may be, and there is no such field.

    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {split: sum(place.split == split for clip in clips for place in clip.places) for split in SPLITS}
    for split, view in every_array(layout):
        create(array_path(folder, split, view), (sizes[split], *layout[view].of(split)), layout[view].dtype)
    done = create(folder / "done.npy", (len(clips),), np.uint8)
    order = ReadTask(read, None, (), tuple(layout), folder)
    bad = read_missing(dataset, order, clips, done, skip_bad)
    kept = {split: np.ones(size, dtype=bool) for split, size in sizes.items()}
    for number in bad:
        for split, row in clips[number].places:
            kept[split][row] = False
    arrays = {
        split: {view: rows_kept(array_path(folder, split, view), kept[split]) for view in layout} for split in kept
    }
    names: list[Json] = [clips[number].name for number in bad]
    return arrays, bad, {"clips": len(clips), "clips_skipped": len(bad), "skipped": names[:NAMED]}


def read_missing(
    dataset: str, order: ReadTask, clips: Sequence[Clip], done: ndarray, skip_bad: int | None
) -> list[int]:
    """Read the clips whose byte in `done` is not set; the numbers of those that cannot be read, in order."""
    missing = [number for number in range(len(clips)) if not done[number]]
    orders = [order._replace(source=clips[number].source, places=clips[number].places) for number in missing]
    bad: list[int] = []
    for which, problem in progress(dataset, run_all(write_rows, orders), len(orders)):
        number = missing[which]
        if problem is None:
            done[number] = 1
            continue
        bad.append(number)
        logger.warning("%s: %s cannot be read: %s", dataset, clips[number].name, problem)
        if skip_bad is None:
            raise ValueError(f"{dataset}: {clips[number].name} cannot be read ({problem}); repair or restore the file")
        if len(bad) > skip_bad:
            raise ValueError(
                f"{dataset}: {clips[number].name} cannot be read ({problem}), and skip_bad is {skip_bad}; "
                f"repair the file, or allow more with `skip_bad: {len(bad)}` under `data:`"
            )
    return sorted(bad)


def write_rows(order: ReadTask) -> None:
    """Read one clip and put its rows in their places."""
    rows = order.read(order.source)
    for split, view in every_array(order.views):
        own = [(number, place.row) for number, place in enumerate(order.places) if place.split == split]
        if own:
            target = np.load(array_path(order.folder, split, view), mmap_mode="r+")
            for number, row in own:
                target[row] = rows[view][number]


def create(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> ndarray:
    """The writable memory-mapped array in `path`; zeros if there is none yet."""
    if not path.exists():
        temporary = path.with_name(f".{path.name}")
        open_memmap(temporary, mode="w+", dtype=dtype, shape=shape).flush()
        temporary.rename(path)
    return np.load(path, mmap_mode="r+")


def rows_kept(path: Path, kept: ndarray) -> ndarray:
    """The memory-mapped rows that are to be kept; a second file if some are not."""
    array = np.load(path, mmap_mode="r+")
    if kept.all():
        return array
    whole = open_memmap(
        path.with_suffix(".kept.npy"), mode="w+", dtype=array.dtype, shape=(kept.sum(), *array.shape[1:])
    )
    for to, row in enumerate(np.flatnonzero(kept)):
        whole[to] = array[row]
    return whole


def paired(
    clips: Sequence[Clip],
    bad: Iterable[int],
    arrays: Mapping[Split, Mapping[View, ndarray]],
    num_classes: int,
    notes: dict[str, Json],
) -> PairedData:
    """The splits as tensors over the memory-mapped arrays; row ids count the rows of all clips in their order."""
    skipped, batches = set(bad), {}
    ids = np.cumsum([0, *(len(clip.places) for clip in clips)])
    for split in SPLITS:
        rows = [
            (place.row, clip.label, ids[number] + which)
            for number, clip in enumerate(clips)
            if number not in skipped
            for which, place in enumerate(clip.places)
            if place.split == split
        ]
        rows.sort(key=lambda entry: entry[0])
        labels = torch.as_tensor(np.array([label for _, label, _ in rows]))
        index = torch.as_tensor(np.array([row_id for _, _, row_id in rows], dtype=np.int64))
        teacher, student = (torch.from_numpy(arrays[split][view]) for view in VIEWS)
        batches[split] = Batch(teacher, student, labels, torch.ones(len(rows), dtype=torch.bool), index)
    return PairedData(**batches, num_classes=num_classes, notes=notes)


def every_array(views: Iterable[View]) -> Iterator[tuple[Split, View]]:
    """The arrays of each split."""
    return ((split, view) for split in SPLITS for view in views)


def array_path(folder: Path, split: Split, view: View) -> Path:
    """Where the rows of one split and view are."""
    return folder / f"{split}.{view}.npy"


def progress(dataset: str, steps: Iterable[tuple[int, str | None]], total: int) -> Iterator[tuple[int, str | None]]:
    """The steps, with a bar while the error output is a terminal, and elsewhere a line in the log now and then."""
    if not total or not sys.stderr.isatty():
        yield from logged(dataset, steps, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(steps, total=total, description=f"preparing {dataset}")


def logged(dataset: str, steps: Iterable[tuple[int, str | None]], total: int) -> Iterator[tuple[int, str | None]]:
    """The steps; at most every `LOG_SECONDS` the log says how far they are."""
    last = time.monotonic()
    for done, step in enumerate(steps, start=1):
        yield step
        if time.monotonic() - last >= LOG_SECONDS:
            last = time.monotonic()
            logger.info("preparing %s: %d of %d read", dataset, done, total)
