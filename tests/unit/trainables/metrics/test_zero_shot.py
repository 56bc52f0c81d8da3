"""Zero-shot accuracy against loops, against torchmetrics, and where the answer is known."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainables.metrics.zero_shot import class_embeddings, class_ranks, top_accuracies, zero_shot_metrics


def unit(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.normalize(values, dim=-1)


def example(rows: int = 60, classes: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """Images near their classes, the classes, and the labels, in no order."""
    table = unit(classes, 6, seed=1)
    labels = torch.randint(classes, (rows,), generator=torch.Generator().manual_seed(2))
    labels[:classes] = torch.arange(classes).flip(0)
    return functional.normalize(table[labels] + 1.2 * unit(rows, 6, seed=3), dim=1), table, labels


def test_the_ensemble_is_the_normalised_mean_of_unit_prompts() -> None:
    prompts = 3 * unit(2, 4, 5) * torch.tensor([1, 2, 3, 4.0])[:, None]
    for k in range(2):
        mean = sum(prompts[k, t] / prompts[k, t].norm() for t in range(4)) / 4
        torch.testing.assert_close(class_embeddings(prompts)[k], mean / mean.norm())
    torch.testing.assert_close(class_embeddings(prompts[:, :1]), functional.normalize(prompts[:, 0], dim=1))


def test_ranks_against_loops() -> None:
    images, table, labels = example()
    for i, rank in enumerate(class_ranks(images, table, labels).tolist()):
        own = images[i] @ table[labels[i]]
        assert rank == 1 + sum(images[i] @ table[k] >= own for k in range(12) if k != labels[i])


def test_accuracies_against_torchmetrics() -> None:
    accuracy = pytest.importorskip("torchmetrics.functional.classification").multiclass_accuracy
    images, table, labels = example()
    found = top_accuracies(images, table, labels)
    for most in (1, 5):
        expected = accuracy(images @ table.T, labels, num_classes=12, average="micro", top_k=most)
        assert found[f"top{most}"].item() == pytest.approx(expected.item())
    assert 0.2 < found["top1"] < found["top5"] < 1


def test_a_split_is_measured_against_the_prompts_of_its_own_classes() -> None:
    images, table, labels = example()
    logits = 5 * torch.stack([images, table[labels]], dim=1)
    found, expected = zero_shot_metrics(logits, labels), top_accuracies(images, table, labels)
    assert {name: found[name] for name in expected} == expected
    torch.testing.assert_close(found["loss"], functional.cross_entropy(25 * images @ table.T, labels))
    some = labels % 3 == 0
    fewer = top_accuracies(images[some], table[::3], labels[some] // 3)
    assert {name: zero_shot_metrics(logits[some], labels[some])[name] for name in fewer} == fewer


def test_collapsed_embeddings_find_nothing() -> None:
    found = top_accuracies(torch.ones(9, 4), torch.ones(7, 4), torch.arange(9) % 7)
    assert found == {"top1": 0, "top5": 0}
    assert top_accuracies(torch.full((9, 4), torch.nan), torch.ones(7, 4), torch.arange(9) % 7)["top5"] == 0
