"""Each contrastive loss and TE proxy against loops over lists written from its equation, and its identities."""

import math
from collections.abc import Callable
from typing import Literal, TypeVar

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from trainables.losses.contrastive import (
    EmbeddingPair,
    contrastive,
    contrastive_gradients,
    embedding_mse,
    feature_distance,
    fused,
    gradient_distance,
    interactive,
    matching,
    negative_information,
    relation_kl,
)
from trainables.losses.distillation import feature_clip
from trainables.losses.te_proxies import te1, te2

Rows = list[list[float]]
T = TypeVar("T", Tensor, EmbeddingPair)
TAU, TAU_T = 0.3, 0.2


def unit(*shape: int, seed: int) -> Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows / rows.norm(dim=-1, keepdim=True)


def pairs(dim: int = 5, rows: int = 7, seed: int = 0) -> EmbeddingPair:
    return EmbeddingPair(unit(rows, dim, seed=seed), unit(rows, dim, seed=seed + 100))


STUDENT, TEACHER, WIDE = pairs(seed=1), pairs(seed=2), pairs(dim=6, seed=3)


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def products(a: Rows, b: Rows, tau: float) -> Rows:
    return [[dot(x, y) / tau for y in b] for x in a]


def transposed(matrix: Rows) -> Rows:
    return [list(column) for column in zip(*matrix, strict=True)]


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


def diagonal_ce(matrix: Rows) -> float:
    return -sum(math.log(softmax(row)[i]) for i, row in enumerate(matrix)) / len(matrix)


def kl(target: Rows, own: Rows) -> float:
    total = 0.0
    for p_row, q_row in zip(target, own, strict=True):
        total += sum(p * math.log(p / q) for p, q in zip(softmax(p_row), softmax(q_row), strict=True))
    return total / len(target)


def squared(a: Rows, b: Rows) -> float:
    return sum((x - y) ** 2 for left, right in zip(a, b, strict=True) for x, y in zip(left, right, strict=True))


def naive_cl(s: EmbeddingPair) -> float:
    sim = products(s.image.tolist(), s.text.tolist(), TAU)
    return (diagonal_ce(sim) + diagonal_ce(transposed(sim))) / 2


def naive_kl(s: EmbeddingPair, t: EmbeddingPair, tau_t: float) -> float:
    own = products(s.image.tolist(), s.text.tolist(), TAU)
    target = products(t.image.tolist(), t.text.tolist(), tau_t)
    return (kl(target, own) + kl(transposed(target), transposed(own))) / 2


def naive_mse(s: EmbeddingPair, t: EmbeddingPair) -> float:
    return sum(squared(a.tolist(), b.tolist()) for a, b in zip(s, t, strict=True)) / len(s.image)


def naive_icl(s: EmbeddingPair, t: EmbeddingPair) -> float:
    images = diagonal_ce(products(s.image.tolist(), t.text.tolist(), TAU))
    return (images + diagonal_ce(products(s.text.tolist(), t.image.tolist(), TAU))) / 2


def naive_mi(s: EmbeddingPair, t: EmbeddingPair) -> float:
    bounds = [math.log(len(a)) - diagonal_ce(products(a.tolist(), b.tolist(), TAU)) for a, b in zip(s, t, strict=True)]
    return -sum(bounds)


def autograd_gradients(embedded: EmbeddingPair, tau: float) -> list[Tensor]:
    """By the derivative of the cross-entropy itself, for both directions: anchors, keys, anchors, keys."""
    found: list[Tensor] = []
    for anchors, keys in ((embedded.image, embedded.text), (embedded.text, embedded.image)):
        leaves = anchors.clone().requires_grad_(), keys.clone().requires_grad_()
        target = torch.arange(len(anchors))
        found += torch.autograd.grad(torch.nn.functional.cross_entropy(leaves[0] @ leaves[1].T / tau, target), leaves)
    return found


def naive_gd(s: EmbeddingPair, t: EmbeddingPair) -> float:
    found = zip(autograd_gradients(s, TAU), autograd_gradients(t, TAU_T), strict=True)
    return sum(squared(a.tolist(), b.tolist()) / a.numel() for a, b in found)


