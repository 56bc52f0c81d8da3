"""A store written by the previous version is resumed and reported by this one.

`previous_version/store.tar.gz` contains the study directory of commit 072baed after a kill -9 after 15 trials, without
logs and with one of the checkpoints. `outcome.json` and `arms.csv` are the results of that commit when it resumed.
"""

import csv
import json
import math
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).with_name("previous_version")
FINISHED = 15
"""Trials that the previous version had finished."""


def contents(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """The study directory after this version went on with it, and the files of the trials that were finished before."""
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(FOLDER / "store.tar.gz") as archive:
        archive.extractall(folder / "studies", filter="data")
    (folder / "studies" / "small.yaml").rename(folder / "small.yaml")
    directory = folder / "studies" / "small"
    before = contents(directory / "trials")
    command = [sys.executable, "-m", "study.run", "small.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory, before


def test_what_was_finished_is_not_touched(resumed: tuple[Path, dict[str, bytes]]) -> None:
    directory, before = resumed
    after = contents(directory / "trials")
    assert sum(name.endswith("result.json") for name in before) == FINISHED
    assert {name: after[name] for name in before} == before


def test_the_rest_ends_as_the_previous_version_would_have_ended_it(resumed: tuple[Path, dict[str, bytes]]) -> None:
    directory, _ = resumed
    outcome = json.loads((FOLDER / "outcome.json").read_text())
    found = {path.parent.name: json.loads(path.read_text()) for path in directory.glob("trials/*/result.json")}
    assert found.keys() == outcome.keys()
    for trial_id, known in outcome.items():
        result = found[trial_id]
        assert (result["status"], result["epochs"]) == (known["status"], known["epochs"])
        assert result["metrics"].keys() == known["metrics"].keys()
        for name, value in known["metrics"].items():
            assert math.isclose(result["metrics"][name], value, rel_tol=1e-4, abs_tol=1e-5), (trial_id, name)


def test_the_report_has_the_same_table(resumed: tuple[Path, dict[str, bytes]]) -> None:
    directory, _ = resumed
    found, known = table(directory / "report" / "tables" / "arms.csv"), table(FOLDER / "arms.csv")
    assert [row["arm"] for row in found] == [row["arm"] for row in known]
    for one, other in zip(found, known, strict=True):
        for column, value in other.items():
            try:
                assert math.isclose(float(one[column]), float(value), rel_tol=1e-4, abs_tol=1e-6), column
            except ValueError:
                assert one[column] == value, column
