"""The MLflow view with a real MLflow on SQLite: the content of a run, and that nothing is logged twice."""

import base64
import json
import shutil
import socket
import subprocess
import zlib
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from urllib.parse import unquote

import pytest
from numpy.random import default_rng
from urllib3.util import connection

from study.config.study_config import Objective, StudyConfig, TrackingConfig
from study.storage.groups import collect_groups
from study.storage.store import Proposal, StudyStore
from study.tracking.run_content import parameters, trial_span
from study.tracking.tracker import (
    Tracker,
    TrackingBusy,
    TrackingSummary,
    TrackingUnavailable,
)
from study.tracking.ui_server import study_links
from tests.helpers.example_store import example_study, fill, write_trial
from tests.helpers.tracking_database import SYNC, filled, query, run_of, snapshot, sync_command, tags
from trainables.common.types import EpochReport, TrialResult

pytestmark = [
    pytest.mark.slow,
    # by a query of MLflow's on SQLAlchemy 2.1
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


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


def test_nothing_reaches_the_terminal_or_the_environment(tmp_path: Path) -> None:
    filled(tmp_path)
    code = SYNC.replace('print("begin", flush=True)', "import os; before = dict(os.environ)")
    code = code.replace('print("end", flush=True)', "assert dict(os.environ) == before")
    done = subprocess.run([*sync_command(tmp_path, code)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["example", "mlflow.db"]


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "databricks", "ftp://host"])
def test_a_uri_that_mlflow_does_not_serve_is_refused(tmp_path: Path, uri: str) -> None:
    study = example_study(tmp_path).model_copy(update={"tracking": TrackingConfig(uri=uri, experiment="x")})
    with pytest.raises(ValueError, match="must begin with one of sqlite") as caught:
        Tracker(study, StudyStore(study.directory))
    assert repr(uri) in str(caught.value)


def test_a_server_that_is_down_is_one_error_that_says_what_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, store = filled(root)
    attempts: list[object] = []
    connect = connection.create_connection

    def counted(address: tuple[str, int], *others: Any, **named: Any) -> socket.socket:
        attempts.append(address)
        return connect(address, *others, **named)

    monkeypatch.setattr(connection, "create_connection", counted)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        down = study.model_copy(update={"tracking": TrackingConfig(uri=uri, experiment="x")})
        with pytest.raises(TrackingUnavailable, match=r"study sync") as caught:
            Tracker(down, store).sync()
    assert "\n" not in str(caught.value)
    assert len(attempts) == 2, "MLflow tries once more, not for minutes"
    Tracker(study, store).sync()
    assert query(root, "select count(*) from runs where name = 'study'") == [(1,)]


def test_only_one_process_writes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.tracking.tracker.LOCK_SECONDS", 0.1)
    study, store = filled(root)
    with Tracker(study, store).open(), pytest.raises(TrackingBusy, match="another process"):
        Tracker(study, store).sync()


def test_the_pareto_front_is_tagged_and_in_the_note_of_the_study_run(root: Path) -> None:
    """One configuration a front member, then a better one takes it off the front."""
    two = (Objective(), Objective(metric="val/loss", direction="minimize"))
    study = example_study(root, seeds=(0,), objectives=two)
    store = StudyStore(study.directory)

    def add(number: int, batch_size: int, accuracy: float, loss: float) -> str:
        config = study.arm("none").trial({"batch_size": batch_size}, 0)
        store.propose(Proposal("none", number, config.group_id, {"batch_size": batch_size}))
        store.trial(config.trial_id).begin(config, 0)
        store.trial(config.trial_id).finish(TrialResult("complete", {"val/accuracy": accuracy, "val/loss": loss}))
        return config.group_id

    first = add(0, 32, 0.7, 0.5)
    summary = Tracker(study, store).sync()
    assert tags(root, run_of(root, "group_id", first))["pareto_front"] == "overall"
    assert "| none | batch_size=32 | 0.7 | 0.5 | 1 | overall |" in tags(root, summary.run_id)["mlflow.note.content"]
    second = add(1, 64, 0.8, 0.4)
    summary = Tracker(study, store).sync()
    assert "pareto_front" not in tags(root, run_of(root, "group_id", first))
    assert tags(root, run_of(root, "group_id", second))["pareto_front"] == "overall"
    note = tags(root, summary.run_id)["mlflow.note.content"]
    assert "batch_size=64" in note and "batch_size=32" not in note
    before = snapshot(root)
    Tracker(study, store).sync()
    assert snapshot(root) == before
