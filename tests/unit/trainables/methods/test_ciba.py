"""Sub-dimensional distillation (CIBA paper, Algorithm 2): each feature loss of (h', z[0:H]) against a plain loop."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainables.common.types import Batch, ModelOutput
from trainables.methods.ciba import CIBA, CIBAConfig
from trainables.methods.feature_loss import FEATURE_LOSSES
from trainables.tasks import TASKS

ROWS, H, STUDENT_DIM, CLASSES = 6, 3, 7, 4
Matrix = list[list[float]]


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


def cosine(a: list[float], b: list[float]) -> float:
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def mse(a: Matrix, b: Matrix) -> float:
    return sum((a[i][j] - b[i][j]) ** 2 for i in range(ROWS) for j in range(H)) / (ROWS * H)


def ce(a: Matrix, b: Matrix) -> float:
    return -sum(softmax(a[i])[j] * math.log(softmax(b[i])[j]) for i in range(ROWS) for j in range(H)) / ROWS


def clip(a: Matrix, b: Matrix) -> float:
    similarity = [[cosine(b[i], a[j]) / 0.07 for j in range(ROWS)] for i in range(ROWS)]
    turned = [list(column) for column in zip(*similarity, strict=True)]
    picked = sum(math.log(softmax(side[i])[i]) for side in (similarity, turned) for i in range(ROWS))
    return -picked / (2 * ROWS)


def margin(a: Matrix, b: Matrix) -> float:
    return sum(max(0.0, 0.5 - cosine(x, y)) for x, y in zip(a, b, strict=True)) / ROWS


NAIVE: dict[str, Callable[[Matrix, Matrix], float]] = {"mse": mse, "ce": ce, "clip": clip, "margin": margin}


@pytest.mark.parametrize("loss", NAIVE)
def test_only_the_first_h_dimensions_are_compared(loss: str) -> None:
    config = CIBAConfig.model_validate({"loss": loss, "bottleneck_dim": H, "lambda_kd": 2.5})
    features, target = normal(ROWS, STUDENT_DIM, seed=1), normal(ROWS, H, seed=2)
    logits = normal(ROWS, CLASSES, seed=3)
    labels, labelled = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([True, True, False, True, True, False])
    batch = Batch(torch.zeros(ROWS, 1), torch.zeros(ROWS, 1), labels, labelled, torch.arange(ROWS))
    method = CIBA(config, STUDENT_DIM, H, TASKS["classification"])
    terms = method(ModelOutput(logits, features), ModelOutput(logits, target), batch)
    head = [row[:H] for row in features.tolist()]
    assert terms["fd"].value.item() == pytest.approx(NAIVE[loss](target.tolist(), head), rel=1e-10)
    task = [-math.log(softmax(logits[i].tolist())[labels[i]]) for i in range(ROWS) if labelled[i]]
    assert terms["task"].value.item() == pytest.approx(sum(task) / len(task), rel=1e-10)
    assert (terms["task"].weight, terms["fd"].weight) == (1.0, 2.5)


def test_every_feature_loss_is_checked() -> None:
    assert NAIVE.keys() == FEATURE_LOSSES.keys()
