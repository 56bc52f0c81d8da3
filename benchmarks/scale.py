"""What a study of many trials costs: 100, 1,000 and 10,000 of them.

    python benchmarks/scale.py [--sizes 100 1000 10000] [--parts search report mlflow] [--ray 100 1000]

    search   the study's search and store with an analytic objective in place of the training: trial directories are
             written as a slot writes them, half of the trials by a process that then dies, the rest by one that goes on
    report   the report of the finished store
    mlflow   the MLflow view of the finished store, from nothing
    ray      whole studies (`study.run`): Ray, slots, real trials of `none` on mfeat, one epoch each

One arm, one seed, so that every trial is a configuration of its own: the most that the search can be asked for. Times
of a trial are processor seconds of the driver, memory is its largest resident set. A start is counted from the start of
the process to the first trial handed out (half of the store finished) or to "complete" (all of it), imports included.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

PARTS = ("search", "report", "mlflow")
STUDY = """
study: scale
data: {{dataset: mfeat, teacher: pix, student: mor, labels: 100}}
teacher: {{model: mlp}}
student: {{model: mlp, hidden: [4], feature_dim: 4}}
training: {{epochs: 1, batch_size: 256}}
arms:
  none: {{method: none, space: {{lr: {{low: 1e-4, high: 1e-1, log: true}}, batch_size: [128, 256]}}}}
search: {{sampler: {sampler}, pruner: none, trials: {trials}, seeds: 1}}
resources: {{concurrency: {concurrency}}}
report: {{baseline: none}}
studies: {studies}
"""

Row = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1000, 10000])
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--ray", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--inside", nargs=2, metavar=("PART", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(INSIDE[arguments.inside[0]](Path(arguments.inside[1]))))
        return
    rows: dict[str, list[Row]] = {"without Ray": [], "with Ray": []}
    for kind, sizes in (("without Ray", arguments.sizes), ("with Ray", arguments.ray)):
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                write_study(Path(folder), size, arguments.sampler, arguments.concurrency)
                measured = run_ray(Path(folder)) if kind == "with Ray" else run_parts(Path(folder), arguments.parts)
                rows[kind].append({"trials": size, **measured, **store_size(Path(folder), size)})
                print_rows(rows)


def write_study(folder: Path, trials: int, sampler: str, concurrency: int) -> None:
    """The study file."""
    values = {"trials": trials, "sampler": sampler, "concurrency": concurrency}
    (folder / "sweep.yaml").write_text(STUDY.format(studies=folder / "studies", **values))


def run_parts(folder: Path, parts: list[str]) -> Row:
    """Everything that needs no Ray, each part in a process of its own."""
    found: Row = {}
    for part in [name for name in INSIDE if name.split()[0] in parts]:
        found |= run_inside(part, folder)
    return found


def run_inside(part: str, folder: Path) -> Row:
    """One part in a process of its own; what it measured."""
    command = [sys.executable, __file__, "--inside", part, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{part} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def environment() -> dict[str, str]:
    """One thread, and no word to Ray's makers."""
    return os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def run_ray(folder: Path) -> Row:
    """The whole study, and then the same command on the finished store."""
    started = time.time()
    wall, cpu, peak = run_study(folder)
    ends = sorted(path.stat().st_mtime for path in (folder / "studies" / "scale" / "trials").glob("*/result.json"))
    tenth = len(ends) // 10
    again, _, _ = run_study(folder)
    return {
        "wall s": wall,
        "trained after, s": ends[-1] - started,
        "first tenth, ms a trial": 1000 * (ends[tenth] - ends[0]) / tenth,
        "last tenth, ms a trial": 1000 * (ends[-1] - ends[-1 - tenth]) / tenth,
        "driver CPU, ms a trial": 1000 * cpu / len(ends),
        "driver MiB": peak,
        "again s": again,
    }


def run_study(folder: Path) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak MiB of the driver's own process."""
    started, cpu, peak = time.time(), 0.0, 0
    with (folder / "run.log").open("w") as log:
        command = [sys.executable, "-m", "study.run", str(folder / "sweep.yaml")]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment())
        driver = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                times = driver.cpu_times()
                cpu, peak = times.user + times.system, max(peak, driver.memory_info().rss)
            except psutil.Error:
                pass
            time.sleep(0.2)
    if process.returncode != 0:
        raise RuntimeError(f"the study ended with {process.returncode}:\n{(folder / 'run.log').read_text()}")
    return time.time() - started, cpu, peak / 2**20


