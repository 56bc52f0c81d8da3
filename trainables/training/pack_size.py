"""How many trials it pays to train together: measured, in a few steps, on the networks and data that it is about.

Small networks are bound by the cost of calling operations, so that many cost hardly more than one; large ones fill
the machine by themselves (see `benchmarks/stacking.py`). No rule says where the one ends and the other begins on a
given machine, so a few short epochs of each size are timed before the first pack of a kind is trained.
"""

import copy
import time

import torch

from trainables.common.distributed import Workers
from trainables.common.types import Batch, ModelOutput
from trainables.config import TrainingConfig
from trainables.training.pack import Pack
from trainables.training.session import Problem, Session

STEPS = 4
"""Steps of a timed epoch."""

REPEATS = 2
"""Timed epochs of each size; the shortest counts, after one that warms up."""

WORTHWHILE = 0.9
"""Stacking must take no more than this share of a member's time alone: it must not lose by an unlucky measurement."""

PATIENCE_SECONDS = 2.0
"""No larger size is tried once an epoch of `STEPS` takes this long."""

MEMORY_SHARE = 0.4
"""Share of the free GPU memory that a size may use for the next one, twice as large, to be tried."""


def find_pack_size(problem: Problem, config: TrainingConfig, workers: Workers, largest: int) -> int:
    """The number of members, up to `largest`, at which one costs least; 1 if stacking does not pay.

    Args:
        problem: untrained; its networks are copied, and its data are cut to a few batches.
        config: how it is trained.
        workers: the device.
        largest: how many there are.

    """
    problem = first_rows(problem, STEPS * config.batch_size)
    alone = seconds_per_member(problem, config, workers, 1)
    best, least = 1, alone * WORTHWHILE
    for size in sizes_up_to(largest):
        if workers.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(workers.device)
        seconds = seconds_per_member(problem, config, workers, size)
        if seconds < least:
            best, least = size, seconds
        elif best > 1 or size > 4:  # it has become worse; a pack of two or four need not pay yet
            break
        if seconds * size > PATIENCE_SECONDS or is_memory_full(workers.device):
            break
    return best


def sizes_up_to(largest: int) -> list[int]:
    """2, 4, 8, ... and the largest itself."""
    powers = [2**power for power in range(1, largest.bit_length()) if 2**power < largest]
    return [*powers, largest] if largest > 1 else []


def seconds_per_member(problem: Problem, config: TrainingConfig, workers: Workers, size: int) -> float:
    """Seconds that a short epoch takes for each of `size` members."""
    sessions = [Session(copy_networks(problem), config, seed, workers) for seed in range(size)]
    run_epochs = Pack(sessions).run_epochs if size > 1 else sessions[0].run_epochs
    taken: list[float] = []
    for epoch in range(1, REPEATS + 2):
        synchronise(workers.device)
        started = time.perf_counter()
        run_epochs([epoch] * size)
        synchronise(workers.device)
        taken.append(time.perf_counter() - started)
        if sum(taken) > PATIENCE_SECONDS:
            break
    return min(taken[1:] or taken) / size


def is_memory_full(device: torch.device) -> bool:
    """Whether twice as many members might not find room."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.max_memory_allocated(device) > MEMORY_SHARE * (free + reusable)


def synchronise(device: torch.device) -> None:
    """Wait for what the device was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_networks(problem: Problem) -> Problem:
    """The same with networks of its own; the data are shared, as in a pack."""
    return problem._replace(student=copy.deepcopy(problem.student), method=copy.deepcopy(problem.method), probe=None)


def first_rows(problem: Problem, rows: int) -> Problem:
    """The same on the first `rows` rows of each split."""
    targets = problem.targets
    if isinstance(targets, ModelOutput):
        targets = targets.map(lambda part: part[:rows])
    return problem._replace(train=first(problem.train, rows), val=first(problem.val, rows), targets=targets)


def first(batch: Batch, rows: int) -> Batch:
    """The first rows of a split."""
    return Batch(*(part[:rows] for part in batch))
