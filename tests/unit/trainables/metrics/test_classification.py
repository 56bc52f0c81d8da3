"""Metrics against scikit-learn and against values worked out by hand."""

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from trainables.detection.boxes import channels
from trainables.metrics.classification import METRICS, auc
from trainables.tasks import TASKS, epoch_keys, evaluate, metric_direction

CLASSES = TASKS["classification"]


def example(rows: int = 200, classes: int = 7, used: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are right more often than not; only the first `used` classes occur among the labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(used, (rows,), generator=generator)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    logits[torch.arange(rows), labels] += 1.0
    logits[:, -1] -= 100.0  # the last class is neither a label nor ever predicted
    return logits, labels


def test_against_scikit_learn() -> None:
    logits, labels = example()
    guess, probabilities = logits.argmax(dim=1).numpy(), logits.softmax(dim=1).numpy()
    names = list(range(logits.shape[1]))
    expected = {
        "accuracy": reference.accuracy_score(labels, guess),
        "top5_accuracy": reference.top_k_accuracy_score(labels, probabilities, k=5, labels=names),
        "macro_f1": reference.f1_score(labels, guess, average="macro"),
        "weighted_f1": reference.f1_score(labels, guess, average="weighted"),
        "loss": reference.log_loss(labels, probabilities, labels=names),
        "auc": np.mean([reference.roc_auc_score(labels == c, probabilities[:, c]) for c in range(5)]),
    }
    measured = evaluate(CLASSES, logits, labels)
    assert measured.keys() == METRICS.keys()
    assert {name: measured[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert 0.2 < expected["macro_f1"] < 0.9 and expected["macro_f1"] != pytest.approx(expected["weighted_f1"])


def test_numbers_against_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randn(50, 3, generator=generator) * torch.tensor([1.0, 2.0, 3.0])
    outputs = labels.double() + torch.randn(50, 3, generator=generator, dtype=torch.float64)
    measured = evaluate(TASKS["regression"], outputs, labels)
    assert measured["mse"] == pytest.approx(reference.mean_squared_error(labels, outputs), rel=1e-6)
    assert measured["loss"] == measured["mse"]
    alone = evaluate(TASKS["regression"], outputs[:, 1:2], labels[:, 1:2])
    assert alone["r2"] == pytest.approx(reference.r2_score(labels[:, 1:2], outputs[:, 1:2]), rel=1e-6)
    weighted = reference.r2_score(labels, outputs, multioutput="variance_weighted")
    assert measured["r2"] == pytest.approx(weighted, rel=1e-6)
    assert (metric_direction("val/mse"), metric_direction("test/r2")) == ("minimize", "maximize")


def test_ece_against_a_loop() -> None:
    logits, labels = example()
    probabilities = logits.softmax(dim=1).numpy()
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels.numpy()
    expected = 0.0
    for low in range(15):
        inside = (confidence >= low / 15) & (confidence < (low + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected > 0.01
    assert evaluate(CLASSES, logits, labels)["ece"] == pytest.approx(expected, rel=1e-12)


def test_known_values() -> None:
    """Four rows, two classes: three right; the loss of an even split is ln 2."""
    even = evaluate(CLASSES, torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
    assert even["accuracy"] == 0.75
    assert even["loss"] == pytest.approx(np.log(2))
    assert even["ece"] == pytest.approx(0.25)
    assert even["macro_f1"] == pytest.approx((6 / 7 + 0) / 2)
    assert even["top5_accuracy"] == 1.0 and even["auc"] == 0.5
    certain = evaluate(CLASSES, 1000 * torch.eye(3), torch.arange(3))
    assert (
        evaluate(CLASSES, torch.eye(200)[[0] * 147 + [1] * 53], torch.zeros(200, dtype=torch.int64))["accuracy"]
        == 0.735
    )
    assert certain == {name: 1.0 if METRICS[name].direction == "maximize" else 0.0 for name in METRICS}


def test_every_dtype_and_label_type() -> None:
    logits, labels = example()
    expected = evaluate(CLASSES, logits, labels)
    assert evaluate(CLASSES, logits.float(), labels.int()) == pytest.approx(expected, rel=1e-5)
    assert evaluate(CLASSES, logits.bfloat16(), labels)["loss"] == pytest.approx(expected["loss"], rel=1e-2)


def test_nan_logits_give_a_nan_loss_and_no_crash() -> None:
    assert np.isnan(evaluate(CLASSES, torch.full((3, 4), torch.nan), torch.arange(3))["loss"])


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        evaluate(CLASSES, torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


def test_directions() -> None:
    assert metric_direction("val/accuracy") == metric_direction("test/macro_f1") == "maximize"
    assert (
        metric_direction("val/loss")
        == metric_direction("train/loss")
        == metric_direction("train/loss_fd")
        == "minimize"
    )


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_auc_against_scikit_learn_with_ties(classes: int) -> None:
    """Rounded logits have many equal scores; macro one-vs-rest for several classes, the second class for two."""
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes, (300,), generator=generator)
    logits = torch.randn(300, classes, generator=generator, dtype=torch.float64)
    logits[torch.arange(300), labels] += 1
    logits = logits.round()
    scores = logits.softmax(dim=1).numpy()
    expected = reference.roc_auc_score(labels, scores[:, 1] if classes == 2 else scores, multi_class="ovr")
    assert len(np.unique(scores[:, 1])) < 250 and 0.6 < expected < 0.95
    assert auc(logits, labels).item() == pytest.approx(expected, abs=1e-12)


def test_auc_by_hand_and_where_it_says_nothing() -> None:
    """Positives score 3 and 1, negatives 2 and 1: of four pairs two are right, one is a tie, one is wrong."""
    logits = torch.tensor([[0.0, 3.0], [0.0, 1.0], [0.0, 2.0], [0.0, 1.0]])
    assert auc(logits, torch.tensor([1, 1, 0, 0])).item() == pytest.approx(2.5 / 4)
    assert auc(logits, torch.tensor([1, 1, 1, 1])).item() == 0.5
    assert auc(logits, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(1.5 / 4)


@pytest.mark.parametrize(
    "key", ["val/acuracy", "accuracy", "train/lr", "train/weight_fd", "train/accuracy", "val/", ""]
)
def test_a_key_without_direction_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="must be") as error:
        metric_direction(key)
    assert repr(key) in str(error.value)


def test_keys() -> None:
    keys = epoch_keys(CLASSES, ["task", "fd"])
    assert keys == {
        *("train/loss", "train/lr", "train/loss_task", "train/loss_fd", "train/weight_task", "train/weight_fd"),
        *(f"val/{name}" for name in METRICS),
    }


def test_multilabel_against_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(50, 6, generator=generator) < 0.3).float()
    labels[:, 5] = 0  # never labelled, never predicted
    logits = torch.randn(50, 6, generator=generator, dtype=torch.float64) + 2 * labels
    logits[:, 5] = -9
    guess = (logits.sigmoid() >= 0.5).numpy()
    expected = {
        "f1_micro": reference.f1_score(labels, guess, average="micro"),
        "f1_macro": reference.f1_score(labels, guess, average="macro", zero_division=0),
        "loss": np.mean([reference.log_loss(labels[:, c], logits[:, c].sigmoid(), labels=[0, 1]) for c in range(6)]),
    }
    assert evaluate(TASKS["multilabel"], logits, labels) == pytest.approx(expected, rel=1e-9)
    assert 0.3 < expected["f1_macro"] < expected["f1_micro"] < 0.95


OUTPUTS = {"detection": (5, 5, channels(4)), "retrieval": (1 + 4, 3), "zero_shot": (2, 3)}
"""Shape of one row's logits, where a task takes others than one for each of four classes."""


@pytest.mark.parametrize("name", TASKS)
def test_every_task_judges_and_trains_on_its_own_example_labels(name: str) -> None:
    task = TASKS[name]
    labels = task.example(12, 4)
    assert len(labels) == 12
    labelled = torch.arange(12) % 2 == 0
    shape = 12, *OUTPUTS.get(name, (4,))
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = task.loss(logits, labels, labelled)
    loss.backward()
    assert loss.isfinite() and logits.grad is not None
    assert logits.grad[labelled].ne(0).any() and logits.grad[~labelled].eq(0).all()
    assert task.loss(logits, labels, torch.zeros(12, dtype=torch.bool)).item() == 0
    assert set(evaluate(task, logits.detach(), labels)) == set(task.metrics)


def test_a_metric_name_means_the_same_in_every_task() -> None:
    for task in TASKS.values():
        for name, metric in task.metrics.items():
            assert metric_direction(f"val/{name}") == metric.direction
