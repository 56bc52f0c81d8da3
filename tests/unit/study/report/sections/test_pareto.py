"""The Pareto front of a filled store with two objectives: table, figure, report, terminal."""

import csv
from pathlib import Path

import pytest
from rich.console import Console

from study.analysis.study_results import StudyResults, study_results
from study.config.study_config import Objective, StudyConfig
from study.figures.style import arm_styles
from study.report.figure_builders.pareto import front_figure
from study.report.format.document import Items, Table
from study.report.format.figure_files import FigureInputs
from study.report.sections.pareto import pareto_blocks
from study.report.terminal import result_tables
from study.report.write import write_report
from study.storage.groups import collect_groups
from study.storage.store import Proposal, StudyStore
from tests.helpers.example_store import example_study
from trainables.common.types import EpochReport, TrialResult

TWO = (Objective(), Objective(metric="val/ece", direction="minimize"))

POINTS = {
    ("none", 32): [(0.60, 0.10), (0.62, 0.12)],  # on the front of its arm and over all arms: the least error
    ("none", 64): [(0.50, 0.20), (0.52, 0.22)],  # dominated by its neighbour
    ("kd", 32): [(0.70, 0.30), (0.72, 0.32)],  # on the front of kd alone: ciba 4 dominates it
    ("ciba", 2): [(0.65, 0.18), (0.67, 0.20)],  # between the two others of the front
    ("ciba", 4): [(0.80, 0.24), (0.82, 0.26)],  # the best of the first objective
    ("ciba", 8): [(0.79, 0.30), (0.81, 0.32)],  # dominated by ciba 4
}


@pytest.fixture
def filled(tmp_path: Path) -> tuple[StudyConfig, StudyStore, StudyResults]:
    study = example_study(tmp_path, seeds=(0, 1), objectives=TWO)
    store = StudyStore(study.directory)
    for number, ((arm, value), pairs) in enumerate(POINTS.items()):
        params = {
            "none": {"batch_size": value},
            "kd": {"lambda_kd": 0.5, "temperature": 2.0, "batch_size": value},
            "ciba": {"bottleneck_dim": value, "batch_size": 32},
        }[arm]
        configs = [study.arm(arm).trial(params, seed) for seed in study.search.seeds]
        store.propose(Proposal(arm, number, configs[0].group_id, params))
        for config, (accuracy, error) in zip(configs, pairs, strict=True):
            trial = store.trial(config.trial_id)
            trial.begin(config, 0)
            trial.append(EpochReport(1, {"val/accuracy": accuracy, "val/ece": error}))
            metrics = {"val/accuracy": accuracy, "val/ece": error, "test/accuracy": accuracy - 0.01}
            trial.finish(TrialResult("complete", metrics, 1, 1, 1.0))
    return study, store, study_results(study, collect_groups(study, store))


def test_the_table_has_the_front_of_each_arm(filled: tuple[StudyConfig, StudyStore, StudyResults]) -> None:
    study, _, results = filled
    _, items, table = pareto_blocks(study, results)
    assert isinstance(items, Items) and isinstance(table, Table)
    assert table.header == (
        *("arm", "group", "hyperparameters"),
        *("validation accuracy (%) (maximize)", "validation ece (minimize)", "n", "over all arms"),
    )
    found = [(row[0], row[2], row[3], row[4], row[-1]) for row in table.rows]
    assert found == [
        ("`none`", "batch_size = 32", "61.00 ± 1.41", "0.1100 ± 0.0141", "yes"),
        ("`kd`", "lambda_kd = 0.5, temperature = 2, batch_size = 32", "71.00 ± 1.41", "0.3100 ± 0.0141", "no"),
        ("`ciba`", "bottleneck_dim = 2, batch_size = 32", "66.00 ± 1.41", "0.1900 ± 0.0141", "yes"),
        ("`ciba`", "bottleneck_dim = 4, batch_size = 32", "81.00 ± 1.41", "0.2500 ± 0.0141", "yes"),
    ]
    assert table.strong == (0, 2, 3)
    assert items.items[0] == (
        "3 of 6 complete configurations are on the front over all arms: `none` 1, `kd` 0, `ciba` 2."
    )
    assert "first objective, validation accuracy, alone" in items.items[-1]


def test_the_figure_rings_the_front_over_all_arms(filled: tuple[StudyConfig, StudyStore, StudyResults]) -> None:
    study, store, results = filled
    figure = front_figure(FigureInputs(study, results, store, arm_styles(["none", "kd", "ciba"], "none")))
    (ax,) = figure.axes
    assert ax.get_xlabel() == "validation accuracy (%), higher is better"
    assert ax.get_ylabel() == "validation ece, lower is better"
    (front,) = ax.lines
    assert front.get_xdata() == pytest.approx([61, 66, 81])
    assert front.get_ydata() == pytest.approx([0.11, 0.19, 0.25])
    assert front.get_drawstyle() == "steps-pre"
    assert {label for label in ax.get_legend_handles_labels()[1]} == {"none", "kd", "ciba", "front over all arms"}


@pytest.mark.slow
def test_report_and_terminal_show_the_front(filled: tuple[StudyConfig, StudyStore, StudyResults]) -> None:
    study, store, _ = filled
    path = write_report(study, store)
    text = (path.parent / "report.md").read_text()
    assert "## Pareto front of the objectives" in text
    assert text.index("figures/pareto.png") < text.index("## How to read the numbers")
    rows = list(csv.DictReader((path.parent / "tables" / "pareto.csv").read_text().splitlines()))
    assert [(row["arm"], row["over_all_arms"]) for row in rows] == [
        ("none", "yes"),
        ("kd", ""),
        ("ciba", "yes"),
        ("ciba", "yes"),
    ]
    assert float(rows[0]["val/ece mean"]) == pytest.approx(0.11)
    console = Console(width=180, record=True)
    console.print(result_tables(study, store))
    shown = console.export_text()
    assert "by validation accuracy, the first objective" in shown
    assert "Pareto front of each arm" in shown
    assert shown.count("0.2500 ± 0.0141") == 1


def test_one_objective_has_no_front(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    assert pareto_blocks(study, study_results(study, [])) == []
    two = example_study(tmp_path, objectives=TWO)
    _, items = pareto_blocks(two, study_results(two, []))
    assert isinstance(items, Items) and items.items[0].startswith("No configuration is complete yet")
