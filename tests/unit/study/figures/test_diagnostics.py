"""The diagnostic figures: the numbers in their artists, and what the report picks from a store."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from search_spaces.domains import Choice
from study.analysis.study_results import study_results
from study.config.study_config import Arm, StudyConfig
from study.figures import diagnostics as draw
from study.figures.diagnostics import Box, DataCurve, SplitCurves, band, log_band
from study.figures.style import arm_styles
from study.report.figure_builders.diagnostics import (
    by_value,
    data_field,
    data_figure,
    paper_arms,
    split_figure,
)
from study.report.figure_table import FIGURES
from study.report.format.figure_files import FigureInputs, draw_figures
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from tests.helpers.example_store import example_study, fill, write_result
from trainables.common.types import EpochReport
from trainables.config import TrialConfig

STYLES = arm_styles(["none", "kd", "ciba", "mse"], "none")


def inputs(study: StudyConfig, store: StudyStore) -> FigureInputs:
    results = study_results(study, collect_groups(study, store))
    return FigureInputs(study, results, store, arm_styles([arm.name for arm in study.arms], results.baseline))


def lines(figure: Figure, panel: int) -> dict[str, list[float]]:
    """Heights of the labelled lines and error bars of a panel."""
    found = {}
    for handle, label in zip(*figure.axes[panel].get_legend_handles_labels(), strict=True):
        artist = handle[0] if isinstance(handle, tuple) else handle
        found[label] = [float(y) for y in artist.get_ydata()]
    return found


def swept_study(root: Path) -> tuple[StudyConfig, StudyStore]:
    """none and kd on mfh, kd at two overlaps; by the seed, kd gains (-1, 0, 1) and (1, 2, 3) points."""
    values = {"teacher": {"model": "mlp"}, "student": {"model": "mlp"}, "data": {"dataset": "mfh"}}
    none, kd = (TrialConfig.model_validate({**values, "method": {"method": name}}) for name in ("none", "kd"))
    arms = (
        Arm(name="none", base=none, space={}),
        Arm(name="kd", base=kd, space={"data.overlap": Choice((0, 10))}),
    )
    study = example_study(root).model_copy(update={"arms": arms})
    store = StudyStore(study.directory)
    write_result(study, store, "none", 0, {}, [(0.7, 0.70), (0.7, 0.72), (0.7, 0.71)])
    write_result(study, store, "kd", 0, {"data.overlap": 0}, [(0.7, 0.69), (0.7, 0.72), (0.7, 0.72)])
    write_result(study, store, "kd", 1, {"data.overlap": 10}, [(0.7, 0.71), (0.7, 0.74), (0.7, 0.74)])
    return study, store


def test_nothing_to_show_is_no_figure() -> None:
    assert draw.spectra_by_arm({"tap": {"kd": []}}, STYLES) is None
    assert draw.spectra_by_value({"tap": {"kd": {1.0: []}}}, "x", False) is None
    assert draw.split_losses({"kd": {}}) is None
    assert draw.data_curves({"kd": DataCurve([], [])}, {}, "x", "y", STYLES) is None
    assert draw.seed_boxes({"y": {"kd": Box([1.0], False)}}, STYLES) is None
    assert draw.dimensions(np.zeros((3, 2)), {}, STYLES) is None


def test_bands_are_mean_and_sample_deviation() -> None:
    found = band(np.array([1, 2]), np.array([[1.0, 4.0], [3.0, 4.0]]))
    assert found.mean.tolist() == [2, 4] and found.std == pytest.approx([math.sqrt(2), 0])
    assert band(np.array([1]), np.array([[5.0]])).std.tolist() == [0]
    logs = log_band([np.array([math.e, 1.0, 0.0]), np.array([1.0, 1.0, 1.0])])
    assert logs.x.tolist() == [1, 2] and logs.mean == pytest.approx([0.5, 0])


def test_spectra_by_arm_have_a_panel_for_each_matrix() -> None:
    figure = draw.spectra_by_arm(
        {"tap": {"kd": [np.array([math.e, 1.0])]}, "head": {"kd": [np.array([1.0])], "ciba": []}}, STYLES
    )
    assert [ax.get_title() for ax in figure.axes] == ["tap", "head"]
    assert lines(figure, 0) == {"kd": pytest.approx([1, 0])} and list(lines(figure, 1)) == ["kd"]


def test_spectra_by_value_mark_the_bound_of_the_rank() -> None:
    table = {"weights": {"mse": {2.0: [np.ones(4)], 4.0: [np.full(4, math.e)]}}}
    (ax,) = draw.spectra_by_value(table, "D_g", True).axes
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert list(drawn["D_g = 4"].get_ydata()) == pytest.approx([1] * 4)
    marks = [line.get_xdata()[0] for line in ax.get_lines() if len(line.get_xdata()) == 2]
    assert marks == [2.5], "at D_g = D there is no drop to mark"
    (ax,) = draw.spectra_by_value(table, "D_g", False).axes
    assert len(ax.get_lines()) == 2


def test_split_losses_have_two_panels_and_the_line_of_the_corollary() -> None:
    epochs = np.array([1, 2])
    flat = band(epochs, np.array([[4.0, 1.0]]))
    figure = draw.split_losses({"mse": {"D_g = 5": SplitCurves(flat, flat, 0.75)}})
    general, specific = lines(figure, 0), lines(figure, 1)
    assert general == {"D_g = 5": [4, 1]} and specific == {"D_g = 5": [4, 1], "Corollary 1.1": [0.75, 0.75]}
    assert figure.axes[0].get_yscale() == "log" and figure.axes[1].get_ylim()[0] == 0


def test_boxes_are_dark_with_a_bottleneck() -> None:
    figure = draw.seed_boxes({"y": {"mse": Box([1.0, 3.0], False), "ciba": Box([2.0, 4.0], True)}}, STYLES)
    light, dark = (patch.get_facecolor()[3] for patch in figure.axes[0].patches)
    assert light < dark
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["mse", "ciba"]


def test_dimensions_repeat_the_teacher_behind_each_student() -> None:
    points = {arm: np.full((3, 2), value) for value, arm in enumerate(("mse", "ciba"))}
    figure = draw.dimensions(np.full((5, 2), 9.0), points, STYLES)
    for ax, value in zip(figure.axes, (0, 1), strict=True):
        teacher, own = ax.collections
        assert teacher.get_offsets().tolist() == [[9, 9]] * 5 and own.get_offsets().tolist() == [[value, value]] * 3


def test_the_gain_over_the_baseline_is_paired_by_seed_and_plotted_as_the_paper_does(tmp_path: Path) -> None:
    found = inputs(*swept_study(tmp_path))
    assert data_field(found.study.arms) == "data.overlap"
    assert list(by_value(found.results.arm("kd"), "data.overlap")) == [0, 10]
    figure = data_figure(found)
    assert lines(figure, 0) == {"none (mean)": pytest.approx([71, 71]), "kd": pytest.approx([71, 73])}
    assert lines(figure, 1)["kd"] == pytest.approx([0, 2])
    (bars,) = figure.axes[1].containers
    assert bars[0].get_xdata().tolist() == [0, 1], "gamma of overlap 0 and 10"
    half = [(high - low) / 2 for (_, low), (_, high) in bars[2][0].get_segments()]
    assert half == pytest.approx([100 * 4.302653 * 0.01 / 3**0.5] * 2, rel=1e-5)


def test_a_baseline_that_sweeps_the_field_is_compared_at_equal_values(tmp_path: Path) -> None:
    study, store = swept_study(tmp_path)
    arms = tuple(arm.model_copy(update={"space": {"data.overlap": Choice((0, 10))}}) for arm in study.arms)
    study = study.model_copy(update={"arms": arms, "report": study.report.model_copy(update={"baseline": "kd"})})
    found = inputs(study, store)
    gains = {x: y for x, y in zip((0, 1), lines(data_figure(found), 0)["kd"], strict=True)}
    assert gains == pytest.approx({0: 71, 1: 73})


def test_split_losses_come_from_the_history(tmp_path: Path) -> None:
    study, store = swept_study(tmp_path)
    for group in collect_groups(study, store):
        if group.arm == "kd":
            for trial in group.trials:
                for epoch in (1, 2):
                    values = {"train/fd_general": 1 / epoch, "train/fd_specific": trial.config.seed + 1.0}
                    store.trial(trial.trial_id).append(EpochReport(epoch, values))
                store.trial(trial.trial_id).write_diagnostics({"split/limit": np.array([trial.config.seed + 0.5])})
    figure = split_figure(inputs(study, store))
    assert lines(figure, 0)["overlap = 0"] == [1, 0.5]
    assert lines(figure, 1)["overlap = 10"] == [2, 2] and lines(figure, 1)["Corollary 1.1"] == [1.5, 1.5]


@pytest.mark.slow
def test_the_example_has_the_figures_of_any_study(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    store = StudyStore(study.directory)
    fill(study, store)
    found = inputs(study, store)
    names = {"data_curve", "value_spectra", "split_loss", "weight_spectra", "seed_boxes", "dimensions"}
    drawn = draw_figures(study, found.results, store, [entry for entry in FIGURES if entry.name in names])
    assert {figure.name for figure in drawn} == {"weight_spectra", "seed_boxes", "dimensions"}
    assert [row.arm for row in paper_arms(found)] == ["none", "ciba"], "kd compares no features"
    again = draw_figures(study, found.results, store, [entry for entry in FIGURES if entry.name == "dimensions"])
    assert again[0].png == drawn[-1].png
