"""The number of trials to train together, measured in a few steps on the trial's networks and data.

Small networks are bound by the cost of calling operations, so many cost hardly more than one. A large network uses the
whole machine (see `benchmarks/stacking.py`). The limit depends on the machine, so a few short epochs of each pack size
are timed before the first pack of a kind is trained.
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
"""Timed epochs of each size, after one to warm up; the shortest counts."""

WORTHWHILE = 0.9
"""Stacking is used only if a member takes at most this share of its time alone, as timings vary."""

PATIENCE_SECONDS = 2.0
"""No larger size is tried once an epoch of `STEPS` takes this long."""

MEMORY_SHARE = 0.4
"""The next size, twice as large, is tried only if this size uses at most this share of the free GPU memory."""


def find_pack_size(problem: Problem, config: TrainingConfig, workers: Workers, largest: int) -> int:
    """The number of members, up to `largest`, with the least time for each member; 1 if stacking is not faster.

    Args:
        problem: untrained; its networks are copied, and its data are cut to a few batches.
        config: how it is trained.
        workers: the device.
        largest: number of trials.

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
        elif best > 1 or size > 4:  # slower than the size before; sizes 2 and 4 may be too small to be faster
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
    """Whether twice as many members might not fit into the GPU memory."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.max_memory_allocated(device) > MEMORY_SHARE * (free + reusable)


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_networks(problem: Problem) -> Problem:
    """The problem with copied networks and the same data, as in a pack."""
    return problem._replace(student=copy.deepcopy(problem.student), method=copy.deepcopy(problem.method), probe=None)


def first_rows(problem: Problem, rows: int) -> Problem:
    """The problem with the first `rows` rows of each split."""
    targets = problem.targets
    if isinstance(targets, ModelOutput):
        targets = targets.map(lambda part: part[:rows])
    return problem._replace(train=first(problem.train, rows), val=first(problem.val, rows), targets=targets)


def first(batch: Batch, rows: int) -> Batch:
    """The first rows of a split."""
    return Batch(*(part[:rows] for part in batch))
