"""A study that is killed again and again ends exactly as one that never was (see `test_resume_packs` for packs)."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

pytestmark = pytest.mark.slow

STUDY = """
study: small
data: {dataset: mfeat, teacher: pix, student: fou, train: 300, val: 100, labels: 60}
teacher: {model: mlp, hidden: [32], feature_dim: 32}
student: {model: mlp, hidden: [32], feature_dim: 32}
training: {epochs: 40, lr: 3e-3, batch_size: 32}
pretraining: {epochs: 5}
arms:
  none: {method: none, space: {lr: {low: 1e-4, high: 1e-2, log: true}}}
  kd: {method: kd, space: {T: {low: 1, high: 8, log: true}, lambda: {low: 0.1, high: 0.9}}}
  ciba: {method: ciba, bottleneck_epochs: 5, space: {H: [2, 4, 8, 16], lambda: {low: 0.1, high: 10, log: true}}}
search: {sampler: tpe, pruner: median, trials: 6, seeds: 2, startup_trials: 2, warmup_epochs: 3}
resources: {concurrency: 1, checkpoint_seconds: 0.1, pack: 1}
studies: STUDIES
"""

TARGETS = ("driver", "worker", "raylet", "driver", "worker")
"""What is killed, in turn. The moments are drawn."""


class Outcome(NamedTuple):
    code: int
    output: str


class Run:
    """`python -m study.run` in a separate process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.directory = file.parent / "studies" / file.stem
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> psutil.Process:
        command = [sys.executable, "-m", "study.run", str(self.file), "--json", str(self.file.with_suffix(".json"))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return psutil.Process(self.process.pid)

    def wait(self) -> Outcome:
        assert self.process is not None
        output, _ = self.process.communicate()
        return Outcome(self.process.returncode, output)

    def epochs(self) -> int:
        """Epochs that stand in the store."""
        return sum(path.read_bytes().count(b"\n") for path in self.directory.glob("trials/*/history.jsonl"))

    def summary(self) -> dict:
        return json.loads(self.file.with_suffix(".json").read_text())


def study_file(folder: Path) -> Path:
    folder.mkdir()
    file = folder / "small.yaml"
    file.write_text(STUDY.replace("STUDIES", str(folder / "studies")))
    return file


def find(driver: psutil.Process, target: str) -> psutil.Process | None:
    """The process to kill: the driver itself, its raylet, or a Ray Train worker of a slot."""
    if target == "driver":
        return driver
    marks = {"raylet": "raylet/raylet", "worker": "ray::RayTrainWorker"}
    for process in driver.children(recursive=True):
        try:
            if process.cmdline() and marks[target] in process.cmdline()[0]:
                return process
        except psutil.Error:
            continue
    return None


def kill_after(run: Run, driver: psutil.Process, target: str, epochs: int) -> bool:
    """Kill -9 the target as soon as the store has that many epochs; False if the run ended before."""
    while driver.is_running() and driver.status() != psutil.STATUS_ZOMBIE:
        victim = find(driver, target) if run.epochs() >= epochs else None
        if victim is not None:
            os.kill(victim.pid, signal.SIGKILL)
            return True
        time.sleep(0.02)
    return False


def trials(directory: Path) -> dict[str, tuple]:
    """What each trial came to, without the times."""
    found = {}
    for path in sorted(directory.glob("trials/*")):
        result = json.loads((path / "result.json").read_text())
        found[path.name] = (result["status"], result["metrics"], result["epochs"], (path / "history.jsonl").read_text())
    return found


def unique_epochs(history: str) -> str:
    """The history without the lines that an attempt wrote again after going on from its checkpoint."""
    lines = {json.loads(line)["epoch"]: line for line in history.splitlines()}
    return "\n".join(lines[epoch] for epoch in sorted(lines))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(study_file(tmp_path_factory.mktemp("undisturbed") / "study"))
    run.start()
    outcome = run.wait()
    assert outcome.code == 0, outcome.output
    return run


@pytest.fixture(scope="module")
def disturbed(undisturbed: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same study, killed five times at random moments spread over its length."""
    rng = random.Random(20)
    total = undisturbed.epochs()
    moments = sorted(rng.randrange(5, total - 5) for _ in TARGETS)
    run = Run(study_file(tmp_path_factory.mktemp("disturbed") / "study"))
    driver = run.start()
    for target, moment in zip(TARGETS, moments, strict=True):
        killed = kill_after(run, driver, target, moment)
        if target != "worker" or not killed:  # a dead worker group is replaced by the same run
            run.wait()
            driver = run.start()
    outcome = run.wait()
    assert outcome.code == 0, outcome.output
    return run


def test_the_tables_are_equal(undisturbed: Run, disturbed: Run) -> None:
    tables = sorted(path.name for path in undisturbed.directory.glob("report/tables/*.csv"))
    assert {"arms.csv", "groups.csv"} <= set(tables)
    for name in ("arms.csv", "groups.csv"):
        one, other = (run.directory / "report" / "tables" / name for run in (undisturbed, disturbed))
        assert one.read_text() == other.read_text(), name


def test_every_trial_is_equal_bit_for_bit(undisturbed: Run, disturbed: Run) -> None:
    one, other = trials(undisturbed.directory), trials(disturbed.directory)
    assert one.keys() == other.keys()
    for trial_id, (status, metrics, epochs, history) in one.items():
        assert other[trial_id][:3] == (status, metrics, epochs), trial_id
        assert unique_epochs(other[trial_id][3]) == unique_epochs(history), trial_id
    assert any(status == "pruned" for status, *_ in one.values()), "the study is meant to prune"


def test_suggestions_are_equal_in_order(undisturbed: Run, disturbed: Run) -> None:
    one, other = (
        {path.relative_to(run.directory): path.read_text() for path in run.directory.glob("proposals/*/*.json")}
        for run in (undisturbed, disturbed)
    )
    assert one == other and len(one) == 18


def test_no_finished_trial_ran_again(undisturbed: Run, disturbed: Run) -> None:
    for path in disturbed.directory.glob("trials/*"):
        finished = (path / "result.json").stat().st_mtime
        starts = [json.loads(line)["time"] for line in (path / "attempts.jsonl").read_text().splitlines()]
        assert max(starts) <= finished, path.name
    attempts = [path.read_text().count("\n") for path in disturbed.directory.glob("trials/*/attempts.jsonl")]
    assert len(attempts) < sum(attempts) <= len(attempts) + len(TARGETS), "only a trial in progress may start again"
    alone = [path.read_text().count("\n") for path in undisturbed.directory.glob("trials/*/attempts.jsonl")]
    assert set(alone) == {1}


def test_mlflow_holds_each_trial_and_each_value_once(undisturbed: Run, disturbed: Run) -> None:
    contents = []
    for run in (undisturbed, disturbed):
        with sqlite3.connect(run.directory.parent / "mlflow.db") as database:
            ids = [row[0] for row in database.execute("select value from tags where key = 'trial_id'")]
            assert Counter(ids) == Counter(path.name for path in run.directory.glob("trials/*"))
            rows = database.execute(
                "select run_uuid, key, step, count(*) from metrics group by 1, 2, 3 having count(*) > 1"
            )
            assert rows.fetchall() == []
            query = "select t.value, m.key, m.step, m.value from metrics m join tags t using (run_uuid)"
            query += " where t.key = 'trial_id'"
            contents.append({row for row in database.execute(query) if "seconds" not in row[1]})
    assert contents[0] == contents[1]


def test_the_same_command_again_runs_nothing(disturbed: Run) -> None:
    before = {path: path.stat().st_mtime for path in disturbed.directory.glob("trials/*/*")}
    disturbed.start()
    outcome = disturbed.wait()
    assert outcome.code == 0 and "complete" in outcome.output
    assert {path: path.stat().st_mtime for path in disturbed.directory.glob("trials/*/*")} == before
    summary = disturbed.summary()
    assert summary["trials"]["reused"] == summary["trials"]["planned"] == len(trials(disturbed.directory)) or (
        summary["trials"]["reused"] == summary["trials"]["complete"] + summary["trials"]["pruned"]
    )
