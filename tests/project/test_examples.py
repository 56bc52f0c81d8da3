"""The examples run: on a small study with a filled store, and as they are (the one that trains)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from study.parsing.loader import load
from study.storage.store import StudyStore
from tests.helpers.example_store import fill
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"

STUDY = """\
study: small
data: {dataset: mfeat, teacher: pix, student: fou, labels: 100}
teacher: {model: mlp, hidden: [8], feature_dim: 8}
student: {model: mlp, hidden: [8], feature_dim: 8}
training: {epochs: 4}
arms:
  none: {method: none, space: {batch_size: [32, 64]}}
  kd: {method: kd, space: {temperature: [1, 2, 4, 8]}}
  ciba: {method: ciba, space: {H: [2, 4, 8]}}
search: {sampler: grid, pruner: none, trials: 4, seeds: 3}
"""

EXECUTE = """
import nbformat, sys
from nbclient import NotebookClient
notebook = nbformat.read("explore_study.ipynb", as_version=4)
nbformat.validate(notebook)
NotebookClient(notebook, timeout=None, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("text") or output.data.get("text/plain"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a study file whose store has complete, pruned and failed trials, and the examples."""
    (tmp_path / "sweep.yaml").write_text(STUDY)
    study = load(tmp_path / "sweep.yaml")
    fill(study, StudyStore(study.directory))
    (tmp_path / "examples").mkdir()
    for file in EXAMPLES.iterdir():
        if file.is_file():
            (tmp_path / "examples" / file.name).write_bytes(file.read_bytes())
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    """The output of a Python process in `folder`; it must succeed without a warning."""
    command = [sys.executable, "-W", "error::UserWarning", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_fit_one_trial(folder: Path) -> None:
    output = run(folder, "examples/fit_one_trial.py")
    accuracy = re.search(r"^test accuracy (\d\.\d+)$", output, flags=re.MULTILINE)
    assert accuracy and 0.5 < float(accuracy.group(1)) < 1
    assert output.count("validation accuracy") == 5


def test_read_results(folder: Path) -> None:
    output = run(folder, "examples/read_results.py")
    assert output.startswith(f"Study small in {folder}/studies/small\n")
    assert re.search(r"^\s*none +2 +3 +0\.7\d+ +0\.\d+ +0\.\d+ +- +-$", output, flags=re.MULTILINE)
    assert re.search(r"^  ciba: bottleneck_dim = \d+; val/accuracy = 0\.\d{4} \(n = 3\)$", output, flags=re.MULTILINE)
    assert re.search(r"^kd +complete +8\n +pruned +1\n +failed +1$", output, flags=re.MULTILINE)
    assert "1 failed trials\n" in output
    assert output.count("NonFiniteLossError: loss is nan") == 1


def test_compare_arms(folder: Path) -> None:
    assert run(folder, "examples/compare_arms.py", "sweep.yaml", "figure.png") == "figure  figure.png\n"
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_notebook(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE], cwd=folder / "examples", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"<Study 'small' in {folder}/studies/small>" in done.stdout
    assert "BestConfiguration(arm='ciba'" in done.stdout


def test_every_example_is_run_and_stored_without_outputs() -> None:
    names = {file.name for file in EXAMPLES.iterdir() if file.suffix in (".py", ".ipynb")}
    assert names == {"fit_one_trial.py", "read_results.py", "compare_arms.py", "explore_study.ipynb"}
    assert '"outputs": []' in (EXAMPLES / "explore_study.ipynb").read_text()
    assert "image/png" not in (EXAMPLES / "explore_study.ipynb").read_text()
