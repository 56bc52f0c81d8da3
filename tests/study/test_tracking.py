"""The MLflow view against a real MLflow on SQLite: what a run holds, and that nothing is there twice."""

import base64
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
import zlib
from pathlib import Path
from statistics import fmean, stdev
from urllib.parse import unquote

import pytest
from example_store import example_study, fill, write_result, write_trial
from numpy.random import default_rng

from study.config import StudyConfig, TrackingConfig
from study.groups import collect_groups
from study.store import StudyStore
from study.tracking import (
    LiveTracker,
    Tracker,
    TrackingBusy,
    TrackingSummary,
    TrackingUnavailable,
    sync_kept,
)
from study.tracking_content import parameters, trial_span
from study.tracking_ui import LOOPBACK, serve, study_links
from study.tracking_writer import find_runs
from trainables.files import read_json
from trainables.types import EpochReport, TrialResult

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning",  # mlflow's own query, on SQLAlchemy 2.1
)

Rows = set[tuple[object, ...]]

SYNC = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from example_store import example_study
from study.store import StudyStore
from study.tracking import Tracker
study = example_study(Path(sys.argv[2]))
print("begin", flush=True)
Tracker(study, StudyStore(study.directory)).sync()
print("end", flush=True)
"""


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow needs seconds to set up a new database, so the tests start from copies of one."""
    root = tmp_path_factory.mktemp("empty")
    study = example_study(root)
    with Tracker(study, StudyStore(study.directory)).open():
        pass
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute("delete from experiments where name = 'example'")
    database.close()
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path: Path, empty_database: Path) -> Path:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture(scope="module")
def synced(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> tuple[StudyConfig, StudyStore, TrackingSummary]:
    root = tmp_path_factory.mktemp("study")
    shutil.copy(empty_database, root)
    study, store = filled(root)
    (store.directory / "report").mkdir()
    (store.directory / "report" / "report.html").write_text("<h1>Report</h1>")
    (store.directory / "manifest.json").write_text(
        '{"git": {"commit": "abc"}, "versions": {"torch": "2.14.1"}, "earlier": [{}]}'
    )
    return study, store, Tracker(study, store).sync()


def filled(root: Path) -> tuple[StudyConfig, StudyStore]:
    study = example_study(root)
    store = StudyStore(study.directory)
    fill(study, store)
    return study, store


def query(root: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(root / "mlflow.db") as database:
        rows = database.execute(sql).fetchall()
    database.close()
    return rows


def tags(root: Path, run_id: str) -> dict[str, str]:
    return dict(query(root, f"select key, value from tags where run_uuid = '{run_id}'"))  # type: ignore[arg-type]


def run_of(root: Path, key: str, value: str) -> str:
    """The one active run with this tag."""
    found = query(
        root,
        "select r.run_uuid from runs r join tags t on t.run_uuid = r.run_uuid join tags k on k.run_uuid = r.run_uuid "
        f"where r.lifecycle_stage = 'active' and t.key = '{key}' and t.value = '{value}' "
        f"and k.key = 'kind' and k.value = '{key.removesuffix('_id')}'",
    )
    assert len(found) == 1
    return str(found[0][0])


def snapshot(root: Path) -> dict[str, Rows]:
    """Everything that the database says about the study, without the ids that MLflow draws at random."""
    name = "(select name from runs r where r.run_uuid = x.run_uuid and r.lifecycle_stage = 'active')"
    hidden = "('synced', 'study_key', 'mlflow.parentRunId', 'mlflow.runName')"
    found = {
        "runs": query(root, "select name, status, start_time, end_time from runs where lifecycle_stage = 'active'"),
        "metrics": query(root, f"select {name}, key, value, timestamp, step from metrics x"),
        "latest": query(root, f"select {name}, key, value, timestamp, step from latest_metrics x"),
        "params": query(root, f"select {name}, key, value from params x"),
        "tags": query(root, f"select {name}, key, value from tags x where key not in {hidden}"),
    }
    for table, rows in found.items():
        assert len(set(rows)) == len(rows), f"{table} holds a row twice"
    parents = (
        "select c.name, p.name from runs c join tags t on t.run_uuid = c.run_uuid and t.key = 'mlflow.parentRunId' "
        "join runs p on p.run_uuid = t.value"
    )
    return {table: set(rows) for table, rows in found.items()} | {"parents": set(query(root, parents))}


def test_every_group_and_every_seed_has_one_run(synced: tuple[StudyConfig, StudyStore, TrackingSummary]) -> None:
    study, store, summary = synced
    groups = collect_groups(study, store)
    for group in groups:
        parent = run_of(study.studies, "group_id", group.group_id)
        for trial in group.trials:
            child = tags(study.studies, run_of(study.studies, "trial_id", trial.trial_id))
            assert trial.result
            assert (child["mlflow.parentRunId"], child["status"]) == (parent, trial.result.status)
    assert summary.experiment == "example"
    count = query(study.studies, "select count(*) from runs")[0][0]
    assert count == 1 + len(groups) + sum(len(group.trials) for group in groups)


def test_a_group_shows_mean_std_and_n(synced: tuple[StudyConfig, StudyStore, TrackingSummary]) -> None:
    study, store, _ = synced
    for group in collect_groups(study, store):
        run = run_of(study.studies, "group_id", group.group_id)
        latest = dict(query(study.studies, f"select key, value from latest_metrics where run_uuid = '{run}'"))
        values = [t.result.metrics["test/accuracy"] for t in group.trials if t.result and t.result.status == "complete"]
        status = query(study.studies, f"select status from runs where run_uuid = '{run}'")[0][0]
        assert status == {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}[group.status]
        if group.status == "pruned":
            assert "test/accuracy" not in latest and latest["epoch/val/loss"] == pytest.approx(1.1)
        else:
            assert latest["test/accuracy"] == pytest.approx(fmean(values))
            assert latest["test/accuracy_std"] == pytest.approx(stdev(values))
            assert latest["n_seeds"] == len(values)


def test_the_mean_curve_is_the_mean_of_the_seeds(synced: tuple[StudyConfig, StudyStore, TrackingSummary]) -> None:
    study, store, _ = synced
    group = collect_groups(study, store)[0]
    run = run_of(study.studies, "group_id", group.group_id)
    sql = f"select step, value from metrics where run_uuid = '{run}' and key = 'epoch/val/accuracy' order by step"
    curve = query(study.studies, sql)
    expected = [fmean(t.history[e].metrics["val/accuracy"] for t in group.trials) for e in range(4)]
    assert [row[0] for row in curve] == [1, 2, 3, 4]
    assert [row[1] for row in curve] == pytest.approx(expected)


def test_a_failed_trial_says_why(synced: tuple[StudyConfig, StudyStore, TrackingSummary]) -> None:
    study, store, _ = synced
    failed = next(t for g in collect_groups(study, store) for t in g.trials if t.result and t.result.status == "failed")
    found = tags(study.studies, run_of(study.studies, "trial_id", failed.trial_id))
    assert found["error"] == "NonFiniteLossError: loss is nan (epoch 2, step 17)"
    assert (found["git.commit"], found["versions.torch"], found["arm"]) == (
        "abc",
        "2.14.1",
        failed.config.method.method,
    )


def test_the_study_run_holds_the_report(synced: tuple[StudyConfig, StudyStore, TrackingSummary]) -> None:
    study, _, summary = synced
    folder = study.studies / "mlflow-artifacts" / "example" / summary.run_id / "artifacts"
    assert (folder / "report" / "report.html").read_text() == "<h1>Report</h1>"
    assert (folder / "manifest.json").exists()


def test_swept_parameters_come_first_by_their_canonical_names(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    params = parameters(study.arm("kd").trial({"lambda_kd": 0.5, "temperature": 2.0, "batch_size": 32}, 0), "kd", study)
    assert list(params)[:5] == ["arm", "batch_size", "lambda_kd", "temperature", "method"]
    assert (params["batch_size"], params["temperature"], params["training.epochs"]) == ("32", "2.0", "4")
    assert "seed" not in params


def test_a_second_sync_changes_nothing(synced: tuple[StudyConfig, StudyStore, TrackingSummary]) -> None:
    study, store, summary = synced
    before = (study.studies / "mlflow.db").read_bytes()
    assert Tracker(study, store).sync() == summary
    assert (study.studies / "mlflow.db").read_bytes() == before


def test_trials_that_come_later_are_added(root: Path) -> None:
    study = example_study(root)
    store = StudyStore(study.directory)
    fill(study, store, groups=1)
    hidden = [store.trial(trial.trial_id).path / "result.json" for trial in collect_groups(study, store)[0].trials[1:]]
    for path in hidden:
        path.rename(path.with_suffix(".later"))
    Tracker(study, store).sync()
    run = run_of(root, "group_id", collect_groups(study, store)[0].group_id)
    assert query(root, f"select status from runs where run_uuid = '{run}'") == [("SCHEDULED",)]
    assert query(root, f"select * from metrics where run_uuid = '{run}'") == []
    for path in hidden:
        path.with_suffix(".later").rename(path)
    Tracker(study, store).sync()
    assert query(root, f"select status from runs where run_uuid = '{run}'") == [("FINISHED",)]
    assert query(root, f"select value from metrics where run_uuid = '{run}' and key = 'n_seeds'") == [(3.0,)]
    snapshot(root)


def test_more_seeds_give_one_new_mean_and_no_second_run(root: Path) -> None:
    study = example_study(root, seeds=(0, 1))
    store = StudyStore(study.directory)
    fill(study, store, groups=1)
    Tracker(study, store).sync()
    longer = example_study(root, seeds=(0, 1, 2))
    for group in collect_groups(longer, store):
        write_trial(store, longer.arm(group.arm).trial(group.params, 2), "complete", 0.9, default_rng(2))
    Tracker(longer, store).sync()
    for group in collect_groups(longer, store):
        run = run_of(root, "group_id", group.group_id)
        found = query(root, f"select key, value from metrics where run_uuid = '{run}' and step = 0")
        assert dict(found)["n_seeds"] == 3 and len(dict(found)) == len(found)
        for trial in group.trials:
            parent = tags(root, run_of(root, "trial_id", trial.trial_id))["mlflow.parentRunId"]
            assert parent == run


def test_runs_of_a_removed_arm_are_set_aside(root: Path) -> None:
    study = example_study(root)
    store = StudyStore(study.directory)
    fill(study, store, groups=1)
    Tracker(study, store).sync()
    Tracker(study.model_copy(update={"arms": study.arms[:2]}), store).sync()
    names = [str(row[0]) for row in query(root, "select name from runs where lifecycle_stage = 'active'")]
    assert names and not any("ciba" in name for name in names)


def test_two_directories_with_one_name_do_not_share_runs(root: Path) -> None:
    for name in ("here", "there"):
        study = example_study(root / name)
        study = study.model_copy(update={"tracking": TrackingConfig(uri=f"sqlite:///{root}/mlflow.db", experiment="x")})
        store = StudyStore(study.directory)
        fill(study, store, groups=1)
        Tracker(study, store).sync()
    assert query(root, "select count(*) from runs where name = 'study' and lifecycle_stage = 'active'") == [(2,)]


def test_times_come_from_the_attempts(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    trial = study.arm("none").trial({"batch_size": 32}, 0)
    store = StudyStore(study.directory)
    directory = store.trial(trial.trial_id)
    directory.begin(trial, 0)
    lines = [{"time": 1000.0, "pid": 1, "from_epoch": 0}, {"time": 2000.0, "pid": 2, "from_epoch": 3}]
    (directory.path / "attempts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    directory.append(EpochReport(4, {"val/accuracy": 0.5}))
    directory.finish(TrialResult("complete", {"val/accuracy": 0.5}, 4, 4, seconds=8.0))
    assert trial_span(store, store.record(trial.trial_id)) == (1_000_000, 2_002_000)


def test_the_view_has_the_swept_columns_and_the_note_the_best(
    synced: tuple[StudyConfig, StudyStore, TrackingSummary],
) -> None:
    study, store, _ = synced
    found = {str(key): str(value) for key, value in query(study.studies, "select key, value from experiment_tags")}
    view = next(value for key, value in found.items() if key.startswith("mlflow.sharedViewState."))
    state = json.loads(zlib.decompress(base64.b64decode(view.removeprefix("deflate;"))))
    assert {"params.`bottleneck_dim`", "params.`lambda_kd`", "metrics.`val/accuracy`"} <= set(state["selectedColumns"])
    assert {chart["type"] for chart in state["compareRunCharts"]} == {"BAR", "LINE", "SCATTER", "PARALLEL"}
    best = max(
        (g for g in collect_groups(study, store) if g.status == "complete"), key=lambda g: g.mean("val/accuracy") or 0
    )
    assert f"best val/accuracy {best.mean('val/accuracy'):.4g}" in found["mlflow.note.content"].splitlines()[0]


def test_the_comparison_link_names_the_best_group_of_each_arm(
    synced: tuple[StudyConfig, StudyStore, TrackingSummary],
) -> None:
    study, _, summary = synced
    training, comparison = study_links(study, StudyStore(study.directory))
    assert training.startswith(f"/#/experiments/{summary.experiment_id}/runs?") and "viewStateShareKey=" in training
    runs = json.loads(unquote(comparison.split("runs=")[1].split("&")[0]))
    assert [tags(study.studies, run)["arm"] for run in runs] == ["none", "kd", "ciba"]


@pytest.mark.slow
def test_nothing_reaches_the_terminal_or_the_environment(tmp_path: Path) -> None:
    filled(tmp_path)
    code = SYNC.replace('print("begin", flush=True)', "import os; before = dict(os.environ)")
    code = code.replace('print("end", flush=True)', "assert dict(os.environ) == before")
    done = subprocess.run([*sync_command(tmp_path, code)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["example", "mlflow.db"]


def sync_command(root: Path, code: str = SYNC) -> list[str]:
    return [sys.executable, "-c", code, str(Path(__file__).parent), str(root)]


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "databricks", "ftp://host"])
def test_a_uri_that_mlflow_does_not_serve_is_refused(tmp_path: Path, uri: str) -> None:
    study = example_study(tmp_path).model_copy(update={"tracking": TrackingConfig(uri=uri, experiment="x")})
    with pytest.raises(ValueError, match="must begin with one of sqlite") as caught:
        Tracker(study, StudyStore(study.directory))
    assert repr(uri) in str(caught.value)


def test_a_server_that_is_down_is_one_error_that_says_what_to_do(root: Path) -> None:
    study, store = filled(root)
    down = study.model_copy(update={"tracking": TrackingConfig(uri="http://127.0.0.1:9", experiment="x")})
    begun = time.monotonic()
    with pytest.raises(TrackingUnavailable, match=r"study sync") as caught:
        Tracker(down, store).sync()
    assert time.monotonic() - begun < 20 and "\n" not in str(caught.value)
    Tracker(study, store).sync()
    assert query(root, "select count(*) from runs where name = 'study'") == [(1,)]


def test_only_one_process_writes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.tracking.LOCK_SECONDS", 0.1)
    study, store = filled(root)
    with Tracker(study, store).open(), pytest.raises(TrackingBusy, match="another process"):
        Tracker(study, store).sync()


def test_the_live_tracker_follows_and_ends_complete(root: Path) -> None:
    study, store = filled(root)
    trials = [trial for group in collect_groups(study, store) for trial in group.trials]
    later = [store.trial(trial.trial_id).path / "result.json" for trial in trials[10:]]
    for path in later:
        path.rename(path.with_suffix(".later"))
    live = LiveTracker(study, store, interval_seconds=0.1)
    live.start()
    deadline = time.monotonic() + 60
    while count_synced(root) < 10 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert count_synced(root) >= 10, "no trial appeared while the study was running"
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
    for place in ("study.store", "trainables.trial_directory"):
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
    live = LiveTracker(study, store, interval_seconds=0.1)
    live.start()
    deadline = time.monotonic() + 60
    while count_synced(root) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert live.child.process
    live.child.process.kill()
    assert tags(root, live.close().run_id)["kind"] == "study"
    assert live.child.process is None
    snapshot(root)


def test_an_abandoned_sync_ends_at_once(root: Path) -> None:
    study, store = filled(root)
    live = LiveTracker(study, store, interval_seconds=0.1)
    live.start()
    deadline = time.monotonic() + 60
    while count_synced(root) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    live.abandon()
    live.thread.join(10)
    assert not live.thread.is_alive() and live.child.process is None
    logged = count_synced(root)
    assert logged < len(list(store.records())), "it was in the middle of a sync"
    time.sleep(1)
    assert count_synced(root) == logged


def test_a_writer_is_kept_until_it_fails(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, store = filled(root)
    asked: list[str] = []
    monkeypatch.setattr(
        "study.tracking_writer.find_runs", lambda *arguments: asked.append("asked") or find_runs(*arguments)
    )
    monkeypatch.setattr("study.tracking._kept", [])
    sync_kept(study, store, False)
    summary = sync_kept(study, store, True).summary
    assert tags(root, summary.run_id)["kind"] == "study" and len(asked) == 1
    with monkeypatch.context() as patched:
        patched.setattr("study.tracking_writer.Writer.sync", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(TrackingUnavailable, match="disk full"):
            sync_kept(study, store, True)
    assert sync_kept(study, store, True).summary == summary and len(asked) == 2


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


def count_synced(root: Path) -> int:
    try:
        return len(query(root, "select 1 from tags where key = 'synced' and value not like 'started%'"))
    except sqlite3.OperationalError:
        return 0


@pytest.mark.slow
def test_a_kill_in_mid_sync_leaves_nothing_twice(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    study, store = filled(root)
    whole = example_study(tmp_path_factory.mktemp("whole"))
    shutil.copytree(root, whole.studies, dirs_exist_ok=True)
    Tracker(whole, StudyStore(whole.directory)).sync()
    rng = default_rng(0)
    killed = 0
    for _ in range(8):
        before = count_rows(root)
        pid = sync_in_a_process(study, store)
        while count_rows(root) <= before and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.2))
        os.kill(pid, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert killed >= 3 and 0 < count_rows(root) < count_rows(whole.studies)
    Tracker(study, store).sync()
    assert snapshot(root) == snapshot(whole.studies)


def sync_in_a_process(study: StudyConfig, store: StudyStore) -> int:
    """A process that syncs; forked, because the imports take seconds. It never shares a connection with this one."""
    pid = os.fork()
    if pid == 0:
        Tracker(study, store).sync()
        os._exit(0)
    return pid


def count_rows(root: Path) -> int:
    try:
        return int(str(query(root, "select (select count(*) from tags) + (select count(*) from metrics)")[0][0]))
    except sqlite3.OperationalError:
        return 0


def test_the_ui_refuses_a_host_that_others_can_reach(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    assert "0.0.0.0" not in LOOPBACK
    with pytest.raises(ValueError, match="no passwords"):
        serve(study, StudyStore(study.directory), host="0.0.0.0")


UI = SYNC.split('print("begin"')[0].replace("Tracker\n", "Tracker\nfrom study.tracking_ui import serve\n") + (
    "serve(study, StudyStore(study.directory), port=int(sys.argv[3]), open_browser=False,\n"
    "      say=lambda line: print(line, flush=True))\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_ui_serves_its_links_and_ends_with_all_its_children(root: Path, number: signal.Signals) -> None:
    filled(root)
    port = 5761 if number == signal.SIGINT else 5762
    with subprocess.Popen([*sync_command(root, UI), str(port)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(3)]
        assert f"http://127.0.0.1:{port}/#/experiments/" in lines[0] and "compare-runs" in lines[1]
        experiment = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=example"
        with urllib.request.urlopen(experiment) as response:
            assert json.load(response)["experiment"]["name"] == "example"
        children = [pid for pid in os.listdir("/proc") if pid.isdigit() and f"--port\0{port}" in command_line(pid)]
        assert children
        process.send_signal(number)
        assert process.wait(20) == 0
    assert not any(f"--port\0{port}" in command_line(pid) for pid in children)


def command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
