"""What stacking saves: epochs of K students trained as one pack against the same K trained one after another.

    python benchmarks/stacking.py [--members 1 2 4 8 16 32 64] [--students mlp wide cnn] [--threads 1 2] [--device cpu]

    mlp     towers 76-128-128-10, batch 64: those of the quickstart
    wide    the same with 512 units
    cnn     two convolutions of 32 and 64 channels on 1 x 8 x 8 digits, batch 64

All imitate a teacher's logits (`kd`), with seeds, temperatures, weights and learning rates of their own. Both sides run
with each number of threads, and the better one counts. A row's times are taken in turn, epoch about epoch, and the
median is shown, so that other work on the machine disturbs both alike. An epoch holds its evaluation.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trainables.artifacts import StageStore
from trainables.config import TrialConfig
from trainables.distributed import Workers
from trainables.fit import Inputs, build_problem
from trainables.pack import Pack
from trainables.session import Session

REPEATS = 5
MFEAT = {"dataset": "mfeat", "teacher": "pix", "student": "fou"}
STUDENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mlp": (MFEAT, {"model": "mlp"}),
    "wide": (MFEAT, {"model": "mlp", "hidden": [512], "feature_dim": 512}),
    "cnn": ({"dataset": "digits"}, {"model": "cnn"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--students", nargs="+", choices=list(STUDENTS), default=list(STUDENTS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    print(f"{'student':8}{'members':>8}{'alone, ms a step':>18}{'stacked, ms a step':>20}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for student in arguments.students:
            for members in arguments.members:
                alone, stacked = measure(student, members, arguments.threads, StageStore(Path(folder)), device)
                print(f"{student:8}{members:8d}{alone:18.3f}{stacked:20.3f}{alone / stacked:8.2f}")
                sys.stdout.flush()


def measure(
    student: str, members: int, threads: list[int], stages: StageStore, device: torch.device
) -> tuple[float, float]:
    """Milliseconds that a member's step takes, one after another and stacked."""
    sessions = [session_of(student, number, stages, device) for number in range(members)]
    others = [session_of(student, number, stages, device) for number in range(members)]
    pack, steps = Pack(others), sessions[0].steps * members

    def alone(epoch: int) -> None:
        for session in sessions:
            session.run_epochs([epoch])

    def stacked(epoch: int) -> None:
        pack.run_epochs([epoch] * members)

    best = [float("inf"), float("inf")]
    for number in threads:
        torch.set_num_threads(number)
        times: tuple[list[float], list[float]] = ([], [])
        for epoch in range(1, REPEATS + 2):
            for kept, run in zip(times, (alone, stacked), strict=True):
                kept.append(seconds(run, epoch, device))
        best = [min(known, statistics.median(found[1:])) for known, found in zip(best, times, strict=True)]
    return 1e3 * best[0] / steps, 1e3 * best[1] / steps


def session_of(student: str, number: int, stages: StageStore, device: torch.device) -> Session:
    """One training before its first step."""
    data, model = STUDENTS[student]
    config = TrialConfig.model_validate(
        {
            "data": data,
            "teacher": model,
            "student": model,
            "method": {"method": "kd", "temperature": 1.0 + number % 4, "lambda_kd": 0.2 + 0.1 * (number % 7)},
            "training": {"batch_size": 64, "lr": 1e-3 * (1 + number % 3)},
            "pretraining": {"epochs": 1},
            "seed": 0,
        }
    )
    inputs, workers = Inputs(stages, device), Workers(device=device)
    problem = build_problem(config, shared(inputs, config), inputs.targets(config), workers)
    return Session(problem, config.training, number, workers)


KNOWN: dict[str, Any] = {}
"""Data that all members of a row share, as in a study."""


def shared(inputs: Inputs, config: TrialConfig) -> Any:
    """The prepared data, read once."""
    key = repr(config.data)
    if key not in KNOWN:
        KNOWN[key] = inputs.data(config)
    return KNOWN[key]


def seconds(run: Callable[[int], None], epoch: int, device: torch.device) -> float:
    """Wall seconds of an epoch, the device's work included."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    run(epoch)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
