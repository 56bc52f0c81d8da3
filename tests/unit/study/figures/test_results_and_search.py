"""What the figures draw is checked in their artists: the numbers, not the pixels."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from search_spaces.domains import Choice, Domain, FloatRange, IntRange
from study.analysis.study_results import study_results
from study.figures import arm_results, hyperparameter_search
from study.figures.bottleneck_curve import Curve, bottleneck_curve
from study.figures.hyperparameter_search import Outcome, Sweep
from study.figures.style import Point, arm_styles, best_part, canvas, render, share_legend
from study.report.figure_builders.points import bottleneck_points, is_numeric
from study.report.figure_builders.results_and_search import h_curve, log_base, spread
from study.report.figure_table import FIGURES
from study.report.format.figure_files import FigureInputs, draw_figures
from study.search.importance import LEAST_GROUPS, importance, ped_anova
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from tests.helpers.example_store import example_study, fill, write_result

STYLES = arm_styles(["none", "kd", "ciba"], "none")


def line(figure: Figure, label: str) -> tuple[list[float], list[float]]:
    """Coordinates of the line (or error bar) called `label` in the first panel that has it."""
    for ax in figure.axes:
        handles, labels = ax.get_legend_handles_labels()
        for handle, name in zip(handles, labels, strict=True):
            if name.startswith(label):
                found = handle[0] if isinstance(handle, tuple) else handle
                return [float(x) for x in found.get_xdata()], [float(y) for y in found.get_ydata()]
    raise AssertionError(f"no line called {label!r}")


def test_arms_are_told_apart_and_keep_their_look() -> None:
    styles = arm_styles(["a", "base", "b"], "base")
    assert len(set(styles.values())) == 3
    assert styles["b"] == arm_styles(["base", "a", "b", "c"], "base")["b"], "an arm more does not recolour the others"


@pytest.mark.parametrize("form", ["svg", "png"])
def test_equal_figures_are_equal_files(form: str) -> None:
    made = [render(arm_results.seed_spread({"none": {0: 0.1, 1: 0.3}}, "y", STYLES), form) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0].startswith(b"<?xml" if form == "svg" else b"\x89PNG")


def test_nothing_to_show_is_no_figure() -> None:
    assert bottleneck_curve({"y": {"ciba": Curve([], [])}}, {"y": {}}, STYLES, {}) is None
    assert hyperparameter_search.sweep_panels([], "y", "maximize", STYLES) is None
    assert arm_results.spectra({"kd": []}, STYLES) is None
    assert hyperparameter_search.optimisation_history({"kd": []}, "y", "maximize", STYLES) is None
    assert arm_results.seed_spread({"kd": {}}, "y", STYLES) is None
    assert arm_results.learning_curves({"kd": []}, "y", STYLES) is None
    assert hyperparameter_search.importance_bars({"kd": {"only": 1.0}}, STYLES) is None


def test_many_arms_have_a_look_of_their_own_and_room_for_their_names() -> None:
    names = [f"a_rather_long_name_{number}" for number in range(17)]
    styles = arm_styles(names, names[0])
    assert len(set(styles.values())) == 17
    curves = {name: [{1: 0.0, 2: float(number)}] for number, name in enumerate(names)}
    figure = arm_results.learning_curves(curves, "y", styles)
    assert not figure.axes[0].get_legend() and len(figure.legends[0].get_texts()) == 17


def test_more_than_four_curves_over_h_get_a_panel_each() -> None:
    names = ["none", "plain", *"abcde"]
    curve = Curve([Point(2, 1.0, 0.1), Point(4, 2.0, 0.1)], [(2, 1.0), (4, 2.0)])
    panels = {label: {name: curve for name in names[2:]} for label in ("validation", "test")}
    bands = {label: {"none": Point(0, 0.5, None), "plain": Point(0, 1.5, None)} for label in panels}
    styles = arm_styles(names, "none")
    figure = bottleneck_curve(panels, bands, styles, {"a": ("none", "plain"), "b": ("none",)})
    assert [ax.get_ylabel() for ax in figure.axes] == ["test"] * 5
    labels = [ax.get_legend_handles_labels()[1] for ax in figure.axes[:2]]
    assert labels == [
        ["none (no H)", "plain (no H)", "a, best at each H"],
        ["none (no H)", "b, best at each H"],
    ]
    few = {label: {name: curves[name] for name in "ab"} for label, curves in panels.items()}
    assert [ax.get_ylabel() for ax in bottleneck_curve(few, bands, styles, {}).axes] == ["validation", "test"]


def test_spectra_average_logarithms_over_seeds_and_stop_at_zero() -> None:
    arrays = [np.array([4.0, 1.0, 0.0], dtype=np.float32), np.array([1.0, 1.0, 1.0], dtype=np.float32)]
    figure = arm_results.spectra({"kd": arrays}, STYLES)
    xs, ys = line(figure, "kd")
    assert xs == [1, 2]
    assert ys == pytest.approx([math.log(2), 0])
    shares = math.exp(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))
    assert line(figure, f"kd (effective rank {(shares + 3) / 2:.1f})")


def test_spectra_of_a_collapsed_student_do_not_break() -> None:
    figure = arm_results.spectra({"kd": [np.zeros(4, dtype=np.float32)]}, STYLES)
    assert line(figure, "kd (effective rank 0.0)") == ([], [])
    assert render(figure, "png")


def test_history_follows_the_best_complete_one() -> None:
    outcomes = [
        Outcome(0, 70.0, "complete"),
        Outcome(1, 90.0, "pruned"),
        Outcome(2, 60.0, "complete"),
        Outcome(3, None, "failed"),
        Outcome(4, 80.0, "complete"),
    ]
    up = hyperparameter_search.optimisation_history({"kd": outcomes}, "y", "maximize", STYLES)
    assert line(up, "best so far") == ([0, 2, 4], [70, 70, 80])
    down = hyperparameter_search.optimisation_history({"kd": outcomes}, "y", "minimize", STYLES)
    assert line(down, "best so far") == ([0, 2, 4], [70, 60, 60])
    assert (
        hyperparameter_search.optimisation_history({"kd": [Outcome(0, None, "failed")]}, "y", "maximize", STYLES)
        is not None
    )


def test_learning_curves_show_the_epochs_that_all_seeds_reached() -> None:
    figure = arm_results.learning_curves({"kd": [{1: 1.0, 2: 2.0, 3: 9.0}, {1: 3.0, 2: 4.0}]}, "y", STYLES)
    assert line(figure, "kd") == ([1, 2], [2, 3])


def test_far_points_are_counted_not_drawn_into_the_scale() -> None:
    points = [(float(x), 70.0 + x / 10) for x in range(8)] + [(9.0, 10.0)]
    figure = hyperparameter_search.sweep_panels([Sweep("x", 0, {"kd": points})], "y", "maximize", STYLES)
    low, high = figure.axes[0].get_ylim()
    assert 68 < low < 70 and 70.7 < high < 72
    assert any("1 below the axis" in text.get_text() for text in figure.axes[0].texts)


def test_best_part() -> None:
    assert best_part([1.0, 2.0, 3.0, 4.0], "maximize") == [4.0, 3.0, 2.0]
    assert best_part([1.0, 2.0, 3.0, 4.0], "minimize") == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("domain", "numeric", "base"),
    [
        (Choice((2, 4, 8)), True, 2),
        (Choice((32, 64)), True, 2),
        (Choice((10, 20, 30)), True, 0),
        (Choice((0.001, 0.01)), True, 10),
        (Choice((0.0, 1.0)), True, 0),
        (FloatRange(0.1, 0.9), True, 0),
        (FloatRange(0.1, 0.9, log=True), True, 10),
        (IntRange(1, 9), True, 0),
        (Choice(("mse", "ce")), False, 0),
        (Choice((True, False)), False, 0),
    ],
)
def test_axes_of_domains(domain: Domain, numeric: bool, base: int) -> None:
    assert is_numeric(domain) is numeric
    if numeric:
        assert log_base(domain) == base


def inputs(root: Path, full: bool = False) -> FigureInputs:
    study = example_study(root)
    store = StudyStore(study.directory)
    if full:
        fill(study, store)
    write_result(study, store, "ciba", 90, {"bottleneck_dim": 2, "batch_size": 64}, [(0.60, 0.50)] * 3)
    write_result(
        study, store, "ciba", 91, {"bottleneck_dim": 4, "batch_size": 64}, [(0.70, 0.55), (0.72, 0.6), (0.74, 0.65)]
    )
    write_result(study, store, "none", 92, {"batch_size": 64}, [(0.65, 0.61), (0.65, 0.62), (0.65, 0.63)])
    if not full:
        write_result(study, store, "ciba", 93, {"bottleneck_dim": 4, "batch_size": 32}, [(0.50, 0.9)] * 3)
    results = study_results(study, collect_groups(study, store))
    return FigureInputs(study, results, store, arm_styles([arm.name for arm in study.arms], "none"))


@pytest.mark.slow
def test_h_curve_picks_by_validation_and_shows_test(tmp_path: Path) -> None:
    """At H = 4 the other group is better on test; the curve must show the one that validation chose."""
    made = inputs(tmp_path)
    curve = bottleneck_points(made.results.arm("ciba").groups, "test/accuracy", made.results)
    assert curve.best == [Point(2, pytest.approx(50), 0.0), Point(4, pytest.approx(60), pytest.approx(5))]
    assert sorted(curve.groups) == [(2, pytest.approx(50)), (4, pytest.approx(60)), (4, pytest.approx(90))]
    figure = h_curve(made)
    assert [ax.get_ylabel() for ax in figure.axes] == ["validation accuracy (%)", "test accuracy (%)"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"bottleneck dimension H"}
    assert line(figure, "ciba")[1] == pytest.approx([60, 72])
    assert line(figure, "none (no H)")[1] == pytest.approx([65, 65])


def test_seed_spread_shows_the_chosen_group(tmp_path: Path) -> None:
    made = inputs(tmp_path)
    figure = spread(made)
    points = [found for found in figure.axes[0].collections if isinstance(found, PathCollection)]
    shown = sorted(float(y) for found in points for y in np.asarray(found.get_offsets())[:, 1])
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["none\nn = 3", "ciba\nn = 3"]
    assert shown == pytest.approx([55, 60, 61, 62, 63, 65])


@pytest.mark.slow
def test_every_figure_of_a_filled_study(tmp_path: Path) -> None:
    made = inputs(tmp_path, full=True)
    drawn = draw_figures(made.study, made.results, made.store, FIGURES)
    names = {"h_curve", "spectra", "seed_spread", "learning_curves", "history", "sweeps"}
    assert {figure.name for figure in drawn} == names | {"weight_spectra", "seed_boxes", "dimensions"}, (
        "too few configurations for importance"
    )
    assert all(figure.svg.startswith(b"<?xml") and figure.png.startswith(b"\x89PNG") for figure in drawn)


def test_importance_finds_the_parameter_that_matters() -> None:
    space: dict[str, Domain] = {
        "matters": FloatRange(0.0, 1.0),
        "stepped": FloatRange(0.1, 1.1, step=0.1),
        "choice": Choice((2, 4, 8)),
    }
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(30):
        params = {
            "matters": float(rng.uniform()),
            "stepped": float(rng.choice(space["stepped"].grid())),
            "choice": int(rng.choice([2, 4, 8])),
        }
        rows.append((params, abs(params["matters"] - 0.2)))
    found = ped_anova(space, rows)
    assert next(iter(found)) == "matters"
    assert found["matters"] > 0.6
    assert sum(found.values()) == pytest.approx(1)
    assert ped_anova(space, rows) == found


def test_importance_of_a_study(tmp_path: Path) -> None:
    """kd's accuracy rises with lambda_kd alone; the others have too few configurations."""
    study = example_study(tmp_path, trials=20)
    store = StudyStore(study.directory)
    rng = np.random.default_rng(1)
    for number in range(20):
        weight = 0.1 + 0.8 * number / 19
        params = {"lambda_kd": weight, "temperature": float(rng.uniform(1, 8)), "batch_size": int(rng.choice([32, 64]))}
        write_result(study, store, "kd", number, params, [(weight, weight)] * 3)
    for number in range(LEAST_GROUPS - 1):
        params = {"bottleneck_dim": 2 ** (number % 5 + 1), "batch_size": 32}
        write_result(study, store, "ciba", number, params, [(0.1 * number, 0.5)] * 3)
    found = importance(study, collect_groups(study, store))
    assert list(found) == ["kd"]
    assert next(iter(found["kd"])) == "lambda_kd"


@pytest.mark.parametrize(
    "names", [("a", "b"), ("none (no H)", "feature_kd (no H)", "ciba, best at each H", "kd (no H)")]
)
def test_a_shared_legend_fits_the_figure(names: tuple[str, ...]) -> None:
    figure, axes = canvas(1, 2.3, columns=1)
    for name in names:
        axes[0].plot([0, 1], label=name)
    share_legend(figure, axes[0])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(names)
    assert legend.get_window_extent().width <= figure.bbox.width
    assert figure.get_figheight() == pytest.approx(2.3 + legend.get_window_extent().height / figure.dpi, rel=0.01)
