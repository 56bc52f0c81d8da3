"""Stages are computed once for all processes, and a kill leaves no incomplete stage."""

import multiprocessing as mp
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from tests.helpers.waiting import wait_until
from trainables.stages import artifacts
from trainables.stages.artifacts import Artifact, Stage, StageStore


class Squares(Stage):
    """Counts its computations in a file, so that processes can be compared."""

    name: ClassVar[str] = "squares"
    version: ClassVar[int] = 1
    count: int
    log: str

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        with open(self.log, "a") as file:
            file.write("x")
        folder = Path(self.log).parent
        wait_until(lambda: not (folder / "blocked").exists(), "the computation may go on")
        return Artifact({"squares": torch.arange(self.count) ** 2}, {"count": self.count})


class Sums(Stage):
    name: ClassVar[str] = "sums"
    version: ClassVar[int] = 1
    squares: Squares

    def parents(self) -> tuple[Stage, ...]:
        return (self.squares,)

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        return Artifact({"sums": stages.get(self.squares).arrays["squares"].cumsum(0)}, {})


def computed(log: Path) -> int:
    return len(log.read_text()) if log.exists() else 0


def test_computed_once_and_read_back(tmp_path: Path) -> None:
    stage = Squares(count=4, log=str(tmp_path / "log"))
    for _ in range(3):
        artifact = StageStore(tmp_path / "stages").get(stage)
        assert artifact.arrays["squares"].tolist() == [0, 1, 4, 9]
        assert artifact.notes == {"count": 4}
    assert computed(tmp_path / "log") == 1


def test_key_depends_on_every_field_and_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Squares(count=4, log="a")
    keys = {stage.key, Squares(count=5, log="a").key, Squares(count=4, log="b").key}
    monkeypatch.setattr(Squares, "version", 2)
    assert len(keys | {stage.key}) == 4


def test_usage_counts_parents_and_savings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = Sums(squares=Squares(count=3, log=str(tmp_path / "log")))
    clock = SimpleNamespace(perf_counter=lambda: 5.0 * computed(tmp_path / "log"))  # squares take five seconds
    monkeypatch.setattr(artifacts, "time", clock)
    first = StageStore(tmp_path / "stages")
    assert first.get(sums).arrays["sums"].tolist() == [0, 1, 5]
    usage = first.pop_usage()
    assert [label.split("/")[0] for label in usage.computed] == ["squares", "sums"]
    assert usage.reused == () and usage.seconds_saved == 0 and usage.seconds_computing == 5
    second = StageStore(tmp_path / "stages")
    second.get(sums)
    usage = second.pop_usage()
    assert usage.computed == () and usage.reused == (f"sums/{sums.key}",)
    assert (first.seconds(sums.squares), first.seconds(sums)) == (5, 0), "a parent's cost is not its child's"
    assert second.pop_usage().reused == ()


def ask(root: str, stage: Squares) -> None:
    Path(stage.log).with_name(f"asks-{os.getpid()}").touch()
    StageStore(Path(root)).get(stage)


@pytest.mark.slow
def test_concurrent_processes_compute_once(tmp_path: Path) -> None:
    stage = Squares(count=4, log=str(tmp_path / "log"))
    (tmp_path / "blocked").touch()
    processes = [mp.get_context("spawn").Process(target=ask, args=(str(tmp_path / "s"), stage)) for _ in range(3)]
    for process in processes:
        process.start()
    wait_until(lambda: len(list(tmp_path.glob("asks-*"))) == 3 and computed(tmp_path / "log"), "one of three computes")
    (tmp_path / "blocked").unlink()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert computed(tmp_path / "log") == 1


@pytest.mark.slow
def test_a_killed_computation_is_done_again(tmp_path: Path) -> None:
    stage = Squares(count=4, log=str(tmp_path / "log"))
    (tmp_path / "blocked").touch()
    process = mp.get_context("spawn").Process(target=ask, args=(str(tmp_path / "s"), stage))
    process.start()
    wait_until(lambda: computed(tmp_path / "log"), "the computation has begun")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    store = StageStore(tmp_path / "s")
    assert not store.has(stage)
    (tmp_path / "blocked").unlink()
    left = store.path(stage).with_suffix(".tmp-1")
    left.mkdir()  # as a kill between writing and renaming leaves it
    assert store.get(stage).arrays["squares"].tolist() == [0, 1, 4, 9]
    assert not left.exists()
    assert computed(tmp_path / "log") == 2
