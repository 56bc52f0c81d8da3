"""Retrieval metrics against loops over every pair, against torchmetrics, and where the answer is known."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainables.metrics import retrieval
from trainables.metrics.retrieval import (
    fold_metrics,
    rank_metrics,
    retrieval_metrics,
    retrieval_ranks,
    split_contrastive_loss,
)


def unit(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.normalize(values, dim=-1)


def example(rows: int = 40, captions: int = 3, dim: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits of images near their captions, and which captions exist: the first always, a third of the others not."""
    centre = unit(rows, 1, dim, seed=seed)
    logits = functional.normalize(centre + 0.8 * unit(rows, 1 + captions, dim, seed=seed + 1), dim=-1)
    exists = torch.rand(rows, captions, generator=torch.Generator().manual_seed(seed)) < 0.67
    exists[:, 0] = True
    return 10 * logits, exists


def naive_ranks(logits: Tensor, exists: Tensor) -> tuple[list[int], list[int]]:
    """By sorting nothing: how many wrong candidates are as similar as the best right one."""
    rows, captions = exists.shape
    pairs = [(i, c) for i in range(rows) for c in range(captions) if exists[i, c]]
    similar = {(i, j, c): float(logits[i, 0] @ logits[j, 1 + c]) for i in range(rows) for j, c in pairs}
    images = []
    for i in range(rows):
        best = max(similar[i, j, c] for j, c in pairs if j == i)
        images.append(1 + sum(similar[i, j, c] >= best for j, c in pairs if j != i))
    texts = [1 + sum(similar[i, j, c] >= similar[j, j, c] for i in range(rows) if i != j) for j, c in pairs]
    return images, texts


@pytest.mark.parametrize(("captions", "chunk"), [(1, 2**22), (3, 2**22), (3, 1), (3, 200)])
def test_ranks_against_loops_whatever_the_chunk(captions: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "CHUNK_NUMBERS", chunk)
    logits, exists = example(captions=captions)
    ranks = retrieval_ranks(logits[:, 0], logits[:, 1:], exists)
    assert (ranks.images.tolist(), ranks.captions.tolist()) == naive_ranks(logits, exists)
    assert 1 < ranks.images.max() and len(ranks.captions) == exists.sum()


def test_what_padding_holds_changes_nothing() -> None:
    logits, exists = example()
    changed = logits.clone()
    changed[:, 1:][~exists] = changed[:, :1].expand(-1, 3, -1)[~exists]  # would be perfect captions
    assert retrieval_metrics(changed, exists) == retrieval_metrics(logits, exists)


def test_metrics_against_torchmetrics() -> None:
    hit_rate = pytest.importorskip("torchmetrics.functional.retrieval").retrieval_hit_rate
    logits, exists = example(rows=60)
    found = retrieval_metrics(logits, exists)
    owner = exists.nonzero()[:, 0]
    similarities = logits[:, 0] @ logits[:, 1:][exists].T
    right = owner == torch.arange(60)[:, None]
    for most in (1, 5, 10):
        images = [hit_rate(similarities[i], right[i], top_k=most) for i in range(60)]
        texts = [hit_rate(similarities[:, j], right[:, j], top_k=most) for j in range(len(owner))]
        assert found[f"i2t_r{most}"].item() == pytest.approx(torch.stack(images).mean().item())
        assert found[f"t2i_r{most}"].item() == pytest.approx(torch.stack(texts).mean().item())
    assert 0.2 < found["i2t_r1"] < found["i2t_r5"] < 1


def test_any_of_the_images_captions_is_a_hit() -> None:
    eye = torch.eye(4, dtype=torch.float64)
    logits = torch.stack(
        [eye, eye.roll(1, dims=0), eye], dim=1
    )  # the first caption fits the image before, the second fits
    found = retrieval_metrics(logits, torch.ones(4, 2, dtype=torch.bool))
    assert found["i2t_r1"] == 0, "another image's first caption is exactly as similar, and a tie counts against"
    assert found["i2t_r5"] == 1 and found["i2t_median_rank"] == 2
    assert found["t2i_r1"] == 0.5 and found["t2i_median_rank"] == 2.5


