"""The method `clip_kd`: which loss each weight asks for, what a weight of 0 leaves out, adapters, temperatures."""

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from trainables.common.types import Batch, ModelOutput
from trainables.config import TrialConfig, incompatibilities
from trainables.losses import contrastive as losses
from trainables.losses.contrastive import EmbeddingPair
from trainables.losses.distillation import unit_rows
from trainables.losses.te_proxies import te1, te2
from trainables.methods import clip_kd
from trainables.methods.clip_kd import TERMS, ClipKD, ClipKDConfig
from trainables.tasks import TASKS

ROWS, DIM, WIDE = 6, 5, 7
ALL = ClipKDConfig.terms
TAU, STUDENT_SCALE, TEACHER_SCALE = 0.2, 4.0, 8.0


def out(several: int, dim: int, scale: float, seed: int, dtype: torch.dtype = torch.float64) -> ModelOutput:
    vectors = torch.randn(ROWS, several, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    vectors = nn.functional.normalize(vectors, dim=2).to(dtype).requires_grad_()
    return ModelOutput(vectors * scale**0.5, vectors[:, 0].detach(), vectors)


def method(dim: int = DIM, teacher_dim: int = DIM, **fields: object) -> ClipKD:
    torch.manual_seed(0)
    config = ClipKDConfig.model_validate({"temperature": TAU, **fields})
    return ClipKD(config, dim, teacher_dim, TASKS["retrieval"]).double()


def only(term: str, **fields: object) -> dict[str, object]:
    return {"cl": 0.0, term: 1.0, **fields}


def batch() -> Batch:
    labels = torch.ones(ROWS, 1, dtype=torch.bool)
    nothing = torch.zeros(ROWS, 0)
    return Batch(nothing, nothing, labels, torch.ones(ROWS, dtype=torch.bool), torch.arange(ROWS))


STUDENT, TEACHER = out(3, DIM, STUDENT_SCALE, 1), out(2, DIM, TEACHER_SCALE, 2)
WIDE_TEACHER = out(2, WIDE, TEACHER_SCALE, 3)


def parts(which: ModelOutput, image: int = 0) -> EmbeddingPair:
    assert which.embeddings is not None
    return EmbeddingPair(which.embeddings[:, image], which.embeddings[:, -1])


def expected(student: EmbeddingPair, masked: EmbeddingPair, teacher: EmbeddingPair) -> dict[str, Callable[[], Tensor]]:
    """Without projections and fusion."""
    return {
        "cl": lambda: losses.contrastive(student, TAU),
        "kl": lambda: losses.relation_kl(student, teacher, TAU, TAU),
        "mse": lambda: losses.embedding_mse(student, teacher),
        "icl": lambda: losses.interactive(student, teacher, TAU),
        "mi": lambda: losses.negative_information(student, teacher, TAU),
        "te1": lambda: -te1(student, teacher),
        "te2": lambda: -te2(student, teacher),
        "crd": lambda: losses.relation_kl(student, teacher, TAU, 1 / TEACHER_SCALE),
        "fd": lambda: losses.feature_distance(student, teacher),
        "mfd": lambda: losses.feature_distance(masked, teacher),
        "gd": lambda: losses.gradient_distance(student, teacher, TAU, 1 / TEACHER_SCALE),
    }


@pytest.mark.parametrize("term", ALL[:-1])
def test_a_weight_asks_for_the_loss_of_its_name(term: str) -> None:
    found = method(**only(term))(STUDENT, TEACHER, batch())
    wanted = expected(parts(STUDENT), parts(STUDENT, 1), parts(TEACHER))[term]()
    assert list(found) == [term] and found[term].weight == 1
    torch.testing.assert_close(found[term].value, wanted)


@pytest.mark.parametrize(("lag", "pairs"), [(1, "adjacent"), (0, "all")])
@pytest.mark.parametrize("term", ["te1", "te2"])
def test_lag_and_pairs_are_those_of_both_proxies(
    term: str, lag: Literal[0, 1], pairs: Literal["adjacent", "all"]
) -> None:
    found = method(**only(term, te_lag=lag, te_pairs=pairs))(STUDENT, TEACHER, batch())[term].value
    proxy = {"te1": te1, "te2": te2}[term]
    torch.testing.assert_close(found, -proxy(parts(STUDENT), parts(TEACHER), lag, pairs))
    assert not torch.isclose(found, -proxy(parts(STUDENT), parts(TEACHER)))


def test_afd_contrasts_linear_maps_of_both_networks() -> None:
    built = method(DIM, WIDE, **only("afd"))
    assert built.fusion is not None and built.projection is None
    student, teacher, mapped = parts(STUDENT), parts(WIDE_TEACHER), []
    for layer, own, target in zip(built.fusion, student, teacher, strict=True):
        assert isinstance(layer, nn.Linear) and layer.weight.shape == (DIM, DIM + WIDE)
        row = torch.cat([own, target], dim=1) @ layer.weight.T + layer.bias
        mapped.append(row / row.norm(dim=1, keepdim=True))
    value = built(STUDENT, WIDE_TEACHER, batch())["afd"].value
    torch.testing.assert_close(value, losses.contrastive(EmbeddingPair(*mapped), TAU))


@pytest.mark.parametrize("term", ["mse", "icl", "mi", "te1", "te2", "fd", "mfd", "gd"])
def test_where_dimensions_differ_the_student_is_projected_and_normalised_again(term: str) -> None:
    built = method(DIM, WIDE, **only(term))
    assert built.projection is not None and built.fusion is None

    def project(embedded: EmbeddingPair) -> EmbeddingPair:
        assert built.projection is not None
        return EmbeddingPair(*(unit_rows(layer(one)) for layer, one in zip(built.projection, embedded, strict=True)))

    wanted = expected(project(parts(STUDENT)), project(parts(STUDENT, 1)), parts(WIDE_TEACHER))[term]()
    found = built(STUDENT, WIDE_TEACHER, batch())[term].value
    torch.testing.assert_close(found, wanted)
    gradients = torch.autograd.grad(found, list(built.parameters()))
    assert len(gradients) == 4 and all(gradient.ne(0).any() for gradient in gradients[::2])


@pytest.mark.parametrize("term", ["cl", "kl", "crd"])
def test_relations_within_a_network_need_no_projection(term: str) -> None:
    built = method(DIM, WIDE, **only(term))
    assert list(built.parameters()) == []
    assert built(STUDENT, WIDE_TEACHER, batch())[term].value.isfinite()


@pytest.mark.parametrize("term", ALL)
def test_a_weight_of_0_costs_nothing(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its function nor what only it needs: no adapter, no masked view."""

    def fail(*arguments: object) -> Tensor:
        raise AssertionError(arguments)

    others = {name: fail for name in TERMS if name != term}
    monkeypatch.setattr(clip_kd, "TERMS", TERMS | others)
    monkeypatch.setattr(clip_kd, "temperature_of", temperature_of if term in ("crd", "gd") else fail)
    built = method(DIM, DIM, **only(term))
    assert list(built(STUDENT, TEACHER, batch())) == [term] == list(built.config.active_terms)
    assert (built.fusion is not None) == (term == "afd") and built.projection is None
    assert built.config.masked_fraction == (0.75 if term == "mfd" else 0)


temperature_of = clip_kd.temperature_of


def test_the_unified_arm_of_clip_kd() -> None:
    config = ClipKDConfig(learn_temperature=True, crd=1.0, fd=2000.0, icl=1.0)
    terms = ClipKD(config, DIM, WIDE, TASKS["retrieval"]).double()(STUDENT, WIDE_TEACHER, batch())
    assert {name: term.weight for name, term in terms.items()} == {"cl": 1, "icl": 1, "crd": 1, "fd": 2000}


@pytest.mark.parametrize("term", ["cl", "icl", "crd", "gd", "afd"])
def test_the_students_scale_is_its_temperature_where_it_is_learnt(term: str) -> None:
    fixed = method(temperature=1 / STUDENT_SCALE, **only(term))
    learnt = method(learn_temperature=True, **only(term))
    assert fixed.config.learns_scale is False and learnt.config.learns_scale is True
    values = [one(STUDENT, TEACHER, batch())[term].value for one in (fixed, learnt)]
    torch.testing.assert_close(values[0], values[1])


@pytest.mark.parametrize("term", ["kl", "mi"])
def test_kl_and_mi_have_the_one_temperature(term: str) -> None:
    one, other = (method(learn_temperature=learn, **only(term)) for learn in (True, False))
    assert one(STUDENT, TEACHER, batch())[term].value == other(STUDENT, TEACHER, batch())[term].value


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("term", ["cl", "icl", "crd", "gd", "afd"])
def test_the_scale_gets_the_gradient_that_finite_differences_give(term: str, learn: bool) -> None:
    vectors = STUDENT.embeddings
    assert vectors is not None
    built = method(learn_temperature=learn, **only(term))

    def value(log_scale: Tensor) -> Tensor:
        student = ModelOutput(vectors.detach() * (log_scale / 2).exp(), STUDENT.features, vectors.detach())
        return built(student, TEACHER, batch())[term].value

    log_scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    if learn:
        (gradient,) = torch.autograd.grad(value(log_scale), log_scale)
        step = torch.tensor(1e-6, dtype=torch.float64)
        assert gradient.item() == pytest.approx(((value(1 + step) - value(1 - step)) / 2e-6).item(), rel=1e-5)
        assert gradient != 0
    else:
        assert value(log_scale) == value(log_scale + 1)


def test_only_labelled_rows_are_contrasted_and_all_are_distilled() -> None:
    built = method(kl=1.0)
    some = batch()._replace(labelled=torch.arange(ROWS) < 4)
    found = built(STUDENT, TEACHER, some)
    four = EmbeddingPair(*(part[:4] for part in parts(STUDENT)))
    torch.testing.assert_close(found["cl"].value, losses.contrastive(four, TAU))
    assert found["kl"].value == built(STUDENT, TEACHER, batch())["kl"].value


def test_half_precision_is_left_before_anything_is_compared() -> None:
    fields: dict[str, object] = {term: 1.0 for term in ALL}
    built = method(DIM, WIDE, **fields).float()
    half = [out(3, DIM, STUDENT_SCALE, 1, torch.bfloat16), out(2, WIDE, TEACHER_SCALE, 3, torch.bfloat16)]
    single = [one.map(lambda part: part.float()) for one in half]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = built(*half, batch())
    for name, term in built(*single, batch()).items():
        assert found[name].value.dtype == torch.float32
        torch.testing.assert_close(found[name].value, term.value)


def test_mfd_wants_a_masked_view() -> None:
    with pytest.raises(AssertionError, match="masked images"):
        method(**only("mfd"))(TEACHER, TEACHER, batch())
    assert (method(mfd=1.0, mask_ratio=0.5).config.masked_fraction, method(patch_size=8).config.mask_patch) == (0.5, 8)


def test_terms_of_a_file_that_is_not_checked_yet() -> None:
    assert ClipKDConfig.terms_of({}) == ("cl",)
    assert ClipKDConfig.terms_of({"cl": 0, "te1": "1e-1", "fd": 2000}) == ("te1", "fd")
    assert set(TERMS) == set(ALL)


def test_the_teachers_outputs_are_cached_unless_asked_for() -> None:
    assert not ClipKDConfig().live_teacher and ClipKDConfig(teacher_outputs="live").live_teacher


def test_without_any_weight_there_is_nothing_to_train_by() -> None:
    config = TrialConfig.model_validate({"data": {"dataset": "mfeat"}, "teacher": MLP, "student": MLP, "method": NONE})
    silent = config.model_copy(update={"method": ClipKDConfig(cl=0.0)})
    found = {one.path: one.message for one in incompatibilities(silent)}
    assert "all of cl, kl, mse" in found["method.cl"] and "write for example cl: 1" in found["method.cl"]
    spoken = config.model_copy(update={"method": ClipKDConfig(cl=0.0, kl=1.0)})
    assert "method.cl" not in {one.path for one in incompatibilities(spoken)}


MLP, NONE = {"model": "mlp"}, {"method": "none"}


def test_projected_embeddings_are_for_probes_too() -> None:
    vectors = STUDENT.embeddings
    assert vectors is not None
    two = vectors[:, [0, 2]]
    assert method(DIM, DIM).project(two) is two
    assert method(DIM, WIDE).project(two) is None
    built = method(DIM, WIDE, mse=1.0)
    projected = built.project(two)
    assert projected is not None and built.projection is not None and projected.shape == (ROWS, 2, WIDE)
    torch.testing.assert_close(projected[:, 1], built.projection[1](two[:, 1]))
