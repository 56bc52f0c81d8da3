"""The study directory: whole files or none, incomplete lines, and what is read back."""

import json
from pathlib import Path

import numpy as np
import pytest

from study.storage.store import Proposal, StudyStore
from tests.helpers.example_store import trial_config
from tests.helpers.stored_trials import stored_records
from trainables.common.atomic_files import append_json, read_lines, write_bytes, write_json
from trainables.common.results import EpochReport, TrialError, TrialResult


def test_a_trial_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    config = trial_config("kd")
    trial = StudyStore(tmp_path).trial(config.trial_id)
    assert trial.result() is None and trial.history() == [] and trial.diagnostics() == {}
    trial.begin(config, 0)
    reports = [EpochReport(n, {"val/accuracy": 0.1 * n}) for n in (1, 2, 3)]
    for report in reports:
        trial.append(report)
    error = TrialError("NonFiniteLossError", "loss is nan", 3, 17, "Traceback")
    result = TrialResult("failed", {"val/accuracy": 0.3}, 3, 0, 1.5, ("a/b",), ("c/d",), 2.0, error)
    trial.write_diagnostics({"features/train": np.arange(3.0)})
    trial.finish(result)
    record = stored_records(StudyStore(tmp_path))[0]
    assert record[:3] == (config.trial_id, config, result) and record.history == reports
    assert trial.diagnostics()["features/train"].tolist() == [0, 1, 2]
    assert [attempt["from_epoch"] for attempt in trial.attempts()] == [0]


def test_an_epoch_trained_twice_counts_once_and_the_later_line_wins(tmp_path: Path) -> None:
    trial = StudyStore(tmp_path).trial("t")
    for epoch, value in ((1, 0.1), (2, 0.2), (2, 0.25), (3, 0.3)):
        trial.append(EpochReport(epoch, {"x": value}))
    assert [(report.epoch, report.metrics["x"]) for report in trial.history()] == [(1, 0.1), (2, 0.25), (3, 0.3)]
    trial.set_history(trial.history()[:2])
    assert len(trial.history()) == 2


@pytest.mark.parametrize("torn", [b"{", b'{"epoch": 2, "metr', b"\x00\x00"])
def test_a_torn_last_line_is_ignored_and_then_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "lines.jsonl"
    append_json(path, {"epoch": 1})
    with path.open("ab") as file:
        file.write(torn)
    assert list(read_lines(path)) == [{"epoch": 1}]
    append_json(path, {"epoch": 2})
    assert list(read_lines(path)) == [{"epoch": 1}, {"epoch": 2}]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    write_bytes(path, b"2")
    assert path.read_bytes() == b"2" and list(tmp_path.iterdir()) == [path], "no temporary file is left"


def test_proposals_keep_their_order_and_types(tmp_path: Path) -> None:
    store = StudyStore(tmp_path)
    made = [
        Proposal("kd", n, f"{n:016x}", {"temperature": 1.0 + n, "batch_size": 32, "loss": "mse"}) for n in range(12)
    ]
    for proposal in reversed(made):
        store.propose(proposal)
    assert store.proposals("kd") == made and store.proposals("none") == []
    assert isinstance(store.proposals("kd")[0].params["temperature"], float)


def test_lengths_are_remembered_longest_first(tmp_path: Path) -> None:
    store = StudyStore(tmp_path)
    assert store.epoch_counts() == []
    store.record_epoch_counts({10})
    store.record_epoch_counts({30, 20})
    assert store.epoch_counts() == [30, 20, 10]
