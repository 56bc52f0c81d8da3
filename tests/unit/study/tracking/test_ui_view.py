"""The private interfaces of MLflow's UI that `study.tracking.ui_view` uses are still in the installed MLflow."""

import json
import logging
import zlib
from base64 import b64decode
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow.exceptions import MlflowException
from pydantic import JsonValue

from study.storage.store import StudyStore
from study.tracking.tags import EXPERIMENT_KIND, PRIMARY_METRIC, VIEW_PREFIX
from study.tracking.tracker import ENVIRONMENT
from study.tracking.ui_server import SERVER_ENVIRONMENT
from study.tracking.ui_view import (
    TRAINING_KIND,
    comparison_link,
    training_link,
    view_state,
    view_tags,
)
from study.tracking.writer import Writer
from tests.helpers.example_store import example_study


@pytest.fixture(scope="module")
def javascript() -> str:
    """The code of the installed UI."""
    spec = find_spec("mlflow")
    assert spec and spec.origin
    folder = Path(spec.origin).parent / "server" / "js" / "build" / "static" / "js"
    return "\n".join(path.read_text() for path in sorted(folder.rglob("*.js")))


def keys(state: JsonValue) -> Iterator[str]:
    """Every key of nested mappings."""
    if isinstance(state, dict):
        yield from state
    for value in state.values() if isinstance(state, dict) else state if isinstance(state, list) else ():
        yield from keys(value)


def test_the_ui_still_has_the_tags_and_the_state_of_its_page(tmp_path: Path, javascript: str) -> None:
    state = view_state(example_study(tmp_path), "key")
    words = [VIEW_PREFIX, EXPERIMENT_KIND, TRAINING_KIND, PRIMARY_METRIC, "deflate;", *sorted(set(keys(state)))]
    assert [word for word in words if word not in javascript] == []
    charts = {chart["type"] for chart in state["compareRunCharts"]}
    assert [kind for kind in sorted(charts) if f'"{kind}"' not in javascript] == []


def test_the_ui_still_has_the_addresses_of_the_links(javascript: str) -> None:
    for link in (training_link("1", "key"), training_link("1", "key", "CHART"), comparison_link("1", ["a", "b"])):
        fragment = urlsplit(urlsplit(link).fragment)
        assert ("/compare-runs" if "compare" in link else "/experiments/:experimentId") in javascript
        assert [name for name in parse_qs(fragment.query) if name not in javascript] == []


def test_mlflow_still_reads_the_environment_variables() -> None:
    from mlflow import environment_variables

    names = {**ENVIRONMENT, **SERVER_ENVIRONMENT}
    assert [name for name in names if not hasattr(environment_variables, name)] == []


def test_the_view_is_what_the_ui_unpacks(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    packed = view_tags(study, "key")[f"{VIEW_PREFIX}key"]
    assert json.loads(zlib.decompress(b64decode(packed.removeprefix("deflate;")))) == view_state(study, "key")


def test_a_refused_view_is_logged_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study = example_study(tmp_path)

    def refuse(*_: object) -> None:
        raise MlflowException("no such tag")

    writer = object.__new__(Writer)
    writer.study, writer.store, writer.study_key, writer.experiment_id = study, StudyStore(study.directory), "key", "1"
    writer.client = SimpleNamespace(get_experiment=lambda _: SimpleNamespace(tags={}), set_experiment_tag=refuse)
    with caplog.at_level(logging.WARNING):
        writer.prepare_page()
    assert "MLflow refused the prepared view of its UI: no such tag" in caplog.text
