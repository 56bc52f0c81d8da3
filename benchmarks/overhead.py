"""Where the wall time of the quickstart goes: a table, and a stacked bar (`results/overhead.png`).

    python benchmarks/overhead.py [--study sweep.yaml] [--pack auto 1]

Read from what the system records: the time at which a driver claimed the study, at which each trial began (attempts),
ended (its result) and how long it trained, what each stage cost, and when the report was written. Slots work side by
side, so stages, training and the rest between the first trial and the last are means over the slots; all rows together
are the wall time.

    start       imports, the search, Ray, Tune and Train, until the first trial begins
    stages      prepared data, teachers, bottlenecks, computed by whichever trial needs one first
    training    the trials' own training and the evaluation of every epoch
    trials      what else a trial takes in its slot: reading its inputs, the probe of a pack's size, the final
                evaluation, diagnostics, checkpoints and files
    waiting     a slot without a trial: the search thinks, or the last trials run elsewhere
    end of Ray  from the last result until Ray is gone
    report      tables and figures
    MLflow      bringing the view up to date, after the report, and the end of the process
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from study_vs_plain_ray import write_study

PHASES = ("start", "stages", "training", "trials", "waiting", "end of Ray", "report", "MLflow")
COLOURS = ("#BBBBBB", "#56B4E9", "#009E73", "#E69F00", "#F0E442", "#999999", "#CC79A7", "#0072B2")


class Trial(NamedTuple):
    """One finished trial: the process that trained it, when it began and ended, its own seconds."""

    process: int
    began: float
    ended: float
    training: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path("sweep.yaml"))
    parser.add_argument("--pack", nargs="+", default=["auto"], help="packs as chosen, or of so many trials")
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "results" / "overhead.png")
    arguments = parser.parse_args()
    found = {}
    for pack in arguments.pack:
        with tempfile.TemporaryDirectory() as folder:
            write_study(arguments.study, Path(folder), pack)
            found[f"pack: {pack}"] = phases(Path(folder))
        print_table(found)
    draw(found, arguments.figure)


def phases(folder: Path) -> dict[str, float]:
    """Run the study from nothing; seconds of the wall time by phase."""
    started = time.time()
    last_seen = run(folder)
    wall = time.time() - started
    [directory] = [path.parent for path in folder.glob("studies/*/trials")]
    trials = [read_trial(path.parent) for path in sorted(directory.glob("trials/*/result.json"))]
    first, last = min(trial.began for trial in trials), max(trial.ended for trial in trials)
    slots = sorted({trial.process for trial in trials})
    stages = sum(json.loads(path.read_text())["seconds"] for path in folder.glob("studies/stages/**/stage.json"))
    training = sum(trial.training for trial in trials)
    busy = sum(covered([trial for trial in trials if trial.process == slot]) for slot in slots)
    report = (directory / "report" / "report.html").stat().st_mtime
    return {
        "start": first - started,
        "stages": stages / len(slots),
        "training": training / len(slots),
        "trials": (busy - stages - training) / len(slots),
        "waiting": last - first - busy / len(slots),
        "end of Ray": last_seen - last,
        "report": report - last_seen,
        "MLflow": started + wall - report,
    }


def run(folder: Path) -> float:
    """Run the study; when its Ray was last seen (Unix seconds)."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    seen = 0.0
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "study.run", str(folder / "sweep.yaml")]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            seen = time.time() if has_ray(process.pid) else seen
            time.sleep(0.1)
    if process.returncode != 0:
        raise RuntimeError(f"the study ended with {process.returncode}:\n{(folder / 'log').read_text()[-4000:]}")
    return seen


def has_ray(pid: int) -> bool:
    """Whether a process has Ray's among its children."""
    numbers = [n for path in Path(f"/proc/{pid}/task").glob("*/children") for n in path.read_text().split()]
    commands = [path.read_bytes() for n in numbers if (path := Path(f"/proc/{n}/cmdline")).exists()]
    return any(b"/ray/" in command for command in commands)


def read_trial(path: Path) -> Trial:
    """A trial of the store."""
    attempts = [json.loads(line) for line in (path / "attempts.jsonl").read_text().splitlines()]
    result = path / "result.json"
    seconds = json.loads(result.read_text())["seconds"]
    return Trial(attempts[-1]["pid"], attempts[0]["time"], result.stat().st_mtime, seconds)


def covered(trials: list[Trial]) -> float:
    """Seconds in which at least one of the trials was under way: those of a pack overlap."""
    total, until = 0.0, 0.0
    for trial in sorted(trials, key=lambda trial: trial.began):
        total += max(0.0, trial.ended - max(trial.began, until))
        until = max(until, trial.ended)
    return total


def print_table(found: dict[str, dict[str, float]]) -> None:
    """Seconds and shares, as Markdown."""
    print("\n| phase | " + " | ".join(f"{name}, s | % " for name in found) + " |")
    print("| --- |" + " ---: |" * (2 * len(found)))
    for phase in (*PHASES, "wall"):
        cells = []
        for values in found.values():
            wall = sum(values[name] for name in PHASES)
            seconds = wall if phase == "wall" else values[phase]
            cells.append(f"{seconds:.1f} | {100 * seconds / wall:.0f}")
        print(f"| {phase} | " + " | ".join(cells) + " |")
    sys.stdout.flush()


def draw(found: dict[str, dict[str, float]], path: Path) -> None:
    """A bar for each run, in the style of the report's figures."""
    import matplotlib as mpl

    from study.figures.style import STYLE, canvas, render, share_legend

    with mpl.rc_context(STYLE):
        figure, (ax,) = canvas(1, 0.7 + 0.35 * len(found))
        left = [0.0] * len(found)
        for phase, colour in zip(PHASES, COLOURS, strict=True):
            widths = [max(0.0, values[phase]) for values in found.values()]
            ax.barh(list(found), widths, left=left, color=colour, label=phase, height=0.6)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        ax.invert_yaxis()
        ax.set_xlabel("wall seconds")
        share_legend(figure, ax)
        path.write_bytes(render(figure, "png"))


if __name__ == "__main__":
    main()
