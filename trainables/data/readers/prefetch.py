"""Photographs decoded in worker processes, a batch or two before they are needed.

A batch is a memory-mapped file that the workers fill and the asker reads; it is removed once it is read. Not torch's
DataLoader: its workers are forked, which does not go with the threads of torch and Ray, or import the caller's main
module again; and they hand batches over through /dev/shm, which is small in containers.
"""

import atexit
import os
import tempfile
from collections import deque
from collections.abc import Iterable
from functools import cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from numpy import ndarray
from numpy.lib.format import open_memmap
from torch import Tensor

from trainables.data.readers.crops import Photo, some_views
from trainables.data.readers.process_pool import Pool, attempt

AHEAD = 2
"""Batches that are being decoded while one is in use."""

TOGETHER = 8
"""Photographs of one order: few, so that processes end a batch together."""


class ImageFiles(NamedTuple):
    """Photographs that stayed in their files."""

    dataset: str
    """For messages."""
    root: str
    files: UInt8[Tensor, "rows length"]
    """Their paths within the root, as bytes, filled with zeros."""
    numbers: Int[Tensor, " rows"]
    """Rows in the data set, which seed the random views."""
    size: int
    view_seed: int
    decoders: int | None
    """Processes; 0: none, this one decodes; None: as many as torch has threads here, which is the trial's share."""

    def of(self, rows: Int[Tensor, " some"]) -> "ImageFiles":
        """Some of them."""
        return self._replace(files=self.files[rows], numbers=self.numbers[rows])

    def photo(self, row: int, places: tuple[int, ...]) -> Photo:
        """What to make of one file to get the views at `places`."""
        path = os.path.join(self.root, os.fsdecode(bytes(self.files[row].numpy()).rstrip(b"\0")))
        return Photo(path, self.size, max(places) + 1, (self.view_seed, int(self.numbers[row])))


class BatchRequest(NamedTuple):
    """A batch."""

    photos: ImageFiles
    places: Int[Tensor, "rows views"]
    """Which views of each."""

    def same(self, other: "BatchRequest") -> bool:
        """Whether both are the same rows of one split, and the same views."""
        return torch.equal(self.photos.numbers, other.photos.numbers) and torch.equal(self.places, other.places)


class DecodeTask(NamedTuple):
    """What a process needs to decode some rows of a batch."""

    batch: Path
    first: int
    """Row of the batch."""
    rows: tuple[tuple[Photo, tuple[int, ...]], ...]
    """The photographs, and which of their views."""

    def singly(self) -> "list[DecodeTask]":
        """An order for each of the rows."""
        return [DecodeTask(self.batch, self.first + place, (row,)) for place, row in enumerate(self.rows)]


def fill(order: DecodeTask) -> None:
    """Decode rows into their batch. Raises UnreadableError."""
    batch = np.load(order.batch, mmap_mode="r+")
    for number, (photo, places) in enumerate(order.rows, start=order.first):
        batch[number] = some_views(photo, places)[0]


class Decoders:
    """The worker processes of this one, and the folder of its batches."""

    def __init__(self, processes: int) -> None:
        self.pool = Pool(processes) if processes else None
        self.folder = tempfile.TemporaryDirectory(prefix="decoded-")
        self.batches = count()
        atexit.register(self.close)

    def close(self) -> None:
        """At the end of this process."""
        if self.pool is not None:
            self.pool.close()
        self.folder.cleanup()


@cache
def decoders(processes: int) -> Decoders:
    """One for all trainings of this process."""
    return Decoders(processes)


class PendingBatch:
    """A batch that is being decoded; without worker processes, as soon as it is needed."""

    def __init__(self, wanted: BatchRequest) -> None:
        self.wanted = wanted
        processes = wanted.photos.decoders
        own = decoders(torch.get_num_threads() if processes is None else processes)
        self.pool, self.path = own.pool, Path(own.folder.name, f"{next(own.batches)}.npy")
        size = wanted.photos.size
        self.pixels: ndarray = open_memmap(self.path, "w+", np.uint8, (*wanted.places.shape, 3, size, size))
        rows = [(wanted.photos.photo(row, (*places,)), (*places,)) for row, places in enumerate(wanted.places.tolist())]
        self.orders = [
            DecodeTask(self.path, first, tuple(rows[first : first + TOGETHER]))
            for first in range(0, len(rows), TOGETHER)
        ]
        self.answers = [self.pool.submit(fill, order) for order in self.orders] if self.pool else []

    def finish(self) -> UInt8[Tensor, "rows views 3 size size"]:
        """The pixels, in page-locked memory where there is a GPU. Raises ValueError if a photograph is unreadable."""
        try:
            for place, order in enumerate(self.orders):
                if (self.answers[place].result() if self.pool else attempt(fill, order)) is not None:
                    self.find_broken(order)
        finally:
            self.path.unlink()
        pixels = torch.from_numpy(self.pixels)
        return pixels.pin_memory() if torch.cuda.is_available() else pixels

    def find_broken(self, order: DecodeTask) -> None:
        """Decode the rows of an order again, one by one. Raises ValueError, which names one that is unreadable."""
        for single in order.singly():
            problem = self.pool.submit(fill, single).result() if self.pool else attempt(fill, single)
            if problem is not None:
                path = single.rows[0][0].path
                raise ValueError(
                    f"{self.wanted.photos.dataset}: {path} cannot be decoded ({problem}); repair or restore the file"
                )

    def drop(self) -> None:
        """Forget it, unfinished; a process that is still at it finds nothing to fill, or fills it in vain."""
        for answer in self.answers:
            answer.cancel()
        self.path.unlink(missing_ok=True)


class Prefetcher:
    """Batches in the order in which they will be asked for: while one is in use, the next are decoded."""

    def __init__(self, coming: Iterable[BatchRequest]) -> None:
        self.coming = iter(coming)
        self.begun: deque[PendingBatch] = deque()

    def begin(self) -> bool:
        """Have the next batches decoded; whether there are any."""
        while len(self.begun) < AHEAD and (wanted := next(self.coming, None)) is not None:
            self.begun.append(PendingBatch(wanted))
        return bool(self.begun)

    def next_if(self, wanted: BatchRequest) -> PendingBatch | None:
        """The next batch, if it is the wanted one; those after it are begun."""
        if not (self.begin() and self.begun[0].wanted.same(wanted)):
            return None
        batch = self.begun.popleft()
        self.begin()
        return batch

    def __del__(self) -> None:
        for batch in self.begun:
            batch.drop()
