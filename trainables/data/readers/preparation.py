"""Prepares memory-mapped arrays from many media files, in parallel; a killed preparation is resumed.

    <folder>/train.teacher.npy ...   the arrays in full size; the place of each row is fixed before any file is read
             done.npy                one byte for each clip: 1 when its rows are written

A clip is one file (or pair of files) and its rows. A clip that cannot be read raises ValueError, unless `skip_bad`
allows it; its rows are then left out. On resume, only the clips without a set byte are read.
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
MAX_NAMES = 20
"""Most names of skipped clips that the notes contain."""

LOG_SECONDS = 30.0
"""Seconds between two log lines when the error output is no terminal."""

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """Position of a row in the arrays."""

    split: Split
    row: int


class Clip(NamedTuple):
    """One file (or pair of files) to read, and the rows that it fills."""

    name: str
    """Name for messages."""
    source: Any
    """The argument of `read`; picklable."""
    label: Any
    """The label of all its rows."""
    places: tuple[Place, ...]


class Layout(NamedTuple):
    """Shape and dtype of the rows of one view."""

    shape: tuple[int, ...]
    dtype: type[np.generic]
    held_out: tuple[int, ...] | None = None
    """Shape of the rows of val and test if it differs, for example without stored augmentations."""

    def of(self, split: Split) -> tuple[int, ...]:
        """Shape of a row of `split`."""
        return self.shape if split == "train" or self.held_out is None else self.held_out


Read = Callable[[Any], Mapping[View, ndarray]]
"""A module-level function: the source of a clip -> for each view its rows (places, *shape). Raises UnreadableError."""


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

    Args:
        dataset: name of the data set, for messages.
        read: reads the source of one clip.
        clips: the clips; their order numbers them.
        layout: shape and dtype of each view.
        folder: the folder of the arrays; an unfinished preparation in it is resumed.
        skip_bad: how many clips may be unreadable; None: none, and the config has no field `skip_bad`.

    Returns:
        The memory-mapped rows of each split and view without those of skipped clips; the numbers of the skipped
        clips; notes about them.

    Raises:
        ValueError: if more than `skip_bad` clips cannot be read.

    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {split: sum(place.split == split for clip in clips for place in clip.places) for split in SPLITS}
    for split, view in every_array(layout):
        create(array_path(folder, split, view), (sizes[split], *layout[view].of(split)), layout[view].dtype)
    done = create(folder / "done.npy", (len(clips),), np.uint8)
    task = ReadTask(read, None, (), tuple(layout), folder)
    bad = read_missing(dataset, task, clips, done, skip_bad)
    kept = {split: np.ones(size, dtype=bool) for split, size in sizes.items()}
    for number in bad:
        for split, row in clips[number].places:
            kept[split][row] = False
    arrays = {
        split: {view: rows_kept(array_path(folder, split, view), kept[split]) for view in layout} for split in kept
    }
    names: list[Json] = [clips[number].name for number in bad]
    return arrays, bad, {"clips": len(clips), "clips_skipped": len(bad), "skipped": names[:MAX_NAMES]}


def read_missing(
    dataset: str, template: ReadTask, clips: Sequence[Clip], done: ndarray, skip_bad: int | None
) -> list[int]:
    """Read the clips whose byte in `done` is not set. Returns the numbers of unreadable clips in ascending order.

    Args:
        dataset: name of the data set, for messages.
        template: the task of each clip, except for its source and places.
        clips: all clips.
        done: one byte for each clip, set here when its rows are written.
        skip_bad: how many clips may be unreadable; None: none.

    Raises:
        ValueError: if more than `skip_bad` clips cannot be read.

    """
    missing = [number for number in range(len(clips)) if not done[number]]
    tasks = [template._replace(source=clips[number].source, places=clips[number].places) for number in missing]
    bad: list[int] = []
    for which, problem in progress(dataset, run_all(write_rows, tasks), len(tasks)):
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


def write_rows(task: ReadTask) -> None:
    """Read one clip and write its rows to their places."""
    rows = task.read(task.source)
    for split, view in every_array(task.views):
        targets = [(number, place.row) for number, place in enumerate(task.places) if place.split == split]
        if targets:
            array = np.load(array_path(task.folder, split, view), mmap_mode="r+")
            for number, row in targets:
                array[row] = rows[view][number]


def create(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> ndarray:
    """The writable memory-mapped array in `path`; a new file contains zeros."""
    if not path.exists():
        temporary = path.with_name(f".{path.name}")
        open_memmap(temporary, mode="w+", dtype=dtype, shape=shape).flush()
        temporary.rename(path)
    return np.load(path, mmap_mode="r+")


def rows_kept(path: Path, kept: ndarray) -> ndarray:
    """The memory-mapped rows where `kept` is true; a second file is written if some rows are dropped."""
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
    """The splits as tensors over the memory-mapped arrays.

    Args:
        clips: all clips.
        bad: numbers of the skipped clips.
        arrays: the rows of each split and view, as `prepare` returns them.
        num_classes: number of classes.
        notes: notes about the preparation.

    Returns:
        The splits. The index of a row counts the rows of all clips in their order, skipped ones included.

    """
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
    """Every pair of a split and a view: one array each."""
    return ((split, view) for split in SPLITS for view in views)


def array_path(folder: Path, split: Split, view: View) -> Path:
    """The file with the rows of one split and view."""
    return folder / f"{split}.{view}.npy"


def progress(dataset: str, steps: Iterable[tuple[int, str | None]], total: int) -> Iterator[tuple[int, str | None]]:
    """Passes the steps on and shows their number: as a bar if the error output is a terminal, else in the log."""
    if not total or not sys.stderr.isatty():
        yield from logged(dataset, steps, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(steps, total=total, description=f"preparing {dataset}")


def logged(dataset: str, steps: Iterable[tuple[int, str | None]], total: int) -> Iterator[tuple[int, str | None]]:
    """Passes the steps on and logs their number at most every `LOG_SECONDS`."""
    last = time.monotonic()
    for done, step in enumerate(steps, start=1):
        yield step
        if time.monotonic() - last >= LOG_SECONDS:
            last = time.monotonic()
            logger.info("preparing %s: %d of %d read", dataset, done, total)
