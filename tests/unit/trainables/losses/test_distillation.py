"""Each loss against a loop written from its equation, and its identities."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from trainables.losses import distillation as losses


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


def cosine(a: list[float], b: list[float]) -> float:
    length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / length


STUDENT, TEACHER = normal(7, 5, seed=1, scale=2), normal(7, 5, seed=2, scale=2)
LABELS = torch.tensor([0, 4, 2, 2, 1, 3, 0])
LABELLED = torch.tensor([True, False, True, True, False, False, True])


def test_labelled_cross_entropy_is_the_mean_over_the_labelled_rows():
    rows = [-math.log(softmax(STUDENT[i].tolist())[LABELS[i]]) for i in range(7) if LABELLED[i]]
    actual = losses.labelled_cross_entropy(STUDENT, LABELS, LABELLED)
    assert actual.item() == pytest.approx(sum(rows) / len(rows), rel=1e-12)


def test_labelled_cross_entropy_of_equal_logits_is_the_logarithm_of_the_classes():
    assert losses.labelled_cross_entropy(torch.zeros(7, 5), LABELS, LABELLED).item() == pytest.approx(math.log(5))


def test_labelled_cross_entropy_without_a_labelled_row_is_0_with_zero_gradient():
    logits = STUDENT.clone().requires_grad_()
    value = losses.labelled_cross_entropy(logits, LABELS, torch.zeros(7, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None and logits.grad.eq(0).all()


def test_labelled_squared_error_against_a_loop():
    targets = normal(7, 5, seed=3)
    rows = [
        sum((STUDENT[i, k].item() - targets[i, k].item()) ** 2 for k in range(5)) / 5 for i in range(7) if LABELLED[i]
    ]
    value = losses.labelled_squared_error(STUDENT, targets, LABELLED)
    assert value.item() == pytest.approx(sum(rows) / len(rows), rel=1e-12)
    assert losses.labelled_squared_error(targets, targets, LABELLED) == 0
    nothing = torch.zeros(7, dtype=torch.bool)
    assert losses.labelled_squared_error(STUDENT, targets, nothing) == 0
    others = torch.where(LABELLED[:, None], targets, torch.nan)
    assert losses.labelled_squared_error(STUDENT, others, LABELLED) == value


def test_labelled_binary_cross_entropy_against_a_loop():
    targets = torch.tensor([[1.0, 0, 1, 0, 0], [0, 0, 0, 1, 1]]).repeat(4, 1)[:7]
    rows = []
    for row in range(7):
        if LABELLED[row]:
            p = 1 / (1 + torch.exp(-STUDENT[row]))
            rows.append(sum(-math.log(p[c] if targets[row, c] else 1 - p[c]) for c in range(5)) / 5)
    value = losses.labelled_binary_cross_entropy(STUDENT, targets.to(STUDENT.dtype), LABELLED)
    assert value.item() == pytest.approx(sum(rows) / len(rows))


def test_labelled_cross_entropy_never_reads_an_unlabelled_row():
    logits = STUDENT.clone().requires_grad_()
    nonsense = torch.where(LABELLED, LABELS, -1_000)
    value = losses.labelled_cross_entropy(logits, nonsense, LABELLED)
    value.backward()
    assert value.item() == losses.labelled_cross_entropy(STUDENT, LABELS, LABELLED).item()
    assert logits.grad is not None and logits.grad[~LABELLED].eq(0).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_logit_kl_follows_its_equation(temperature: float):
    expected = 0.0
    for z_s, z_t in zip((STUDENT / temperature).tolist(), (TEACHER / temperature).tolist(), strict=True):
        for p, q in zip(softmax(z_t), softmax(z_s), strict=True):
            expected += temperature**2 * p * math.log(p / q) / len(STUDENT)
    assert losses.logit_kl(STUDENT, TEACHER, temperature).item() == pytest.approx(expected, rel=1e-12)


def test_logit_kl_is_0_for_equal_distributions_and_above_0_otherwise():
    assert losses.logit_kl(TEACHER + 3, TEACHER, 2.0).item() == pytest.approx(0, abs=1e-12)
    assert losses.logit_kl(STUDENT, TEACHER, 2.0).item() > 0.1


def test_logit_kl_at_a_high_temperature_is_half_the_squared_difference_over_the_classes():
    difference = STUDENT - TEACHER
    centred = difference - difference.mean(dim=1, keepdim=True)
    limit = centred.square().sum(dim=1).mean() / 2 / 5
    assert losses.logit_kl(STUDENT, TEACHER, 1e4).item() == pytest.approx(limit.item(), rel=1e-3)


def test_logit_kl_stays_finite_for_extreme_logits():
    student = torch.tensor([[500.0, -500.0]], requires_grad=True)
    value = losses.logit_kl(student, torch.tensor([[-500.0, 500.0]]), 0.1)
    value.backward()
    assert value.item() == pytest.approx(0.01 * 10_000, rel=1e-5)
    assert student.grad is not None and student.grad.isfinite().all()


def test_feature_mse_follows_its_equation():
    total = sum((STUDENT[i, j].item() - TEACHER[i, j].item()) ** 2 for i in range(7) for j in range(5))
    assert losses.feature_mse(STUDENT, TEACHER, "sum").item() == pytest.approx(total / 7, rel=1e-12)
    assert losses.feature_mse(STUDENT, TEACHER, "mean").item() == pytest.approx(total / 35, rel=1e-12)


def test_feature_mse_is_0_at_equality_and_symmetric():
    assert losses.feature_mse(TEACHER, TEACHER).item() == 0
    assert losses.feature_mse(STUDENT, TEACHER).item() == losses.feature_mse(TEACHER, STUDENT).item()


def test_feature_cross_entropy_follows_its_equation():
    expected = 0.0
    for b, a in zip(STUDENT.tolist(), TEACHER.tolist(), strict=True):
        expected -= sum(p * math.log(q) for p, q in zip(softmax(a), softmax(b), strict=True)) / len(STUDENT)
    assert losses.feature_cross_entropy(STUDENT, TEACHER).item() == pytest.approx(expected, rel=1e-12)


def test_feature_cross_entropy_exceeds_the_teachers_entropy_by_the_kl():
    entropy = losses.feature_cross_entropy(TEACHER, TEACHER)
    expected = entropy + losses.logit_kl(STUDENT, TEACHER, 1.0)
    assert losses.feature_cross_entropy(STUDENT, TEACHER).item() == pytest.approx(expected.item(), rel=1e-12)


def test_feature_cross_entropy_pulls_softmax_b_towards_softmax_a():
    """Appendix E.5: the derivative by a row of student features is softmax(b) - softmax(a)."""
    student = STUDENT.clone().requires_grad_()
    losses.feature_cross_entropy(student, TEACHER).backward()
    torch.testing.assert_close(student.grad, (STUDENT.softmax(1) - TEACHER.softmax(1)) / 7)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_feature_clip_follows_its_equation(temperature: float):
    b, a = STUDENT.tolist(), TEACHER.tolist()
    size = range(len(b))
    similarity = [[cosine(b[i], a[j]) / temperature for j in size] for i in size]
    rows = -sum(math.log(softmax(similarity[i])[i]) for i in size) / len(b)
    columns = -sum(math.log(softmax([similarity[i][j] for i in size])[j]) for j in size) / len(b)
    actual = losses.feature_clip(STUDENT, TEACHER, temperature)
    assert actual.item() == pytest.approx((rows + columns) / 2, rel=1e-12)


def test_feature_clip_identities():
    value = losses.feature_clip(STUDENT, TEACHER, 0.1).item()
    lengths = normal(7, 1, seed=3).exp()
    assert losses.feature_clip(lengths * STUDENT, TEACHER / lengths, 0.1).item() == pytest.approx(value, rel=1e-12)
    assert losses.feature_clip(TEACHER, STUDENT, 0.1).item() == pytest.approx(value, rel=1e-12)
    assert losses.feature_clip(torch.ones(7, 5), torch.ones(7, 5), 0.1).item() == pytest.approx(math.log(7), rel=1e-6)
    assert losses.feature_clip(torch.eye(5), torch.eye(5), 0.01).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.0])
def test_feature_margin_follows_its_equation(margin: float):
    pairs = zip(STUDENT.tolist(), TEACHER.tolist(), strict=True)
    expected = sum(max(0.0, margin - cosine(b, a)) for b, a in pairs) / len(STUDENT)
    assert 0 < expected
    assert losses.feature_margin(STUDENT, TEACHER, margin).item() == pytest.approx(expected, rel=1e-12)


def test_feature_margin_ranges_from_0_at_the_margin_to_margin_plus_1_at_opposition():
    assert losses.feature_margin(3 * TEACHER, TEACHER, 0.999).item() == 0
    assert losses.feature_margin(-3 * TEACHER, TEACHER, 0.5).item() == pytest.approx(1.5)


def test_standard_normal_kl_follows_its_equation_and_is_0_for_the_standard_normal():
    expected = 0.0
    for mean, log_variance in zip(STUDENT.tolist(), TEACHER.tolist(), strict=True):
        for mu, log_var in zip(mean, log_variance, strict=True):
            expected += 0.5 * (mu**2 + math.exp(log_var) - 1 - log_var) / len(STUDENT)
    assert losses.standard_normal_kl(STUDENT, TEACHER).item() == pytest.approx(expected, rel=1e-12)
    assert losses.standard_normal_kl(torch.zeros(7, 5), torch.zeros(7, 5)).item() == 0


def test_standard_normal_kl_agrees_with_torch_distributions():
    posterior = torch.distributions.Normal(STUDENT, (TEACHER / 2).exp())
    prior = torch.distributions.Normal(torch.zeros_like(STUDENT), torch.ones_like(STUDENT))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(dim=1).mean()
    torch.testing.assert_close(losses.standard_normal_kl(STUDENT, TEACHER), expected)


def test_cosine_of_a_zero_row_is_0_with_a_finite_gradient():
    student = TEACHER.float().clone()
    student[0] = 0
    student.requires_grad_()
    cosines = losses.cosine(student, TEACHER.float())
    (cosines.sum() + losses.feature_clip(student, TEACHER.float(), 0.07)).backward()
    assert cosines[0].item() == 0
    assert cosines[1:].allclose(torch.ones(6))
    assert student.grad is not None and student.grad.isfinite().all()


def test_cosine_does_not_depend_on_the_lengths_down_to_tiny_vectors():
    expected = losses.cosine(STUDENT, TEACHER)
    for scale in (1e-6, 1.0, 1e6):
        torch.testing.assert_close(losses.cosine(scale * STUDENT, TEACHER / scale), expected)


LOSSES = {
    "labelled_cross_entropy": lambda b, a: losses.labelled_cross_entropy(b, LABELS, LABELLED),
    "logit_kl": lambda b, a: losses.logit_kl(b, a, 2.0),
    "feature_mse": losses.feature_mse,
    "feature_mse sum": lambda b, a: losses.feature_mse(b, a, "sum"),
    "feature_cross_entropy": losses.feature_cross_entropy,
    "feature_clip": lambda b, a: losses.feature_clip(b, a, 0.3),
    "feature_margin": lambda b, a: losses.feature_margin(b, a, 0.5),
    "standard_normal_kl": losses.standard_normal_kl,
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_agree_with_finite_differences(name: str):
    student = STUDENT.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda b: LOSSES[name](b, TEACHER), (student,))


@pytest.mark.parametrize("name", LOSSES)
def test_runs_under_vmap(name: str):
    students, teachers = normal(3, 7, 5, seed=4), normal(3, 7, 5, seed=5)
    stacked = vmap(LOSSES[name])(students, teachers)
    alone = torch.stack([LOSSES[name](b, a) for b, a in zip(students, teachers, strict=True)])
    torch.testing.assert_close(stacked, alone)


@pytest.mark.parametrize("loss", [losses.logit_kl, losses.feature_clip, losses.feature_margin])
def test_a_hyperparameter_may_be_stacked_too(loss: Callable[..., Tensor]):
    values = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    students = normal(3, 7, 5, seed=4)
    stacked = vmap(loss, in_dims=(0, None, 0))(students, TEACHER, values)
    alone = [loss(student, TEACHER, value) for student, value in zip(students, values.tolist(), strict=True)]
    torch.testing.assert_close(stacked, torch.stack(alone))


def test_contrastive_against_a_naive_loop_over_the_labelled_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, 4, generator=generator, dtype=torch.float64)
    labelled = torch.tensor([1, 1, 0, 1, 0, 1, 1]).bool()
    kept = [i for i in range(7) if labelled[i]]
    expected = 0.0
    for i in kept:
        right = float(logits[i, 0] @ logits[i, 2])
        rows = math.log(sum(math.exp(float(logits[i, 0] @ logits[j, 2])) for j in kept))
        columns = math.log(sum(math.exp(float(logits[j, 0] @ logits[i, 2])) for j in kept))
        expected += (rows - right + columns - right) / 2 / len(kept)
    found = losses.labelled_contrastive(logits, torch.zeros(7, 0), labelled)
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dims", [1, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_first_dimensions_count_as_if_there_were_no_others(dims: int, weighted: bool) -> None:
    """The features after them have no effect and no gradient."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    weights = torch.rand(6, generator=generator, dtype=torch.float64) if weighted else None
    student.requires_grad_()
    for loss in (
        lambda a, b, dims: losses.feature_mse(a, b, "mean", weights, dims),
        lambda a, b, dims: losses.feature_mse(a, b, "sum", weights, dims),
        losses.feature_cross_entropy,
        lambda a, b, dims: losses.feature_clip(a, b, 0.07, dims),
        lambda a, b, dims: losses.feature_margin(a, b, 0.5, dims),
    ):
        expected, found = (
            loss(student[:, :dims], teacher[:, :dims], None),
            loss(student, teacher, torch.tensor(float(dims), dtype=torch.float64)),
        )
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        (wanted,), (gradient,) = (torch.autograd.grad(value, student, retain_graph=True) for value in (expected, found))
        torch.testing.assert_close(gradient, wanted, rtol=1e-12, atol=1e-12)
