"""What an estimate of mutual information costs: ours against scikit-learn's, ennemi's and latentmi's neighbours.

    python benchmarks/mutual_information.py [--rows 1000 10000] [--others python-with-ennemi-and-latentmi]

Task `joint`: I(X; Y) of 8 + 8 columns, correlated normals that hold 1 nat.

    ours          KSG-1 through `estimate`: all checks, no interval
    scikit-learn  the same formula on its trees, the way its mutual_info_regression does for one column
    latentmi      the KSG-1 that it applies to its codes (`--full`: with the training of the autoencoders, in minutes)

Task `columns`: I(X_i; Y_1) of each of the 8 columns alone, which is what these two can do; the value is the mean.

    ours          KSG-1, eight times
    scikit-learn  mutual_info_regression
    ennemi        estimate_mi

Every row is a process of its own with one thread. Seconds are those of the processor, so that other work on the
machine does not count, and without imports; memory is what the process grew by at its peak.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DIM = 8
NATS = 1.0
K = 3

Numbers = np.ndarray
ROOT = Path(__file__).parents[1]


def normals(rows: int) -> tuple[Numbers, Numbers]:
    """Eight pairs of columns with the correlation that gives 1 nat together; each side turned at random."""
    generator = np.random.default_rng(0)
    rho = np.sqrt(-np.expm1(-2 * NATS / DIM))
    x, y = generator.standard_normal((2, rows, DIM))
    y = rho * x + np.sqrt(1 - rho**2) * y
    turns = [np.linalg.qr(generator.standard_normal((DIM, DIM)))[0] for _ in range(2)]
    return x @ turns[0], y @ turns[1]


def ours() -> Callable[[Numbers, Numbers], float]:
    import torch

    from trainables.mi import ESTIMATORS, IntervalConfig, estimate

    torch.set_num_threads(1)
    config = ESTIMATORS["ksg1"].config.model_validate({"k": K, "interval": IntervalConfig(subsamples=0)})
    return lambda x, y: estimate(torch.from_numpy(x), torch.from_numpy(y), config).value


def ours_columns() -> Callable[[Numbers, Numbers], float]:
    joint = ours()
    return lambda x, y: float(np.mean([joint(x[:, [i]], y[:, [0]]) for i in range(DIM)]))


def scikit_learn() -> Callable[[Numbers, Numbers], float]:
    from scipy.special import digamma
    from sklearn.neighbors import KDTree, NearestNeighbors

    def ksg1(x: Numbers, y: Numbers) -> float:
        neighbours = NearestNeighbors(metric="chebyshev", n_neighbors=K).fit(np.hstack([x, y]))
        radius = np.nextafter(neighbours.kneighbors()[0][:, -1], 0)
        counts = [KDTree(side, metric="chebyshev").query_radius(side, radius, count_only=True) for side in (x, y)]
        return float(digamma(K) + digamma(len(x)) - sum(digamma(count).mean() for count in counts))

    return ksg1


def scikit_learn_columns() -> Callable[[Numbers, Numbers], float]:
    from sklearn.feature_selection import mutual_info_regression

    return lambda x, y: float(mutual_info_regression(x, y[:, 0], n_neighbors=K, random_state=0).mean())


def ennemi_columns() -> Callable[[Numbers, Numbers], float]:
    import ennemi  # pyright: ignore[reportMissingImports]

    return lambda x, y: float(np.mean(ennemi.estimate_mi(y[:, 0], x, k=K)))


def latentmi_neighbours() -> Callable[[Numbers, Numbers], float]:
    from latentmi import ksg  # pyright: ignore[reportMissingImports]

    return lambda x, y: float(np.mean(ksg.mi(x, y, k=K)) * np.log(2))


def latentmi_full() -> Callable[[Numbers, Numbers], float]:
    import torch
    from latentmi import lmi  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    return lambda x, y: float(np.nanmean(lmi.estimate(x, y)[0]) * np.log(2))


VARIANTS: dict[tuple[str, str], Callable[[], Callable[[Numbers, Numbers], float]]] = {
    ("joint", "ours"): ours,
    ("joint", "scikit-learn"): scikit_learn,
    ("joint", "latentmi"): latentmi_neighbours,
    ("joint", "latentmi, trained"): latentmi_full,
    ("columns", "ours"): ours_columns,
    ("columns", "scikit-learn"): scikit_learn_columns,
    ("columns", "ennemi"): ennemi_columns,
}
OTHERS = ("ennemi", "latentmi", "latentmi, trained")
"""Variants whose packages are not among this project's."""


def measure(task: str, variant: str, rows: int) -> None:
    """Run one variant in this process and print its value, seconds and growth in MiB."""
    compute = VARIANTS[task, variant]()
    compute(*(side[:200] for side in normals(200)))  # imports that are put off, first allocations
    x, y = normals(rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    value = compute(x, y)
    seconds = time.process_time() - began
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"value": value, "seconds": seconds, "MiB": growth}))


def in_a_process(python: str, task: str, variant: str, rows: int) -> dict[str, float] | str:
    """What `measure` printed there, or the last line of its error."""
    command = [python, __file__, "--measure", task, variant, "--rows", str(rows)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        return done.stderr.strip().rpartition("\n")[2]
    return json.loads(done.stdout.strip().rpartition("\n")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--others", default=sys.executable, help="a Python that has ennemi and latentmi")
    parser.add_argument("--full", action="store_true", help="train latentmi's autoencoders too")
    parser.add_argument("--measure", nargs=2, metavar=("TASK", "VARIANT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        task, variant = chosen.measure
        return measure(task, variant, chosen.rows[0])
    print("| task | rows | variant | value, nats | CPU s | ratio to ours | MiB more |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for rows in chosen.rows:
        base = 0.0
        for task, variant in VARIANTS:
            if variant == "latentmi, trained" and not chosen.full:
                continue
            found = in_a_process(chosen.others if variant in OTHERS else sys.executable, task, variant, rows)
            if isinstance(found, str):
                print(f"| {task} | {rows} | {variant} | {found} | | | |")
                continue
            base = found["seconds"] if variant == "ours" else base
            ratio = found["seconds"] / base
            cells = f"{found['value']:.4f} | {found['seconds']:.2f} | {ratio:.1f} | {found['MiB']:.0f}"
            print(f"| {task} | {rows} | {variant} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
