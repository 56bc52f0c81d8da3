"""What each term of `clip_kd` costs: seconds and peak memory of its forward and backward pass, without the networks.

    python benchmarks/clip_terms.py [--batch-sizes 64 128 256] [--student-dim 512] [--teacher-dim 1024] [--repeats 20]

Embeddings stand in for the networks' outputs, so that nothing but the term (with its adapters and their gradients) is
counted. Memory is what the process grew by at most during one step: the allocator's peak on a GPU, else the peak of
the resident set, which Linux alone can reset.
"""

import argparse
import ctypes
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainables.common.types import Batch, ModelOutput
from trainables.methods.clip_kd import ClipKD, ClipKDConfig
from trainables.tasks import TASKS

ARMS: dict[str, dict[str, object]] = {
    **{term: {"cl": 0.0, term: 1.0} for term in ClipKDConfig.terms},
    "te1, all pairs": {"cl": 0.0, "te1": 1.0, "te_pairs": "all"},
    "te2, all pairs": {"cl": 0.0, "te2": 1.0, "te_pairs": "all"},
    "cl + te1 + te2": {"te1": 1.0, "te2": 1.0},
    "cl + crd + fd + icl": {"crd": 1.0, "fd": 2000.0, "icl": 1.0},
}
WARM_UP = 3
M_MMAP_THRESHOLD, BLOCK = -3, 65536
"""glibc's option by which blocks from this size on go back to the system when they are freed."""


class Row(NamedTuple):
    """One arm at one batch size."""

    batch: int
    arm: str
    seconds: float
    """Median of a step; processor seconds without a GPU."""
    mebibytes: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--student-dim", type=int, default=512)
    parser.add_argument("--teacher-dim", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    steps = [
        (batch, arm, step_of(fields, batch, options.student_dim, options.teacher_dim, device))
        for batch in options.batch_sizes
        for arm, fields in ARMS.items()
    ]
    seconds = [timed(step, options.repeats, device) for *_, step in steps]
    peaks = list(peak_memories([step for *_, step in steps], device))
    rows = [
        Row(batch, arm, *both) for (batch, arm, _), both in zip(steps, zip(seconds, peaks, strict=True), strict=True)
    ]
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    print(f"{name}, torch {torch.__version__}, {options.student_dim} -> {options.teacher_dim} dimensions, float32")
    print_table(rows)


def step_of(
    fields: dict[str, object], batch: int, student_dim: int, teacher_dim: int, device: torch.device
) -> Callable[[], None]:
    """One forward and backward pass of an arm."""
    config = ClipKDConfig.model_validate(fields)
    method = ClipKD(config, student_dim, teacher_dim, TASKS["retrieval"]).to(device)
    student = outputs(batch, 3 if config.masked_fraction else 2, student_dim, device)
    teacher = outputs(batch, 2, teacher_dim, device).map(Tensor.detach)
    nothing = torch.zeros(batch, 0)
    every = torch.ones(batch, dtype=torch.bool, device=device)
    rows = Batch(nothing, nothing, every[:, None], every, torch.arange(batch))
    leaf = student.embeddings
    assert leaf is not None

    def step() -> None:
        method.zero_grad(set_to_none=True)
        leaf.grad = None
        terms = method(student, teacher, rows)
        torch.stack([term.value * term.weight for term in terms.values()]).sum().backward()

    return step


def outputs(batch: int, several: int, dim: int, device: torch.device) -> ModelOutput:
    """Random unit vectors, with the logits of CLIP's first scale."""
    vectors = functional.normalize(torch.randn(batch, several, dim, device=device), dim=2)
    return ModelOutput(vectors * 0.07**-0.5, vectors[:, 0], vectors.requires_grad_())


def timed(step: Callable[[], None], repeats: int, device: torch.device) -> float:
    """Median seconds of a step: of the processor, which other work does not disturb, or on the clock of a GPU."""
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    taken = []
    for _ in range(WARM_UP + repeats):
        started = clock()
        step()
        if on_gpu:
            torch.cuda.synchronize(device)
        taken.append(clock() - started)
    return statistics.median(taken[WARM_UP:])


def peak_memories(steps: list[Callable[[], None]], device: torch.device) -> Iterator[float | None]:
    """MiB that each step needs at most beyond what stood before; None where it cannot be said."""
    if device.type == "cuda":
        for step in steps:
            before = torch.cuda.memory_allocated(device)
            torch.cuda.reset_peak_memory_stats(device)
            step()
            yield (torch.cuda.max_memory_allocated(device) - before) / 2**20
        return
    if not Path("/proc/self/clear_refs").exists():
        yield from [None] * len(steps)
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, BLOCK)
    for step in steps:
        step()
        libc.malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = resident("VmRSS")
        step()
        yield (resident("VmHWM") - before) / 1024


def resident(field: str) -> int:
    """A line of this process's status, in KiB."""
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def print_table(rows: list[Row]) -> None:
    print("| batch | term | ms a step | ratio to cl | peak MiB |\n| ---: | --- | ---: | ---: | ---: |")
    for row in rows:
        reference = next(other for other in rows if (other.batch, other.arm) == (row.batch, "cl"))
        peak = "" if row.mebibytes is None else f"{row.mebibytes:.1f}"
        print(
            f"| {row.batch} | {row.arm} | {1000 * row.seconds:.2f} | {row.seconds / reference.seconds:.1f} | {peak} |"
        )


if __name__ == "__main__":
    main()
