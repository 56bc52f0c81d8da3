"""The quickstart, whole: the same trainings through this system and through plain Ray, from nothing to the last result.

    python benchmarks/study_vs_plain_ray.py [--variants study alone wide plain loop nested] [--nested 4] [--study FILE]

    study    this system: search, packs, store, MLflow, report
    alone    the same with `pack: 1`: no trials are trained together
    wide     the same with `pack: 12`: TPE proposes four configurations at a time, so it comes to others
    plain    the shortened script of an expert (see `orchestration.py`): a function trainable, reused actors; no search,
             no MLflow, no resume, no report
    loop     the floor of training one by one: `fit` in a loop, in as many processes as the study has slots; no Ray
    nested   the pattern of Ray's guide: a TorchTrainer for every trial, TuneReportCallback, MLflowLoggerCallback. A
             trial takes a minute or more, so a few are run and the rest is reckoned from them

`plain`, `loop` and `nested` are handed the configurations that `study` came to, so they need no search. Every variant
begins with empty stages (teacher, features, bottlenecks) and ends with the same metrics, which is checked.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from orchestration import run_nested, run_plain, train_one, watch

PACKS = {"study": "auto", "alone": "1", "wide": "12"}
"""The variants that are studies, and how many trials each trains together."""

VARIANTS = (*PACKS, "plain", "loop", "nested")
METRIC = "test/accuracy"
SLOTS = 2
"""Trials at a time, as in the quickstart's `resources`."""


class Row(NamedTuple):
    """What one variant came to."""

    variant: str
    trials: int
    seconds: float
    """Wall seconds of the whole command; for `nested`, reckoned for all trials from those that were run."""
    training: float
    """Sum of the trials' own seconds of training and evaluation."""
    peak_mib: float
    accuracy: float
    """Mean test accuracy over the trials that every variant has run."""
    apart: float
    """Mean absolute difference of a trial's test accuracy from that of `study`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--nested", type=int, default=4, help="trials that the nested pattern is run for")
    parser.add_argument("--study", type=Path, default=Path("sweep.yaml"))
    parser.add_argument("--inside", nargs=2, metavar=("VARIANT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        run_inside(arguments.inside[0], Path(arguments.inside[1]))
        return
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "study"
        for variant in ["study", *(name for name in arguments.variants if name != "study")]:
            own = Path(folder) / variant
            own.mkdir()
            write_study(arguments.study, own, PACKS.get(variant, "auto"))
            if variant not in PACKS:
                hand_over(reference, own, arguments.nested if variant == "nested" else None)
            rows.append(measure(variant, own, reference))
            print_rows(rows)


def write_study(source: Path, folder: Path, pack: str) -> None:
    """The study file with its results in `folder`."""
    text = source.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("studies:")]
    lines = [line.replace("resources: {", f"resources: {{pack: {pack}, ") for line in lines]
    (folder / "sweep.yaml").write_text("\n".join([*lines, f"studies: {folder / 'studies'}"]) + "\n")


def trials_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Config and result of every finished trial of a study, by id."""
    found = {}
    for path in sorted(folder.glob("studies/*/trials/*/result.json")):
        config = json.loads((path.parent / "config.json").read_text())
        found[path.parent.name] = {"config": config, "result": json.loads(path.read_text())}
    return found


def hand_over(reference: Path, folder: Path, count: int | None) -> None:
    """Write the complete trials of the reference study for another variant (spread over them, if only some)."""
    trials = [trial["config"] for trial in trials_of(reference).values() if trial["result"]["status"] == "complete"]
    step = max(1, len(trials) // count) if count else 1
    (folder / "trials.json").write_text(json.dumps(trials[::step][: count or len(trials)]))


def measure(variant: str, folder: Path, reference: Path) -> Row:
    """Run one variant in a process of its own, from its start to its end."""
    command = [sys.executable, __file__, "--inside", variant, str(folder)]
    if variant in PACKS:
        command = [sys.executable, "-m", "study.run", str(folder / "sweep.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    started = time.time()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        peak = watch(process)
    wall = time.time() - started
    if process.returncode != 0:
        raise RuntimeError(f"{variant} ended with {process.returncode}:\n{(folder / 'log').read_text()[-4000:]}")
    results = results_of(variant, folder)
    known = {trial_id: trial["result"] for trial_id, trial in trials_of(reference).items()}
    if variant == "nested":  # the start, and then every trial as long as these took
        began = min(result["began"] for result in results.values()) - started
        wall = began + (wall - began) / len(results) * len(known)
    common = [trial_id for trial_id in results if trial_id in known and METRIC in known[trial_id]["metrics"]]
    mine = [results[trial_id]["metrics"][METRIC] for trial_id in common]
    apart = [abs(value - known[i]["metrics"][METRIC]) for i, value in zip(common, mine, strict=True)]
    training = sum(result["seconds"] for result in results.values())
    accuracy, difference = statistics.mean(mine), statistics.mean(apart)
    return Row(variant, len(results), wall, training, peak / 2**20, accuracy, difference)


def results_of(variant: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Metrics, seconds and begin of the trials that a variant has finished, by id."""
    if variant in PACKS:
        return {trial_id: trial["result"] for trial_id, trial in trials_of(folder).items()}
    lines = [json.loads(line) for path in folder.glob("spans*") for line in path.read_text().splitlines()]
    return {trial_id: {"began": a, "seconds": s, "metrics": metrics} for a, _, s, trial_id, metrics in lines}


def print_rows(rows: list[Row]) -> None:
    """The table so far, and how many times longer than `study` each took."""
    head = ("variant", "trials", "wall s", "training s", "peak MiB", "test accuracy", "apart", "to study")
    print("\n| " + " | ".join(head) + " |")
    print("| --- |" + " ---: |" * (len(head) - 1))
    for row in rows:
        ratio = row.seconds / rows[0].seconds
        print(
            f"| {row.variant} | {row.trials} | {row.seconds:.0f} | {row.training:.0f} | {row.peak_mib:.0f} "
            f"| {100 * row.accuracy:.2f} | {100 * row.apart:.2f} | {ratio:.2f} |"
        )
    sys.stdout.flush()


# What follows runs inside a variant's own process.


def run_inside(variant: str, folder: Path) -> None:
    """Run the trials in the way called `variant`."""
    configs = json.loads((folder / "trials.json").read_text())
    context = {"stages": str(folder / "stages"), "spans": str(folder / "spans.jsonl")}
    if variant == "loop":
        run_loop(configs, folder)
        return
    import ray

    ray.init(address="local", num_cpus=2 * SLOTS, include_dashboard=False, log_to_driver=False)
    {"nested": run_nested, "plain": run_plain}[variant](configs, context, folder, SLOTS)
    ray.shutdown()


def run_loop(configs: list[dict[str, Any]], folder: Path, processes: int = SLOTS) -> None:
    """Train in `processes` processes, each its share in turn."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=train_share, args=(configs[number::processes], str(folder), number))
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def train_share(configs: list[dict[str, Any]], folder: str, number: int) -> None:
    """One process of `run_loop`."""
    context = {"stages": f"{folder}/stages", "spans": f"{folder}/spans{number}.jsonl"}
    for config in configs:
        train_one(config, context, None)


if __name__ == "__main__":
    main()
