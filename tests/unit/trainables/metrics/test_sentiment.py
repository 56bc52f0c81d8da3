"""MOSEI's metrics against scikit-learn, NumPy and MMSA's formulas."""

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from trainables.metrics.sentiment import SENTIMENT_METRICS, pearson
from trainables.tasks import TASKS, evaluate

TASK = TASKS["sentiment"]


def example(rows: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels in thirds with many zeros, predictions beyond +-3 and some of them 0."""
    generator = torch.Generator().manual_seed(1)
    labels = ((torch.randn(rows, 1, generator=generator) * 4).round() / 3).clamp(-3, 3)
    outputs = labels + torch.randn(rows, 1, generator=generator) * 1.5
    outputs[::37] = 0
    return outputs.double(), labels


def test_against_scikit_learn_and_numpy() -> None:
    outputs, labels = example()
    found = evaluate(TASK, outputs, labels)
    p, y = outputs[:, 0].numpy(), labels[:, 0].double().numpy()
    some = y != 0
    assert 10 < (~some).sum() < 100 and np.abs(p).max() > 3.5
    assert found == pytest.approx(
        {
            "mae": reference.mean_absolute_error(y, p),
            "pearson": np.corrcoef(y, p)[0, 1],
            "acc7": np.mean(np.round(np.clip(p, -3, 3)) == np.round(np.clip(y, -3, 3))),
            "acc5": np.mean(np.round(np.clip(p, -2, 2)) == np.round(np.clip(y, -2, 2))),
            "acc2": reference.accuracy_score(y >= 0, p >= 0),
            "acc2_nonzero": reference.accuracy_score(y[some] > 0, p[some] > 0),
            "f1": reference.f1_score(y >= 0, p >= 0, average="weighted"),
            "f1_nonzero": reference.f1_score(y[some] > 0, p[some] > 0, average="weighted"),
            "mse": reference.mean_squared_error(y, p),
            "loss": reference.mean_squared_error(y, p),
        },
        rel=1e-9,
    )
    assert len(set(found.values())) == len(found) - 1, "no two metrics are the same but mse and loss"


def test_by_hand() -> None:
    """Zeros count as not negative; without zeros one of three signs is wrong; halves are rounded to even."""
    labels = torch.tensor([[-1.0], [0.0], [2.5], [1.0]])
    outputs = torch.tensor([[-0.4], [-0.1], [2.0], [-2.0]])
    found = evaluate(TASK, outputs, labels)
    assert (found["acc2"], found["acc2_nonzero"]) == (0.5, pytest.approx(2 / 3))
    assert found["acc7"] == 0.5 and found["mae"] == pytest.approx((0.6 + 0.1 + 0.5 + 3) / 4)


def test_what_cannot_be_told_is_0() -> None:
    zeros, ones = torch.zeros(4, 1), torch.ones(4, 1)
    assert pearson(ones.double(), torch.arange(4.0)[:, None]).item() == 0
    assert evaluate(TASK, ones, zeros)["acc2_nonzero"] == 0 == evaluate(TASK, ones, zeros)["f1_nonzero"]
    perfect = evaluate(TASK, torch.arange(-3.0, 4)[:, None], torch.arange(-3.0, 4)[:, None])
    assert perfect == {k: 1.0 if m.direction == "maximize" else 0.0 for k, m in SENTIMENT_METRICS.items()}
