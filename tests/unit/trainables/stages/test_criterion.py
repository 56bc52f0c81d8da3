"""The criterion on Gaussians of known information, its intervals, and its place among the stages."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.mi import ESTIMATORS
from trainables.mi.base import IntervalConfig
from trainables.stages.artifacts import StageStore
from trainables.stages.criterion import Criterion, CriterionSettings, criterion_stage, estimate_criterion, has_classes
from trainables.stages.estimator_error import read_self_test, self_test_stage

SETTINGS = {
    name: CriterionSettings(mi=ESTIMATORS[name].config(interval=IntervalConfig(subsamples=0)))
    for name in ("ksg", "gaussian")
}


def scalars(rows: int, tau: float, sigma: float, gamma: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Predictions t and s and the target y of the joint Gaussian model: s = u, t = u + tau n, y = u + sigma e, seen
    through gamma, so that ρ(t, s) = γ / sqrt(1 + τ²) and ρ(s, y) = γ / sqrt(1 + σ²).
    """
    u, v, n, e = torch.randn(4, rows, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    student = gamma * u + math.sqrt(1 - gamma**2) * v
    return (u + tau * n)[:, None], student[:, None], u + sigma * e


def information(correlation: float) -> float:
    return -0.5 * math.log(1 - correlation**2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ksg", "gaussian"])
@pytest.mark.parametrize(("tau", "sigma"), [(0.2, 1.0), (1.0, 0.2)])
def test_the_gap_of_gaussians_is_the_closed_form(name: str, tau: float, sigma: float) -> None:
    """The criterion is met iff τ < σ; the interval lies on that side of 0 and within three errors of the truth."""
    gamma = 0.9
    h1, h2, y = scalars(1500, tau, sigma, gamma, seed=3)
    found = estimate_criterion(h1, h2, y, False, SETTINGS[name], seed=0)
    shared, labels = (information(gamma / math.sqrt(1 + noise**2)) for noise in (tau, sigma))
    assert found.shared == pytest.approx(shared, abs=3.5 * found.shared_error + 0.02)
    assert found.labels == pytest.approx(labels, abs=3.5 * found.labels_error + 0.02)
    assert found.gap == pytest.approx(found.shared - found.labels, abs=1e-12)
    assert (found.gap > 0) == (tau < sigma) and abs(found.gap) > 3 * found.gap_error


@pytest.mark.slow
def test_the_gaps_error_is_its_own_and_that_of_repeated_draws() -> None:
    """Terms that share h2 vary together: the error of their difference is what 40 fresh samples show, and less than
    that of two independent terms.
    """
    settings = SETTINGS["gaussian"].model_copy(update={"subsamples": 40})
    draws = [estimate_criterion(*scalars(300, 0.4, 0.4, 0.9, seed), False, settings, seed=seed) for seed in range(40)]
    spread = torch.tensor([one.gap for one in draws]).std().item()
    errors = torch.tensor([one.gap_error for one in draws]).mean().item()
    assert errors == pytest.approx(spread, rel=0.3)
    apart = torch.tensor([math.hypot(one.shared_error, one.labels_error) for one in draws]).mean().item()
    assert errors < 0.95 * apart


def test_classes_are_told_by_the_task() -> None:
    assert has_classes("classification") and not has_classes("regression") and not has_classes("sentiment")
    with pytest.raises(ValueError, match=r"I\(H2;Y\) needs a class or numbers for each pair, but the labels of multi"):
        has_classes("multilabel")


@pytest.mark.parametrize("tau", [0.0, 1.6])
def test_numbers_have_the_closed_form_of_the_joint_gaussian_model(tmp_path: Path, tau: float) -> None:
    """I = -1/2 ln(1 - rho^2) of two predictions, and of a prediction and y; the gap is positive where tau < sigma."""
    from trainables.theory.joint_gaussian import criterion

    training = {"epochs": 150, "optimizer": "adam", "lr": 0.03, "weight_decay": 0, "batch_size": 2000}
    training |= {"select": "last", "monitor": "val/mse"}
    data = {"dataset": "joint_gaussian", "p": 3, "gamma": 0.9, "tau": tau, "train": 2000, "val": 4000, "test": 10}
    linear = {"model": "linear"}
    networks = {"teacher": linear, "student": linear, "training": training, "pretraining": training}
    config = TrialConfig.model_validate({"data": data, "method": {"method": "regression_kd"}, "seed": 0, **networks})
    settings = SETTINGS["gaussian"].model_copy(update={"subsamples": 2})
    found = StageStore(tmp_path).get(criterion_stage(config, settings)).arrays["values"]
    exact = criterion(*(torch.tensor(value, dtype=torch.float64) for value in (0.9, tau, 0.8)))
    assert found.tolist() == pytest.approx([float(exact[0]), float(exact[1]), float(exact[0] - exact[1])], abs=0.06)
    assert (found[2] > 0) == (tau < 0.8)


def trial(seed: int = 0, **changes: object) -> TrialConfig:
    base = {
        "data": {"dataset": "mfeat", "train": 60, "val": 100},
        "teacher": {"model": "mlp", "hidden": [8], "feature_dim": 8},
        "student": {"model": "mlp", "hidden": [8], "feature_dim": 8},
        "method": {"method": "kd"},
        "training": {"epochs": 1},
        "pretraining": {"epochs": 1},
        "seed": seed,
    }
    return TrialConfig.model_validate({**base, **changes})


def test_methods_share_an_estimate_and_other_settings_do_not() -> None:
    one = criterion_stage(trial(), SETTINGS["ksg"])
    same = [
        trial(method={"method": "kd", "temperature": 4.0}),
        trial(method={"method": "feature_kd"}),
        trial(training={"epochs": 2}),
    ]
    assert {criterion_stage(config, SETTINGS["ksg"]).key for config in same} == {one.key}
    others = [
        criterion_stage(trial(seed=1), SETTINGS["ksg"]),
        criterion_stage(trial(data={"dataset": "mfeat", "train": 60, "val": 100, "teacher": "mor"}), SETTINGS["ksg"]),
        criterion_stage(trial(), SETTINGS["gaussian"]),
        criterion_stage(trial(), SETTINGS["ksg"].model_copy(update={"representation": "logits"})),
    ]
    assert len({one.key, *(other.key for other in others)}) == 5


def test_an_estimate_is_computed_once_from_the_held_out_rows(tmp_path: Path) -> None:
    stages, stage = StageStore(tmp_path), criterion_stage(trial(), SETTINGS["ksg"])
    assert isinstance(stage, Criterion)
    first = stages.get(stage)
    assert any(name.startswith("criterion/") for name in stages.pop_usage().computed)
    again = stages.get(criterion_stage(trial(method={"method": "feature_kd"}), SETTINGS["ksg"]))
    assert stages.pop_usage().computed == ()
    assert torch.equal(first.arrays["values"], again.arrays["values"])
    assert first.notes["rows"] == 100 and first.notes["classes"] == 10
    features = [stages.get(outputs).arrays["val/features"] for outputs in (stage.teacher, stage.student)]
    labels = stages.get(stage.student.unimodal.prepared).arrays["val/labels"]
    from trainables.common.distributed import derive_seed

    expected = estimate_criterion(*features, labels, True, SETTINGS["ksg"], derive_seed(0, "criterion"))
    assert first.arrays["values"].tolist() == [expected.shared, expected.labels, expected.gap]


def test_the_estimators_own_error_is_a_stage_of_rows_and_widths(tmp_path: Path) -> None:
    """A neighbour estimate in 6 + 6 dimensions is far too low for 2 nats, and right for independent columns."""
    mi = SETTINGS["ksg"].mi.model_copy(update={"pca": 6})
    test = self_test_stage(mi, 200, (128, 6), 0, 2)
    assert (test.dim_x, test.dim_y, test.classes) == (6, 6, 0)
    assert test.key == self_test_stage(mi.model_copy(update={"interval": IntervalConfig()}), 200, (6, 64), 0, 2).key
    assert test.key != self_test_stage(mi, 200, (128, 1), 10, 2).key
    found = read_self_test(StageStore(tmp_path).get(test))
    assert [row.true for row in found.rows] == [0.0, 0.5, 1.0, 2.0] and {row.repeats for row in found.rows} == {2}
    assert abs(found.rows[0].bias) < 0.15 and found.rows[-1].bias < -0.4
    assert found.at(found.rows[-1].mean)[0] == pytest.approx(found.rows[-1].bias)