def store_size(folder: Path, trials: int) -> Row:
    """Bytes and files of the study directory, for each trial."""
    files = [path for path in (folder / "studies" / "scale").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return {"store MiB": size / 2**20, "kB a trial": size / trials / 1000, "files a trial": len(files) / trials}


def print_rows(rows: dict[str, list[Row]]) -> None:
    """The tables so far, as Markdown."""
    for kind, found in rows.items():
        if found:
            names = list(found[0])
            print(f"\n{kind}\n\n| {' | '.join(names)} |\n|{' ---: |' * len(names)}")
            for row in found:
                print("| " + " | ".join(show(row[name]) for name in names) + " |")
    sys.stdout.flush()


def show(value: float) -> str:
    """Three digits, and whole numbers whole."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


# What follows runs inside a part's own process.


def search_half(folder: Path) -> Row:
    """The first half of the study, until the process dies."""
    costs = [cost for cost, _ in zip(drive(folder), range(trials_of(folder) // 2), strict=False)]
    return {"early, CPU ms a trial": 1000 * mean_of(costs[: max(1, len(costs) // 5)])}


def search_rest(folder: Path) -> Row:
    """Goes on where the first half ended."""
    trials = drive(folder)
    first = next(trials)
    ready = since_start() - first
    costs = list(trials)
    late = 1000 * mean_of(costs[-max(1, len(costs) // 5) :])
    return {"late, CPU ms a trial": late, "start at half, s": ready, "search MiB": peak_mib()}


def search_start(folder: Path) -> Row:
    """The start on the finished store."""
    search, _ = open_search(folder)
    assert search.peek() is None
    return {"start at end, s": since_start(), "CPU s": time.process_time()}


def report(folder: Path) -> Row:
    """The report."""
    from study.parsing.loader import load
    from study.planning.resolve import resolve
    from study.report.write import write_report
    from study.storage.store import StudyStore

    study = resolve(load(folder / "sweep.yaml"), compute=False)
    began = time.process_time()
    path = write_report(study, StudyStore(study.directory))
    size = path.stat().st_size / 2**20
    return {"report, CPU s": time.process_time() - began, "report MiB": peak_mib(), "report.html MiB": size}


def mlflow(folder: Path) -> Row:
    """The MLflow view, in a database that is made beforehand."""
    from study.parsing.loader import load
    from study.planning.resolve import resolve
    from study.storage.store import StudyStore
    from study.tracking.tracker import Tracker

    study = resolve(load(folder / "sweep.yaml"), compute=False)
    tracker = Tracker(study, StudyStore(study.directory))
    with tracker.open() as writer:
        began, wall = time.process_time(), time.time()
        tracker.update(writer, final=True)
        spent, waited = time.process_time() - began, time.time() - wall
        again = time.process_time()
        tracker.update(writer, final=False)
        again = time.process_time() - again
    runs = len(writer.runs)
    return {
        "MLflow, CPU ms a run": 1000 * spent / runs,
        "wall ms a run": 1000 * waited / runs,
        "nothing new, CPU s": again,
        "MLflow MiB": peak_mib(),
    }


INSIDE = {
    "search half": search_half,
    "search rest": search_rest,
    "search start": search_start,
    "report": report,
    "mlflow": mlflow,
}
"""What runs in a process of its own, in this order."""


def open_search(folder: Path) -> tuple[Any, Any]:
    """What `study.run` does before it starts Ray; the search and the store."""
    from study.parsing.loader import load
    from study.planning.resolve import resolve
    from study.search.search import Search
    from study.storage.lock import check_changes, record_study
    from study.storage.manifest import write_manifest
    from study.storage.store import StudyStore

    loaded = load(folder / "sweep.yaml")
    check_changes(loaded, folder / "sweep.yaml")
    study = resolve(loaded, compute=False)
    record_study(study)
    store = StudyStore(study.directory)
    write_manifest(study, store)
    return Search(study, store), store


def drive(folder: Path) -> Iterator[float]:
    """Run trials in place of Ray; the processor seconds that the search took for each."""
    search, store = open_search(folder)
    while True:
        began = time.process_time()
        job = search.next()
        proposed = time.process_time() - began
        if job is None:
            return
        reports, result = train(job, store)
        began = time.process_time()
        for one in reports:
            search.report(job.trial.trial_id, one)
        search.complete(job.trial.trial_id, result)
        yield proposed + time.process_time() - began


def train(job: Any, store: Any) -> tuple[list[Any], Any]:
    """What a slot leaves of a trial, with an accuracy that is best at a learning rate of 0.01."""
    from trainables.common.types import EpochReport, TrialResult

    directory = store.trial(job.trial.trial_id)
    directory.begin(job.config, 0)
    accuracy = 1 - abs(math.log10(job.config.training.lr) + 2) / 4
    metrics = {f"{split}/{name}": accuracy for split in ("train", "val") for name in ("loss", "accuracy", "f1", "nmi")}
    epoch = EpochReport(1, metrics)
    directory.append(epoch)
    directory.write_diagnostics({name: np.ones(4, np.float32) for name in ("features/train", "weights/head")})
    final = metrics | {f"test/{name}": accuracy for name in ("loss", "accuracy", "f1", "nmi")}
    result = TrialResult("complete", final, 1, 1, 0.05, (), ("prepared/0123456789abcdef",), 2.5)
    directory.finish(result)
    return [epoch], result


def trials_of(folder: Path) -> int:
    """How many trials the study asks for."""
    from study.parsing.loader import load

    return load(folder / "sweep.yaml").search.trials


def mean_of(values: list[float]) -> float:
    """The mean."""
    return sum(values) / len(values)


def since_start() -> float:
    """Wall seconds since this process was started."""
    return time.time() - psutil.Process().create_time()


def peak_mib() -> float:
    """The largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
