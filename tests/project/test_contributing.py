"""CONTRIBUTING's walk-through, walked through: the method it adds passes the contract suite and trains."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

TRAIN = """
from trainables.config import TrialConfig
from trainables.fitting import fit

config = TrialConfig.model_validate({
    "data": {"dataset": "mfeat", "train": 100, "val": 50},
    "teacher": {"model": "mlp", "feature_dim": 8}, "student": {"model": "mlp", "feature_dim": 16},
    "method": {"method": "similarity"}, "training": {"epochs": 2}, "pretraining": {"epochs": 1},
})
history = fit(config).history
assert history[1].metrics["train/loss_similarity"] < history[0].metrics["train/loss_similarity"], history
"""

STUDY = """
study: added
data: {dataset: mfeat}
teacher: {model: mlp}
student: {model: mlp}
arms:
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the method of CONTRIBUTING.md added as it says."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    module, import_line, entry = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    copy = tmp_path_factory.mktemp("copy")
    for package in ("search_spaces", "trainables", "study", "tests"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    (copy / "trainables" / "methods" / "similarity.py").write_text(module)
    table = copy / "trainables" / "methods" / "__init__.py"
    lines = table.read_text().splitlines(keepends=True)
    last_import = max(number for number, line in enumerate(lines) if line.startswith("from trainables.methods."))
    lines.insert(last_import + 1, import_line)
    lines.insert(max(number for number, line in enumerate(lines) if "MethodEntry(" in line and ":" in line) + 1, entry)
    table.write_text("".join(lines))
    yaml = STUDY + re.search(r"```yaml\narms:\n(.*?)```", text, flags=re.DOTALL).group(1)
    (copy / "sweep.yaml").write_text(yaml)
    return copy


def run(copy: Path, *arguments: str) -> str:
    """A Python process in the copy; it must succeed."""
    done = subprocess.run([sys.executable, *arguments], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_contract_suite_covers_the_added_method(extended: Path) -> None:
    output = run(extended, "-m", "pytest", "tests/unit/trainables/methods/test_methods.py", "-k", "similarity", "-q")
    passed = re.search(r"(\d+) passed", output)
    assert passed and int(passed.group(1)) >= 5, output


@pytest.mark.slow
def test_it_trains(extended: Path) -> None:
    assert run(extended, "-c", TRAIN) == "", "it trains, and says nothing"


@pytest.mark.slow
def test_the_study_file_knows_it(extended: Path) -> None:
    code = (
        "from pathlib import Path; from study.parsing.loader import load; "
        "print(load(Path('sweep.yaml')).arm('similarity').space)"
    )
    assert "lambda_kd" in run(extended, "-c", code)