def steps(rows: Rows, which: str) -> Rows:
    chosen = [(i, j) for i in range(len(rows)) for j in range(i + 1, len(rows)) if which == "all" or j == i + 1]
    return [[y - x for x, y in zip(rows[i], rows[j], strict=True)] for i, j in chosen]


def mean_cosine(student: Rows, teacher: Rows, lag: int, which: str) -> float:
    own, target = steps(student[lag:], which), steps(teacher[: len(teacher) - lag], which)
    found = [dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)) for a, b in zip(own, target, strict=True)]
    return sum(found) / len(found)


def naive_te1(s: EmbeddingPair, t: EmbeddingPair, lag: int, which: str) -> float:
    return sum(mean_cosine(a.tolist(), b.tolist(), lag, which) for a, b in zip(s, t, strict=True)) / 2


def naive_te2(s: EmbeddingPair, t: EmbeddingPair, lag: int, which: str) -> float:
    own, target = ([[*v, *w] for v, w in zip(e.image.tolist(), e.text.tolist(), strict=True)] for e in (s, t))
    return mean_cosine(own, target, lag, which)


LOSSES: dict[
    str, tuple[Callable[[EmbeddingPair, EmbeddingPair], Tensor], Callable[[EmbeddingPair, EmbeddingPair], float]]
] = {
    "cl": (lambda s, t: contrastive(s, TAU), lambda s, t: naive_cl(s)),
    "kl": (lambda s, t: relation_kl(s, t, TAU, TAU), lambda s, t: naive_kl(s, t, TAU)),
    "crd": (lambda s, t: relation_kl(s, t, TAU, TAU_T), lambda s, t: naive_kl(s, t, TAU_T)),
    "mse": (embedding_mse, naive_mse),
    "fd": (feature_distance, lambda s, t: naive_mse(s, t) / s.image.shape[1]),
    "icl": (lambda s, t: interactive(s, t, TAU), naive_icl),
    "mi": (lambda s, t: negative_information(s, t, TAU), naive_mi),
    "gd": (lambda s, t: gradient_distance(s, t, TAU, TAU_T), naive_gd),
    "te1": (te1, lambda s, t: naive_te1(s, t, 0, "adjacent")),
    "te2": (te2, lambda s, t: naive_te2(s, t, 0, "adjacent")),
    "te1 lag": (lambda s, t: te1(s, t, 1), lambda s, t: naive_te1(s, t, 1, "adjacent")),
    "te2 lag": (lambda s, t: te2(s, t, 1), lambda s, t: naive_te2(s, t, 1, "adjacent")),
    "te1 all": (lambda s, t: te1(s, t, 0, "all"), lambda s, t: naive_te1(s, t, 0, "all")),
    "te2 all": (lambda s, t: te2(s, t, 0, "all"), lambda s, t: naive_te2(s, t, 0, "all")),
    "te1 lag all": (lambda s, t: te1(s, t, 1, "all"), lambda s, t: naive_te1(s, t, 1, "all")),
    "te2 lag all": (lambda s, t: te2(s, t, 1, "all"), lambda s, t: naive_te2(s, t, 1, "all")),
}
ORDERED = ("te1", "te2", "te1 lag", "te2 lag", "te1 lag all", "te2 lag all")
"""Those to which the order of the batch matters: neighbours, or a shift by a row."""


