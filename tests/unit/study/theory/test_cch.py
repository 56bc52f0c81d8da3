"""`study cch-theory`: the grid, its printed summary, its files and its figure."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from typer.testing import CliRunner

from study.errors import StudyError
from study.run import app
from study.theory.cch import GAMMAS, LAMBDAS, TAUS, Cell, Theory, compute, findings
from study.theory.cch_figure import cch_figure, signs
from study.theory.commands import print_cch_theory, write_cch_theory


@pytest.fixture(scope="module")
def theory() -> Theory:
    return compute(60, 4, 0.8, 200, "beta")


def cell(**changed: float) -> Cell:
    values = {"gamma": 0.6, "tau": 1.0, "lambda_kd": 0.5, "gap": 0.1, "alone": 0.2, "risk": 0.1}
    values |= {"simulated": 0.11, "standard_error": 0.005, "gain": 0.09, "gain_error": 0.005}
    return Cell(**(values | changed))


def test_the_grid(theory: Theory) -> None:
    assert len(theory.cells) == len(GAMMAS) * len(TAUS) * len(LAMBDAS)
    assert {cell.tau for cell in theory.cells} == {tau * 0.8 for tau in TAUS}
    assert theory.worst < theory.limit
    for one in theory.cells:
        assert one.predicted == (one.tau < 0.8)
        assert one.helps or not one.predicted
        assert one.alone == pytest.approx(4 / 55 * (1 + 0.64 - one.gamma**2))
        assert one.gain == pytest.approx(one.alone - one.risk, abs=6 * one.gain_error + 6 * one.standard_error)


def test_a_cell() -> None:
    assert cell().deviation == pytest.approx(2)
    assert (cell().predicted, cell().helps) == (True, True)
    assert (cell(gap=0.0).predicted, cell(risk=0.2).helps) == (False, False)


def test_the_limit_is_that_of_the_worst_of_many() -> None:
    """5% over one cell is 1.96; over 315 it is Bonferroni's 3.78."""
    assert Theory(60, 4, 0.8, 2, "beta", [cell()]).limit == pytest.approx(1.96, abs=0.001)
    assert Theory(60, 4, 0.8, 2, "beta", [cell()] * 315).limit == pytest.approx(3.776, abs=0.001)


def test_findings_count_and_judge() -> None:
    cells = [cell(), cell(risk=0.3, simulated=0.3), cell(gap=-0.1), cell(gap=-0.1, risk=0.3, simulated=0.3)]
    agrees, holds, fails = findings(Theory(60, 4, 0.8, 2, "beta", cells))
    assert "agrees with the closed form: of 4 cells 4 are within" in agrees
    assert "helps in 1 of 2 cells, so it is not sufficient" in holds
    assert "in 1 of 2 cells, so it is not necessary" in fails
    (deviates, *_) = findings(Theory(60, 4, 0.8, 2, "beta", [*cells, cell(simulated=0.2)]))
    assert "DEVIATES from" in deviates


def test_a_fitted_teacher_can_hurt_where_the_criterion_holds() -> None:
    """Its weights are shorter than beta: what it adds is a bias, which more training pairs do not remove."""
    theory = compute(2000, 4, 0.8, 1000, "fitted")
    assert theory.worst < theory.limit
    assert any(one.predicted and not one.helps for one in theory.cells)
    labels = cch_figure(theory).subfigs[1].axes[0].get_legend_handles_labels()[1]
    assert "criterion holds, distillation hurts" in labels


@pytest.mark.slow
def test_files(theory: Theory, tmp_path: Path) -> None:
    written = write_cch_theory(theory, tmp_path / "new")
    assert {path.suffix for path in written} == {".svg", ".png", ".csv"}
    rows = list(csv.DictReader((tmp_path / "new" / "cch_theory.csv").read_text().splitlines()))
    assert len(rows) == len(theory.cells)
    assert float(rows[7]["risk"]) == theory.cells[7].risk
    assert (rows[0]["predicted"], rows[0]["helps"]) == ("True", "True")


def test_the_figure_shows_both_regions_and_every_sign(theory: Theory) -> None:
    upper, lower = cch_figure(theory).subfigs
    assert [ax.get_title() for ax in upper.axes] == ["γ = 0.2", "γ = 0.6", "γ = 0.9"]
    labels = lower.axes[0].get_legend_handles_labels()[1]
    assert "criterion fails, distillation helps: not necessary" in labels
    assert "criterion holds, distillation hurts" not in labels
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in upper.axes[1].lines}
    assert lines["λ = 5"][-1] > 1 > lines["λ = 5"][0]
    bars = [patch for patch in lower.axes[1].patches if isinstance(patch, Rectangle)]
    assert sum(bar.get_height() * bar.get_width() for bar in bars) == pytest.approx(1)


def test_signs_of_simulated_gains() -> None:
    gains = [0.02, -0.02, 0.005, -0.005]
    above, below, rest = (chosen for *_, chosen in signs([cell(gain=gain) for gain in gains]))
    assert [one.gain for one in above + below + rest] == gains


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    options = ["--n", "60", "--p", "4", "--repeats", "200", "--folder", str(tmp_path / "a")]
    done = CliRunner().invoke(app, ["cch-theory", *options, "--json", str(tmp_path / "grid.json")])
    assert done.exit_code == 0, done.output
    assert "45 points of gamma and tau, 200 training sets at each, 7 lambda" in done.output
    grid = json.loads((tmp_path / "grid.json").read_text())
    assert len(grid["cells"]) == 315
    assert grid["findings"] == done.output.splitlines()[2:5]
    assert (tmp_path / "a" / "cch_theory.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("n", "p", "sigma", "repeats", "teacher", "message"),
    [
        (12, 10, 0.8, 200, "beta", "n > p \\+ 2, but got n = 12, p = 10; use a larger n or a smaller p"),
        (12, 0, 0.8, 200, "beta", "p >= 1"),
        (60, 4, 0.0, 200, "beta", "sigma, the target's noise, must be above 0"),
        (60, 4, 0.8, 199, "beta", "at least 200 repeats, but got 199"),
        (60, 4, 0.8, 200, "gamma", "--teacher must be one of beta, fitted, but got 'gamma'"),
    ],
)
def test_what_cannot_be_simulated(
    tmp_path: Path, n: int, p: int, sigma: float, repeats: int, teacher: str, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        print_cch_theory(n, p, sigma, repeats, teacher, tmp_path, None)
    assert not list(tmp_path.iterdir())
