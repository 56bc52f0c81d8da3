"""Decodes batches of images in worker processes, one or two batches before they are needed.

A batch is a memory-mapped file that the workers fill and the training reads; it is deleted once it is read. torch's
DataLoader is not used: forked workers do not go with the threads of torch and Ray, spawned ones import the caller's
main module again, and both pass batches through /dev/shm, which is small in containers.
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
"""Batches that are decoded while one is in use."""

IMAGES_PER_TASK = 8
"""Images that one task decodes; a small number, so that the processes finish a batch at the same time."""


class ImageFiles(NamedTuple):
    """Images that stay in their files."""

    dataset: str
    """Name of the data set, for messages."""
    root: str
    paths: UInt8[Tensor, "rows length"]
    """Paths within the root, as bytes padded with zeros."""
    numbers: Int[Tensor, " rows"]
    """Row numbers in the data set, which seed the random views."""
    size: int
    """Side of an image in pixels."""
    view_seed: int
    decoders: int | None
    """Worker processes; 0: the training process decodes; None: as many as torch has threads, the trial's share."""

    def take(self, rows: Int[Tensor, " some"]) -> "ImageFiles":
        """The images in these rows."""
        return self._replace(paths=self.paths[rows], numbers=self.numbers[rows])

    def photo(self, row: int, views: tuple[int, ...]) -> Photo:
        """What is read from the file of `row` to get these views."""
        path = os.path.join(self.root, os.fsdecode(bytes(self.paths[row].numpy()).rstrip(b"\0")))
        return Photo(path, self.size, max(views) + 1, (self.view_seed, int(self.numbers[row])))


class BatchRequest(NamedTuple):
    """The images and views of one batch."""

    files: ImageFiles
    views: Int[Tensor, "rows views"]
    """Numbers of the views of each row."""

    def same(self, other: "BatchRequest") -> bool:
        """Whether both ask for the same rows of one split and for the same views."""
        return torch.equal(self.files.numbers, other.files.numbers) and torch.equal(self.views, other.views)


class DecodeTask(NamedTuple):
    """What a process needs to decode some rows of a batch."""

    batch: Path
    """The memory-mapped file of the batch."""
    first: int
    """Row of the batch where the task begins."""
    rows: tuple[tuple[Photo, tuple[int, ...]], ...]
    """Each image with the numbers of its views."""

    def singly(self) -> "list[DecodeTask]":
        """One task for each row."""
        return [DecodeTask(self.batch, self.first + place, (row,)) for place, row in enumerate(self.rows)]


def fill(task: DecodeTask) -> None:
    """Decode the rows of a task into the file of their batch. Raises UnreadableError."""
    batch = np.load(task.batch, mmap_mode="r+")
    for number, (photo, views) in enumerate(task.rows, start=task.first):
        batch[number] = some_views(photo, views)[0]


class Decoders:
    """The worker processes of this process, and the folder of their batches."""

    def __init__(self, processes: int) -> None:
        self.pool = Pool(processes) if processes else None
        self.folder = tempfile.TemporaryDirectory(prefix="decoded-")
        self.batches = count()
        atexit.register(self.close)

    def close(self) -> None:
        """Stop the workers and delete the folder; called when this process exits."""
        if self.pool is not None:
            self.pool.close()
        self.folder.cleanup()


@cache
def decoders(processes: int) -> Decoders:
    """The workers that all trainings of this process share."""
    return Decoders(processes)


class PendingBatch:
    """A batch that is being decoded. Without worker processes, `finish` decodes it."""

    def __init__(self, request: BatchRequest) -> None:
        self.request = request
        files = request.files
        workers = decoders(torch.get_num_threads() if files.decoders is None else files.decoders)
        self.pool, self.path = workers.pool, Path(workers.folder.name, f"{next(workers.batches)}.npy")
        self.pixels: ndarray = open_memmap(self.path, "w+", np.uint8, (*request.views.shape, 3, files.size, files.size))
        rows = [(files.photo(row, (*views,)), (*views,)) for row, views in enumerate(request.views.tolist())]
        self.tasks = [
            DecodeTask(self.path, first, tuple(rows[first : first + IMAGES_PER_TASK]))
            for first in range(0, len(rows), IMAGES_PER_TASK)
        ]
        self.answers = [self.pool.submit(fill, task) for task in self.tasks] if self.pool else []

    def finish(self) -> UInt8[Tensor, "rows views 3 size size"]:
        """The pixels, in page-locked memory if there is a GPU. Raises ValueError if an image is unreadable."""
        try:
            for place, task in enumerate(self.tasks):
                if (self.answers[place].result() if self.pool else attempt(fill, task)) is not None:
                    self.find_broken(task)
        finally:
            self.path.unlink()
        pixels = torch.from_numpy(self.pixels)
        return pixels.pin_memory() if torch.cuda.is_available() else pixels

    def find_broken(self, task: DecodeTask) -> None:
        """Decode the rows of a failed task one by one. Raises ValueError with the path of an unreadable image."""
        for single in task.singly():
            problem = self.pool.submit(fill, single).result() if self.pool else attempt(fill, single)
            if problem is not None:
                path = single.rows[0][0].path
                raise ValueError(
                    f"{self.request.files.dataset}: {path} cannot be decoded ({problem}); repair or restore the file"
                )

    def drop(self) -> None:
        """Cancel the batch. A worker that is decoding it finds no file, or fills one that nobody reads."""
        for answer in self.answers:
            answer.cancel()
        self.path.unlink(missing_ok=True)


class Prefetcher:
    """Decodes announced batches in their order: while one is in use, the next `AHEAD` are decoded."""

    def __init__(self, requests: Iterable[BatchRequest]) -> None:
        self.requests = iter(requests)
        self.begun: deque[PendingBatch] = deque()

    def begin(self) -> bool:
        """Start decoding the next batches; returns whether any are left."""
        while len(self.begun) < AHEAD and (request := next(self.requests, None)) is not None:
            self.begun.append(PendingBatch(request))
        return bool(self.begun)

    def next_if(self, request: BatchRequest) -> PendingBatch | None:
        """The next batch if it is the requested one, else None. Starts decoding the batches after it."""
        if not (self.begin() and self.begun[0].request.same(request)):
            return None
        batch = self.begun.popleft()
        self.begin()
        return batch

    def __del__(self) -> None:
        for batch in self.begun:
            batch.drop()