def test_collapsed_embeddings_find_nothing() -> None:
    for noise in (0, 1e-8):
        logits = torch.ones(20, 3, 4) / 2 + noise * unit(20, 3, 4).float()
        found = retrieval_metrics(logits, torch.ones(20, 2, dtype=torch.bool))
        assert all(found[f"{way}_r{most}"] == 0 for way in ("i2t", "t2i") for most in (1, 5, 10))
        assert found["i2t_median_rank"] == 39 and found["t2i_median_rank"] == 20
        assert found["loss"].item() == pytest.approx(math.log(20), abs=1e-4)


def test_embeddings_that_are_no_numbers_find_nothing() -> None:
    logits = torch.full((20, 2, 4), torch.nan)
    found = retrieval_metrics(logits, torch.ones(20, 1, dtype=torch.bool))
    assert found["i2t_r10"] == 0 == found["t2i_r10"]


def test_equal_captions_of_two_images_are_ties() -> None:
    logits, exists = unit(6, 2, 5), torch.ones(6, 1, dtype=torch.bool)
    logits[:, 1] = logits[:, 0]
    assert retrieval_metrics(logits, exists)["i2t_r1"] == 1
    logits[5] = logits[4]
    found = retrieval_metrics(logits, exists)
    assert found["i2t_r1"].item() == found["t2i_r1"].item() == pytest.approx(4 / 6) and found["i2t_r5"] == 1


def test_ranks_do_not_change_with_the_scale_or_a_rotation() -> None:
    logits, exists = example()
    turn = torch.linalg.qr(unit(8, 8)).Q
    ranks = [retrieval_ranks(x[:, 0], x[:, 1:], exists) for x in (logits, 0.01 * logits, logits @ turn)]
    for other in ranks[1:]:
        assert torch.equal(other.images, ranks[0].images) and torch.equal(other.captions, ranks[0].captions)


def test_one_row_is_always_found() -> None:
    found = retrieval_metrics(unit(1, 2, 3), torch.ones(1, 1, dtype=torch.bool))
    assert found["i2t_r1"] == found["t2i_r1"] == found["i2t_median_rank"] == 1 and found["loss"].item() == 0


def test_folds_are_measured_alone_and_averaged() -> None:
    logits, exists = example(rows=44)
    folds = [logits[:10], logits[10:20], logits[20:30], logits[30:40]]
    known = [exists[:10], exists[10:20], exists[20:30], exists[30:40]]
    each = [rank_metrics(retrieval_ranks(x[:, 0], x[:, 1:], e)) for x, e in zip(folds, known, strict=True)]
    found = fold_metrics(logits, exists, fold=10)
    assert set(found) == set(each[0]) and found["i2t_r1"] > retrieval_metrics(logits, exists)["i2t_r1"]
    for name, value in found.items():
        assert value.item() == pytest.approx(sum(part[name].item() for part in each) / 4)
    assert fold_metrics(logits[:40], exists[:40], fold=10) == found, "the last fold may end with the last row"
    assert fold_metrics(logits, exists, fold=40) == {} == fold_metrics(logits, exists, fold=23)


@pytest.mark.parametrize("chunk", [2**22, 1, 70])
def test_contrastive_loss_of_a_split_against_cross_entropies(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "CHUNK_NUMBERS", chunk)
    logits, exists = example()
    similarities, own = logits[:, 0] @ logits[:, 1].T, torch.arange(40)
    expected = functional.cross_entropy(similarities, own) + functional.cross_entropy(similarities.T, own)
    torch.testing.assert_close(split_contrastive_loss(logits[:, 0], logits[:, 1]), expected / 2)
    torch.testing.assert_close(retrieval_metrics(logits, exists)["loss"], expected / 2)
