"""Databases for the tests of the MLflow view.

The project's packages are imported inside fixtures only, as in the other `conftest.py`.
"""

import shutil
import sqlite3
import warnings
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow needs seconds to set up a new database, so the tests start from copies of one."""
    from study.storage.store import StudyStore
    from study.tracking.tracker import Tracker
    from tests.helpers.example_store import example_study

    root = tmp_path_factory.mktemp("empty")
    study = example_study(root)
    with warnings.catch_warnings(action="ignore"), Tracker(study, StudyStore(study.directory)).open():
        pass
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute("delete from experiments where name = 'example'")
    database.close()
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path: Path, empty_database: Path) -> Path:
    """A folder with a database in it, for a study's results."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path
