"""What stacking saves: epochs of K students trained as one pack against the same K trained one after another.

    python benchmarks/stacking.py [--members 1 2 4 8 16 32 64] [--students mlp wide cnn] [--threads 1 2] [--device cpu]
    python benchmarks/stacking.py --by-hand [--members 8 32]

    mlp     towers 76-128-128-10, batch 64: those of the quickstart
    wide    the same with 512 units
    cnn     two convolutions of 32 and 64 channels on 1 x 8 x 8 digits, batch 64

All imitate a teacher's logits (`kd`), with seeds, temperatures, weights and learning rates of their own. Both sides run
with each number of threads, and the better one counts. A row's times are taken in turn, epoch about epoch, and the
median is shown, so that other work on the machine disturbs both alike. An epoch holds its evaluation.

`--by-hand` compares single layers instead, forward and backward pass: stacked by `vmap`, and by hand (a batched product
with the bias in it; a convolution in groups). Processor time of one thread.
"""

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from trainables.common.distributed import Workers
from trainables.config import TrialConfig
from trainables.fitting import InputCache, build_problem
from trainables.stages.artifacts import StageStore
from trainables.training.pack import Pack
from trainables.training.session import Session

REPEATS, BATCH = 5, 64
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
    parser.add_argument("--by-hand", action="store_true")
    arguments = parser.parse_args()
    if arguments.by_hand:
        compare_layers(arguments.members)
        return
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
    inputs, workers = InputCache(stages, device), Workers(device=device)
    problem = build_problem(config, shared(inputs, config), inputs.targets(config), workers)
    return Session(problem, config.training, number, workers)


KNOWN: dict[str, Any] = {}
"""Data that all members of a row share, as in a study."""


def shared(inputs: InputCache, config: TrialConfig) -> Any:
    """The prepared data, read once."""
    key = repr(config.data)
    if key not in KNOWN:
        KNOWN[key] = inputs.data(config)
    return KNOWN[key]


def compare_layers(counts: list[int]) -> None:
    """Milliseconds of a pass through the layers of a member, by `vmap` and by hand."""
    torch.set_num_threads(1)
    print(f"{'layer':24}{'members':>8}{'vmap, ms':>10}{'by hand, ms':>13}")
    for name, (layer, shape, stacked) in LAYERS.items():
        for members in counts:
            layers = [copy.deepcopy(layer) for _ in range(members)]
            parameters, _ = stack_module_state(layers)
            inputs = torch.randn(members, BATCH, *shape, requires_grad=True)
            mapped = vmap(lambda own, part, layer=layer: functional_call(layer, own, (part,)))
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(10 * REPEATS):
                for kept, run in zip(times, (mapped, stacked), strict=True):
                    started = time.thread_time()
                    out = run(parameters, inputs)
                    torch.autograd.grad(out, [*parameters.values(), inputs], torch.ones_like(out))
                    kept.append(1e3 * (time.thread_time() - started) / members)
            print(f"{name:24}{members:8d}{statistics.median(times[0]):10.3f}{statistics.median(times[1]):13.3f}")
            sys.stdout.flush()


def linear_by_hand(own: dict[str, Tensor], inputs: Tensor) -> Tensor:
    """Linear layers side by side."""
    return torch.baddbmm(own["bias"][:, None], inputs, own["weight"].mT)


def convolution_by_hand(own: dict[str, Tensor], inputs: Tensor) -> Tensor:
    """Convolutions side by side: the members' channels are groups."""
    weight, members = own["weight"].flatten(0, 1), len(inputs)
    together = inputs.transpose(0, 1).flatten(1, 2)
    out = functional.conv2d(together, weight, own["bias"].flatten(), padding=1, groups=members)
    return out.unflatten(1, (members, -1)).transpose(0, 1)


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...], Callable[[dict[str, Tensor], Tensor], Tensor]]] = {
    "linear 128-128": (nn.Linear(128, 128), (128,), linear_by_hand),
    "linear 512-512": (nn.Linear(512, 512), (512,), linear_by_hand),
    "convolution 32-64, 4 x 4": (nn.Conv2d(32, 64, 3, padding=1), (32, 4, 4), convolution_by_hand),
}
"""A layer, the shape of one input, and the members' layers stacked by hand."""


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
