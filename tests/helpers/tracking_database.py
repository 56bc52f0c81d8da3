"""Queries of the MLflow database for the tests of the MLflow view, and a study that is ready to be logged."""

import sqlite3
import sys
from pathlib import Path

from study.config.study_config import StudyConfig
from study.storage.store import StudyStore
from tests.helpers.example_store import example_study, fill
from tests.helpers.paths import ROOT

Rows = set[tuple[object, ...]]

SYNC = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.helpers.example_store import example_study
from study.storage.store import StudyStore
from study.tracking.tracker import Tracker
study = example_study(Path(sys.argv[2]))
print("begin", flush=True)
Tracker(study, StudyStore(study.directory)).sync()
print("end", flush=True)
"""


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
    """All rows of the database about the study, without the random ids of MLflow."""
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
        assert len(set(rows)) == len(rows), f"{table} contains a row twice"
    parents = (
        "select c.name, p.name from runs c join tags t on t.run_uuid = c.run_uuid and t.key = 'mlflow.parentRunId' "
        "join runs p on p.run_uuid = t.value"
    )
    return {table: set(rows) for table, rows in found.items()} | {"parents": set(query(root, parents))}


def sync_command(root: Path, code: str = SYNC) -> list[str]:
    return [sys.executable, "-c", code, str(ROOT), str(root)]


def count_synced(root: Path) -> int:
    try:
        return len(query(root, "select 1 from tags where key = 'synced' and value not like 'started%'"))
    except sqlite3.OperationalError:
        return 0
