"""Trials on numbers: the trained student is the least-squares solution, and its risk that of the closed form."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy import ndarray

from trainables.common.types import Batch
from trainables.config import TrialConfig
from trainables.data.synthetic.joint_gaussian import JointGaussianConfig, load
from trainables.fitting import fit
from trainables.theory.joint_gaussian import excess_risk, fitted_scale, moments

P, TRAIN = 8, 64
DATA = {"dataset": "joint_gaussian", "p": P, "train": TRAIN, "val": 20, "test": 500, "tau": 0.5}
RECIPE = {
    **{"epochs": 400, "optimizer": "adam", "lr": 0.05, "weight_decay": 0, "batch_size": TRAIN, "schedule": "cosine"},
    **{"select": "last", "precision": "float64", "monitor": "val/mse"},
}
FUSED = {"model": "fusion", "feature_dim": 4}
FUSED |= {side: {"model": "mlp", "hidden": [], "feature_dim": 4} for side in ("teacher_encoder", "student_encoder")}


def trial(method: dict[str, Any], **changes: Any) -> TrialConfig:
    whole = {"teacher": {"model": "linear"}, "student": {"model": "linear"}, "training": RECIPE, "pretraining": RECIPE}
    return TrialConfig.model_validate({"data": DATA, **whole, "method": method, **changes})


def affine(inputs: torch.Tensor) -> ndarray:
    return np.column_stack([inputs.double().numpy(), np.ones(len(inputs))])


def least_squares(split: Batch, lambda_kd: float, taught: Batch | None = None) -> ndarray:
    """The student that fits (y + lambda t) / (1 + lambda), with the teacher that fits y on the rows of `taught`."""
    target = split.labels[:, 0].double().numpy()
    rows = taught or split
    teacher = np.linalg.lstsq(affine(rows.teacher), rows.labels[:, 0].double().numpy(), rcond=None)[0]
    mixed = (target + lambda_kd * affine(split.teacher) @ teacher) / (1 + lambda_kd)
    return np.linalg.lstsq(affine(split.student), mixed, rcond=None)[0]


@pytest.mark.slow
@pytest.mark.parametrize("lambda_kd", [0.0, 0.5, 4.0])
def test_a_trained_linear_student_is_the_least_squares_solution(lambda_kd: float) -> None:
    method = {"method": "regression_kd", "lambda_kd": lambda_kd} if lambda_kd else {"method": "none"}
    metrics = fit(trial(method)).result.metrics
    data = load(JointGaussianConfig.model_validate(DATA))
    weights = least_squares(data.train, lambda_kd)
    for name, split in (("val", data.val), ("test", data.test)):
        expected = np.mean((split.labels[:, 0].double().numpy() - affine(split.student) @ weights) ** 2)
        assert metrics[f"{name}/mse"] == pytest.approx(expected, rel=1e-4)
    assert metrics["train/loss"] == pytest.approx(
        metrics["train/loss_task"] + lambda_kd * metrics.get("train/loss_kd", 0)
    )


def test_a_fitted_teacher_has_the_risk_of_the_closed_form_only_on_other_rows() -> None:
    """Over 300 draws, judged by E[y | x2]. Fitted to the student's own labels, the teacher hands its overfitting on.

    With H1 and H2 the projections on the two views, what it adds is 2 lambda tr(H1 H2) + ..., about gamma^2 p of p: a
    share of the risk that does not vanish with more rows.
    """
    own, other, alone = [], [], []
    config = JointGaussianConfig(p=P, train=400, val=2, test=200, tau=0.5, expected_targets=True)
    for seed in range(300):
        data = load(config.model_copy(update={"data_seed": seed}))
        wanted = (data.test.labels[:, 0].double().numpy(), affine(data.test.student))
        half = [Batch(*(part[rows] for part in data.train)) for rows in (slice(0, 200), slice(200, 400))]
        for found, weights in (
            (alone, least_squares(half[0], 0.0)),
            (own, least_squares(half[0], 0.5)),
            (other, least_squares(half[0], 0.5, half[1])),
        ):
            found.append(np.mean((wanted[0] - wanted[1] @ weights) ** 2))
    point = [torch.tensor(value, dtype=torch.float64) for value in (config.gamma, config.tau, config.sigma)]
    values = moments(*point, fitted_scale(point[1]))
    exact = [float(excess_risk(values, torch.tensor(w, dtype=torch.float64), 200, P + 1)) for w in (0.0, 0.5)]
    assert [np.mean(alone), np.mean(other)] == pytest.approx(exact, rel=0.1)
    assert np.mean(own) > 1.1 * exact[1]


@pytest.mark.slow
def test_fusion_students_learn_numbers_alone_and_from_a_unimodal_teacher() -> None:
    """Fusion sees the teacher's clean view too, so it is far better; the distillation term moves it."""
    short = RECIPE | {"epochs": 60}
    none, kd = {"method": "none"}, {"method": "regression_kd", "lambda_kd": 1.0}
    alone = fit(trial(none, training=short)).result.metrics["val/mse"]
    fused, taught = (fit(trial(m, student=FUSED, training=short)).result.metrics["val/mse"] for m in (none, kd))
    assert fused < alone and taught < alone and fused != taught


def test_fusion_students_of_classes_take_the_logits_of_a_unimodal_teacher() -> None:
    small = {"hidden": [], "feature_dim": 8, "model": "mlp"}
    student = {"model": "fusion", "teacher_encoder": small, "student_encoder": small, "feature_dim": 8}
    recipe = {"epochs": 2, "batch_size": 50}
    found = {}
    for name in ("none", "kd"):
        whole = {"teacher": small, "student": student, "training": recipe, "pretraining": recipe}
        data = {"dataset": "mfeat", "train": 100, "val": 50}
        found[name] = fit(
            TrialConfig.model_validate({"data": data, "method": {"method": name}, **whole})
        ).result.metrics
    assert found["kd"]["train/loss_kd"] > 0
    assert found["kd"]["train/loss_task"] != found["none"]["train/loss_task"]
