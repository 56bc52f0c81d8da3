"""The MLflow view of a running study: followed by a child process, and completed after a kill at any moment."""

import itertools
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from numpy.random import default_rng
from sqlalchemy import event
from sqlalchemy.engine import Engine

from study.config.study_config import StudyConfig
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from study.tracking.tracker import (
    LiveTracker,
    Tracker,
    TrackingUnavailable,
    sync_with_open_writer,
)
from study.tracking.writer import find_runs
from tests.helpers.example_store import example_study, fill, write_result
from tests.helpers.stored_trials import stored_records
from tests.helpers.tracking_database import count_synced, filled, query, snapshot, tags
from tests.helpers.waiting import has_ended, wait_until
from trainables.common.atomic_files import read_json

pytestmark = [
    pytest.mark.slow,
    # by a query of MLflow's on SQLAlchemy 2.1
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


def following(study: StudyConfig, store: StudyStore, root: Path, runs: int) -> LiveTracker:
    """A tracker that has begun, once it has logged some runs."""
    live = LiveTracker(study, store, interval_seconds=0.1)
    live.start()
    wait_until(lambda: count_synced(root) >= runs, f"{runs} runs are in MLflow while the study is running")
    return live


def test_the_live_tracker_follows_and_ends_complete(root: Path) -> None:
    study, store = filled(root)
    trials = [trial for group in collect_groups(study, store) for trial in group.trials]
    later = [store.trial(trial.trial_id).path / "result.json" for trial in trials[10:]]
    for path in later:
        path.rename(path.with_suffix(".later"))
    live = following(study, store, root, 10)
    for path in later:
        path.with_suffix(".later").rename(path)
    summary = live.close()
    assert not live.thread.is_alive()
    assert tags(root, summary.run_id)["kind"] == "study"
    found = query(root, "select value from tags where key = 'trial_id'")
    assert sorted(str(row[0]) for row in found) == sorted(trial.trial_id for trial in trials)
    snapshot(root)


def test_following_reads_only_what_is_new_and_still_knows_the_best(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, store = filled(root)
    reads: list[Path] = []
    for place in ("study.storage.store", "trainables.worker.trial_directory"):
        monkeypatch.setattr(f"{place}.read_json", lambda path: reads.append(path) or read_json(path))
    tracker = Tracker(study, store)
    with tracker.open() as writer:
        tracker.update(writer, final=False)
        note = writer.client.get_experiment(writer.experiment_id).tags["mlflow.note.content"]
        reads.clear()
        tracker.update(writer, final=False)
        assert not [path for path in reads if path.parent.name == "ciba"], "every ciba configuration is settled"
        assert writer.client.get_experiment(writer.experiment_id).tags["mlflow.note.content"] == note
        reads.clear()
        params = {"bottleneck_dim": 16, "batch_size": 64}
        write_result(study, store, "ciba", 5, params, [(0.99, 0.9), (0.98, 0.9), (0.97, 0.9)])
        tracker.update(writer, final=False)
        read = {path.name if path.name == "result.json" else path.parent.name for path in reads}
        assert read == {"ciba", "result.json"} and len(reads) == 4, "a proposal and three results"
        new = writer.client.get_experiment(writer.experiment_id).tags["mlflow.note.content"]
        assert "best val/accuracy 0.98 " in new and "best val/accuracy 0.98 " not in note
        assert [line for line in new.splitlines() if line.startswith("| none")] == [
            line for line in note.splitlines() if line.startswith("| none")
        ]


def test_a_child_that_died_is_replaced_and_goes_on_where_it_ended(root: Path) -> None:
    study, store = filled(root)
    live = following(study, store, root, 3)
    assert live.child.process
    live.child.process.kill()
    assert tags(root, live.close().run_id)["kind"] == "study"
    assert live.child.process is None
    snapshot(root)


def test_an_abandoned_sync_ends_at_once(root: Path) -> None:
    study, store = filled(root)
    last = [trial for group in collect_groups(study, store) for trial in group.trials][-1]
    history = store.trial(last.trial_id).path / "history.jsonl"
    history.unlink()
    os.mkfifo(history)  # reading it blocks for ever
    live = following(study, store, root, 3)
    assert live.child.process
    child = live.child.process.pid
    live.kill()
    live.thread.join()
    assert live.child.process is None and has_ended(child)
    assert count_synced(root) < len(stored_records(store)), "it was in the middle of a sync"


def test_a_writer_is_kept_until_it_fails(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, store = filled(root)
    asked: list[str] = []
    monkeypatch.setattr(
        "study.tracking.writer.find_runs", lambda *arguments: asked.append("asked") or find_runs(*arguments)
    )
    monkeypatch.setattr("study.tracking.tracker._open_writers", [])
    sync_with_open_writer(study, store, False)
    summary = sync_with_open_writer(study, store, True).summary
    assert tags(root, summary.run_id)["kind"] == "study" and len(asked) == 1
    with monkeypatch.context() as patched:
        patched.setattr("study.tracking.writer.Writer.sync", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(TrackingUnavailable, match="disk full"):
            sync_with_open_writer(study, store, True)
    assert sync_with_open_writer(study, store, True).summary == summary and len(asked) == 2


@pytest.mark.parametrize("method", ["create_run", "set_terminated", "log_batch"])
def test_a_sync_that_broke_off_is_completed_and_nothing_is_twice(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Broken before and after the same call, as a kill would, at a run in the middle."""
    study = one_arm(root)
    whole = one_arm(tmp_path_factory.mktemp("whole"))
    shutil.copytree(root, whole.studies, dirs_exist_ok=True)
    Tracker(whole, StudyStore(whole.directory)).sync()
    for done in (False, True):
        tracker = Tracker(study, StudyStore(study.directory))
        with pytest.raises(TrackingUnavailable, match="killed"), tracker.open() as writer:
            original, calls = getattr(writer.client, method), []

            def broken(*arguments: object, **named: object) -> object:
                calls.append(method)  # noqa: B023  (called within the loop)
                if len(calls) == 4:  # noqa: B023
                    if done:  # noqa: B023
                        original(*arguments, **named)  # noqa: B023
                    raise OSError("killed")
                return original(*arguments, **named)  # noqa: B023

            monkeypatch.setattr(writer.client, method, broken)
            tracker.update(writer, final=False)
    Tracker(study, StudyStore(study.directory)).sync()
    assert snapshot(root) == snapshot(whole.studies)


def one_arm(root: Path) -> StudyConfig:
    """The study's arm `ciba` alone, four configurations, with its store filled if there is none yet."""
    study = example_study(root)
    study = study.model_copy(
        update={"arms": study.arms[2:], "report": study.report.model_copy(update={"baseline": "ciba"})}
    )
    if not study.directory.exists():
        fill(study, StudyStore(study.directory), groups=4)
    return study


def test_a_kill_in_mid_sync_leaves_nothing_twice(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    study, store = filled(root)
    whole = example_study(tmp_path_factory.mktemp("whole"))
    shutil.copytree(root, whole.studies, dirs_exist_ok=True)
    Tracker(whole, StudyStore(whole.directory)).sync()
    rng = default_rng(0)
    rows = [count_rows(root)]
    for _ in range(8):
        pid = sync_until_killed(study, store, int(rng.integers(100, 600)))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        rows.append(count_rows(root))
    assert rows == sorted(rows) and rows[0] < rows[-1] < count_rows(whole.studies)
    Tracker(study, store).sync()
    assert snapshot(root) == snapshot(whole.studies)


def sync_until_killed(study: StudyConfig, store: StudyStore, moment: int) -> int:
    """A process that syncs and is killed before or after one of its SQL statements, so also within a transaction.

    It is forked, because the imports take seconds, and never shares a connection with this one.
    """
    pid = os.fork()
    if pid == 0:
        moments = itertools.count(1)

        def kill_at_the_moment(*_: object) -> None:
            if next(moments) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", kill_at_the_moment)
        event.listen(Engine, "after_cursor_execute", kill_at_the_moment)
        Tracker(study, store).sync()
        os._exit(0)
    return pid


def count_rows(root: Path) -> int:
    try:
        return int(str(query(root, "select (select count(*) from tags) + (select count(*) from metrics)")[0][0]))
    except sqlite3.OperationalError:
        return 0