@pytest.mark.parametrize("name", LOSSES)
def test_against_a_loop_written_from_the_equation(name: str) -> None:
    loss, naive = LOSSES[name]
    assert loss(STUDENT, TEACHER).item() == pytest.approx(naive(STUDENT, TEACHER), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    small = [part.requires_grad_() for part in pairs(dim=3, rows=4, seed=5)]
    target = pairs(dim=3, rows=4, seed=6)
    assert torch.autograd.gradcheck(lambda v, t: LOSSES[name][0](EmbeddingPair(v, t), target), small)


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_the_batch_matters_to_neighbours_only(name: str) -> None:
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    shuffled = [EmbeddingPair(both.image[order], both.text[order]) for both in (STUDENT, TEACHER)]
    before, after = LOSSES[name][0](STUDENT, TEACHER), LOSSES[name][0](*shuffled)
    assert (abs(before - after) > 1e-3) if name in ORDERED else torch.isclose(before, after, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_stacked_batches_give_what_each_gives_alone(name: str) -> None:
    several = [pairs(seed=seed) for seed in (7, 8, 9)]
    stacked = EmbeddingPair(*(torch.stack(parts) for parts in zip(*several, strict=True)))
    together = vmap(lambda v, t: LOSSES[name][0](EmbeddingPair(v, t), TEACHER))(*stacked)
    torch.testing.assert_close(together, torch.stack([LOSSES[name][0](one, TEACHER) for one in several]))


@pytest.mark.parametrize("name", ["kl", "mse", "fd"])
def test_is_0_where_the_student_equals_the_teacher(name: str) -> None:
    assert LOSSES[name][0](TEACHER, TEACHER).item() == pytest.approx(0, abs=1e-15)
    assert LOSSES[name][0](STUDENT, TEACHER) > 1e-3


def test_distances_with_a_temperature_of_each_are_0_at_equality_of_both() -> None:
    assert relation_kl(TEACHER, TEACHER, TAU_T, TAU_T) == 0 and gradient_distance(TEACHER, TEACHER, TAU, TAU) == 0
    assert relation_kl(TEACHER, TEACHER, TAU, TAU_T) > 0 and gradient_distance(TEACHER, TEACHER, TAU, TAU_T) > 0


def test_relations_compare_embeddings_of_different_dimensions() -> None:
    assert relation_kl(STUDENT, WIDE, TAU, TAU).item() == pytest.approx(naive_kl(STUDENT, WIDE, TAU), rel=1e-12)


def test_contrastive_is_the_symmetric_info_nce_of_the_feature_loss() -> None:
    torch.testing.assert_close(contrastive(STUDENT, TAU), feature_clip(STUDENT.image, STUDENT.text, TAU))


def test_without_any_preference_the_right_key_is_one_of_the_batch() -> None:
    alike = torch.ones(7, 1, dtype=torch.float64)
    assert matching(alike, alike, TAU).item() == pytest.approx(math.log(7))
    assert negative_information(EmbeddingPair(alike, alike), EmbeddingPair(alike, alike), TAU).item() == pytest.approx(
        0
    )


def test_information_is_bounded_by_the_logarithm_of_the_batch() -> None:
    corners = EmbeddingPair(torch.eye(7, dtype=torch.float64), torch.eye(7, dtype=torch.float64))
    assert negative_information(corners, corners, 0.01).item() == pytest.approx(-2 * math.log(7))


@pytest.mark.parametrize("tau", [0.05, 1.0])
def test_written_out_gradients_are_autograds(tau: float) -> None:
    found = [*contrastive_gradients(*STUDENT, tau), *contrastive_gradients(STUDENT.text, STUDENT.image, tau)]
    for ours, expected in zip(found, autograd_gradients(STUDENT, tau), strict=True):
        torch.testing.assert_close(ours, expected)


def test_fused_normalises_before_it_contrasts() -> None:
    longer = EmbeddingPair(3 * STUDENT.image, 0.1 * STUDENT.text)
    assert fused(longer, TAU).item() == pytest.approx(naive_cl(STUDENT), rel=1e-12)


TE = {"te1": te1, "te2": te2}


@pytest.mark.parametrize("which", ["adjacent", "all"])
@pytest.mark.parametrize("name", TE)
def test_te_is_1_where_the_student_equals_the_teacher(name: str, which: Literal["adjacent", "all"]) -> None:
    assert TE[name](TEACHER, TEACHER, 0, which).item() == pytest.approx(1, abs=1e-12)


def test_te_with_lag_1_is_1_where_the_student_follows_the_teacher() -> None:
    later = EmbeddingPair(*(torch.roll(part, 1, 0) for part in TEACHER))
    assert te1(later, TEACHER, 1).item() == pytest.approx(1, abs=1e-12)
    assert te2(later, TEACHER, 0) < 0.9


@pytest.mark.parametrize("name", [key for key in LOSSES if key.startswith("te")])
def test_te_does_not_see_a_common_shift(name: str) -> None:
    shifted = EmbeddingPair(STUDENT.image + unit(5, seed=11), STUDENT.text - 0.3)
    before, after = LOSSES[name][0](STUDENT, TEACHER), LOSSES[name][0](shifted, TEACHER)
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("level", [0.0, 0.5, 0.9, 1.0])
def test_te1_of_unit_vectors_at_a_cosine_is_about_that_cosine(level: float) -> None:
    teacher = pairs(dim=512, rows=256, seed=20)

    def at(target: Tensor, seed: int) -> Tensor:
        other = unit(256, 512, seed=seed)
        other = other - (other * target).sum(dim=1, keepdim=True) * target
        return level * target + math.sqrt(1 - level**2) * other / other.norm(dim=1, keepdim=True)

    student = EmbeddingPair(at(teacher.image, 21), at(teacher.text, 22))
    torch.testing.assert_close((student.image * teacher.image).sum(dim=1), torch.full((256,), level).double())
    assert te1(student, teacher).item() == pytest.approx(level, abs=0.02)


def test_te2_weighs_a_modality_by_how_far_it_moves_and_te1_does_not() -> None:
    """Texts that move the wrong way hardly at all: half of TE1 is lost, of TE2 nearly nothing."""
    still = unit(7, 5, seed=30)
    teacher = EmbeddingPair(TEACHER.image, still[:1] + 1e-3 * TEACHER.text)
    student = EmbeddingPair(TEACHER.image, still[:1] - 1e-3 * TEACHER.text)
    assert te1(student, teacher).item() == pytest.approx(0, abs=1e-6)
    assert te2(student, teacher).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("which", ["adjacent", "all"])
@pytest.mark.parametrize("name", TE)
def test_te_of_rows_that_do_not_move_is_0_with_a_finite_gradient(
    name: str, which: Literal["adjacent", "all"], dtype: torch.dtype
) -> None:
    still, moving = (EmbeddingPair(*(part.to(dtype) for part in both)) for both in (STUDENT, TEACHER))
    still = EmbeddingPair(*(part[:1].repeat(7, 1).requires_grad_() for part in still))
    value = TE[name](still, moving, 0, which)
    assert value.dtype == dtype and value.item() == pytest.approx(0, abs=1e-8)
    assert TE[name](still, still, 0, which).item() == 0
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(value, still))


@pytest.mark.parametrize("which", ["adjacent", "all"])
def test_equal_captions_that_differ_by_rounding_have_no_direction(which: Literal["adjacent", "all"]) -> None:
    """Rows 2 and 3 of the texts are equal but for the last digits, in the teacher too."""

    def twice(text: Tensor) -> Tensor:
        return torch.cat([text[:3], text[2:3] * (1 + 1e-7), text[4:]])

    student, teacher = (EmbeddingPair(both.image, twice(both.text)) for both in (STUDENT, TEACHER))
    exact = [
        EmbeddingPair(both.image, torch.cat([both.text[:3], both.text[2:3], both.text[4:]]))
        for both in (STUDENT, TEACHER)
    ]
    text = student.text.clone().requires_grad_()
    value = te1(EmbeddingPair(student.image, text), teacher, 0, which)
    torch.testing.assert_close(value, te1(*exact, 0, which), rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(value, text)
    assert gradient.abs().max() < 1


@pytest.mark.parametrize(("lag", "rows"), [(0, 1), (1, 2)])
def test_te_refuses_a_batch_without_a_difference(lag: Literal[0, 1], rows: int) -> None:
    few = EmbeddingPair(STUDENT.image[:rows], STUDENT.text[:rows])
    with pytest.raises(ValueError, match=f"lag {lag} needs {lag + 2} rows or more, but the batch has {rows}"):
        te1(few, few, lag)
