"""The contract of BOTTLENECKS, SA and VQ against loops written from their equations, and what makes a stage's key."""

import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from trainables.bottlenecks import BOTTLENECKS
from trainables.bottlenecks.base import SHARED_FIELDS, Bottleneck
from trainables.bottlenecks.self_attention import SelfAttention
from trainables.bottlenecks.training import PairedFeatures, TrainedBottleneck, train_bottleneck
from trainables.bottlenecks.vq import VQ
from trainables.config import TrialConfig
from trainables.fitting import fit
from trainables.methods.ciba import CIBAConfig
from trainables.methods.feature_loss import FEATURE_LOSSES
from trainables.stages.artifacts import StageStore
from trainables.stages.bottleneck import bottleneck_stage

TEACHER_DIM, STUDENT_DIM, SHARED = 10, 7, 3
CONFIG = CIBAConfig(
    bottleneck_dim=4, bottleneck_epochs=4, bottleneck_batch_size=32, lambda_ib=1e-2, bottleneck_codes=16
)


def of_kind(name: str, **changes: Any) -> CIBAConfig:
    return CONFIG.model_copy(update={"bottleneck": name, **changes})


def build(name: str, dtype: torch.dtype = torch.float64, seed: int = 0, **changes: Any) -> Bottleneck:
    torch.manual_seed(seed)
    return BOTTLENECKS[name](of_kind(name, **changes), TEACHER_DIM, STUDENT_DIM).to(dtype)


def paired(rows: int, seed: int, dtype: torch.dtype = torch.float64) -> PairedFeatures:
    """Teacher and student features that share `SHARED` factors; the student's are nothing else."""
    mixing = torch.Generator().manual_seed(99)
    to_teacher = torch.randn(SHARED, TEACHER_DIM, generator=mixing, dtype=torch.float64)
    to_student = torch.randn(SHARED, STUDENT_DIM, generator=mixing, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(rows, SHARED, generator=generator, dtype=torch.float64)
    own = torch.randn(rows, TEACHER_DIM, generator=generator, dtype=torch.float64)
    return PairedFeatures((shared @ to_teacher + 0.3 * own).to(dtype), (shared @ to_student).to(dtype))


TRAIN, VAL = paired(100, 0), paired(40, 1)


def noise_for(model: Bottleneck, rows: int, seed: int = 3) -> Tensor:
    return torch.randn(rows, model.noise_dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights(trained: TrainedBottleneck) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in trained.model.state_dict().values()])


def apply(layer: nn.Module, values: list[float]) -> list[float]:
    """A linear layer, written out."""
    weight, bias = layer.get_parameter("weight").tolist(), layer.get_parameter("bias").tolist()
    return [sum(w * v for w, v in zip(row, values, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def relu(values: list[float]) -> list[float]:
    return [max(0.0, value) for value in values]


def square_distance(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def decode(model: Any, code: list[float]) -> list[float]:
    return apply(model.decoder[2], relu(apply(model.decoder[0], code)))


# The contract


def test_every_kind_that_the_config_offers_is_in_the_table() -> None:
    assert tuple(BOTTLENECKS) == get_args(CIBAConfig.model_fields["bottleneck"].annotation)


@pytest.mark.parametrize("name", BOTTLENECKS)
@pytest.mark.parametrize("bottleneck_dim", [1, 4, 7])
def test_shapes_and_finite_losses(name: str, bottleneck_dim: int) -> None:
    model = build(name, bottleneck_dim=bottleneck_dim)
    loss = model.loss(*VAL, noise_for(model, 40))
    assert model.encode(VAL.teacher).shape == (40, bottleneck_dim)
    assert model.reconstruct(VAL.teacher).shape == (40, STUDENT_DIM)
    assert all(part.shape == () and part.isfinite() and part.dtype == torch.float64 for part in loss)
    assert loss.regularization >= 0 and model.regularization_weight >= 0


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_without_noise_the_loss_is_that_of_encode_and_reconstruct(name: str) -> None:
    model = build(name)
    loss = model.loss(*VAL, torch.zeros(40, model.noise_dim, dtype=torch.float64))
    expected = (model.reconstruct(VAL.teacher) - VAL.student).square().sum(dim=1).mean()
    torch.testing.assert_close(loss.generation, expected)


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_gradients_reach_every_parameter_but_neither_side_s_features(name: str) -> None:
    model, (teacher, student) = build(name), (side.clone().requires_grad_() for side in TRAIN)
    loss = model.loss(teacher.detach(), student.detach(), noise_for(model, 100))
    (loss.generation + model.regularization_weight * loss.regularization).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.ne(0).any(), parameter_name
    assert teacher.grad is None and student.grad is None


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_is_pure(name: str) -> None:
    model = build(name)
    before, random = [tensor.clone() for tensor in (*VAL, *model.state_dict().values())], torch.get_rng_state()
    noise = noise_for(model, 40)
    assert model.loss(*VAL, noise) == model.loss(*VAL, noise)
    assert all(torch.equal(a, b) for a, b in zip(before, (*VAL, *model.state_dict().values()), strict=True))
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_stacked_bottlenecks_give_what_each_gives_alone(name: str) -> None:
    models = [build(name, seed=seed) for seed in range(3)]
    stacked, _ = stack_module_state(list(models))
    noise = noise_for(models[0], 40)

    class Objective(nn.Module):
        def __init__(self, model: Bottleneck) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Tensor:
            return sum(self.model.loss(*VAL, noise), torch.zeros(()))

    def objective(parameters: dict[str, Tensor]) -> Tensor:
        named = {f"model.{key}": value for key, value in parameters.items()}
        return functional_call(Objective(models[0]), named, ())

    together = vmap(grad(objective))(stacked)
    for number, model in enumerate(models):
        for key, gradient in grad(objective)(dict(model.named_parameters())).items():
            torch.testing.assert_close(together[key][number], gradient)


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_training_is_decided_by_the_seed_and_lowers_the_loss(name: str) -> None:
    first, again, other = (train_bottleneck(of_kind(name), TRAIN, VAL, seed) for seed in (3, 3, 4))
    assert torch.equal(weights(first), weights(again)) and first.history == again.history
    assert not torch.equal(weights(first), weights(other))
    losses = [report.metrics["val/generation"] for report in first.history]
    assert losses[-1] < losses[0]
    assert first.encode(VAL.teacher).dtype == torch.float64 and not first.encode(VAL.teacher).requires_grad


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTTLENECKS)
def test_a_converged_bottleneck_explains_the_student(name: str) -> None:
    changes = {"bottleneck_dim": SHARED, "bottleneck_lr": 1e-2, "bottleneck_epochs": 60, "lambda_ib": 1e-3}
    codes = {"bottleneck_codes": 32, "bottleneck_code_parts": 3}
    trained = train_bottleneck(of_kind(name, **changes, **codes), TRAIN, VAL, 0)
    left = (VAL.student - trained.reconstruct(VAL.teacher)).square().sum(dim=1).mean()
    assert left < 0.2 * VAL.student.square().sum(dim=1).mean()


# Known numbers of parameters


@pytest.mark.parametrize(("name", "count"), [("dvib", 2_124_816), ("sa", 2_182_664), ("vq", 2_120_712)])
def test_the_number_of_parameters_at_1024_features_and_8_dimensions(name: str, count: int) -> None:
    """DVIB's is the paper's 2.1 million; the others follow from the widths in their docstrings."""
    with torch.device("meta"):
        model = BOTTLENECKS[name](CIBAConfig(bottleneck=name, bottleneck_dim=8), 1024, 1024)  # pyright: ignore
    assert sum(parameter.numel() for parameter in model.parameters()) == count


# Self-attention


def test_self_attention_follows_its_equations() -> None:
    model = build("sa", bottleneck_heads=2, bottleneck_chunks=3)
    assert isinstance(model, SelfAttention)
    generation = regularization = 0.0
    for z_teacher, z in zip(VAL.teacher[:6].tolist(), VAL.student[:6].tolist(), strict=True):
        encoded = naive_self_attention(model, z_teacher)
        generation += square_distance(decode(model, encoded), z) / 6
        regularization += 0.5 * sum(value**2 for value in encoded) / 6
    loss = model.loss(VAL.teacher[:6], VAL.student[:6], torch.zeros(6, 0, dtype=torch.float64))
    assert loss.generation.item() == pytest.approx(generation, rel=1e-10)
    assert loss.regularization.item() == pytest.approx(regularization, rel=1e-10)
    assert model.regularization_weight == CONFIG.lambda_ib


def naive_self_attention(model: SelfAttention, z_teacher: list[float]) -> list[float]:
    """h' of one row: 3 chunks of 4, 2 heads of 2."""
    hidden = relu(apply(model.hidden[0], z_teacher))
    chunks = [hidden[start : start + 4] for start in range(0, 12, 4)]
    projected = [apply(model.queries_keys_values, chunk) for chunk in chunks]
    joined: list[float] = []
    for token, chunk in zip(projected, chunks, strict=True):
        heads: list[float] = []
        for head in (0, 2):
            query = token[head : head + 2]
            keys = [other[4 + head : 6 + head] for other in projected]
            values = [other[8 + head : 10 + head] for other in projected]
            powers = [math.exp(sum(q * k for q, k in zip(query, key, strict=True)) / math.sqrt(2)) for key in keys]
            shares = [power / sum(powers) for power in powers]
            heads += [sum(s * value[i] for s, value in zip(shares, values, strict=True)) for i in range(2)]
        joined += [c + a for c, a in zip(chunk, apply(model.attended, heads), strict=True)]
    return apply(model.narrow, joined)


def test_the_hidden_vector_is_as_wide_as_the_teacher_where_chunks_and_heads_divide_it() -> None:
    with torch.device("meta"):
        wide = SelfAttention(CIBAConfig(bottleneck_dim=8), 64, 64)
        rounded = SelfAttention(CIBAConfig(bottleneck_dim=8), 65, 64)
    assert wide.hidden[0].weight.shape == (64, 64)
    assert rounded.hidden[0].weight.shape == (96, 65)


# Codebook


@pytest.mark.parametrize("parts", [1, 3])
def test_the_codebook_follows_its_equations(parts: int) -> None:
    model = build("vq", bottleneck_code_parts=parts, bottleneck_codes=5, bottleneck_commitment=0.4)
    assert isinstance(model, VQ)
    columns = {1: [(0, 4)], 3: [(0, 2), (2, 3), (3, 4)]}[parts]
    codes = model.codes.tolist()
    generation = regularization = 0.0
    for row, (z_teacher, z) in enumerate(zip(VAL.teacher[:6].tolist(), VAL.student[:6].tolist(), strict=True)):
        encoded = apply(model.encoder[2], relu(apply(model.encoder[0], z_teacher)))
        chosen: list[float] = []
        for low, high in columns:
            distances = [square_distance(encoded[low:high], code[low:high]) for code in codes]
            chosen += codes[distances.index(min(distances))][low:high]
        assert model.encode(VAL.teacher)[row].tolist() == pytest.approx(chosen, rel=1e-12)
        generation += square_distance(decode(model, chosen), z) / 6
        regularization += 1.4 * square_distance(encoded, chosen) / 6
    loss = model.loss(VAL.teacher[:6], VAL.student[:6], torch.zeros(6, 0, dtype=torch.float64))
    assert loss.generation.item() == pytest.approx(generation, rel=1e-10)
    assert loss.regularization.item() == pytest.approx(regularization, rel=1e-10)
    assert model.regularization_weight == 1


def test_the_codebook_s_gradients_go_where_the_stops_say() -> None:
    """The generation reaches the encoder as if h' were e, and no code; ||sg(e) - c||² reaches the codes alone."""
    model = build("vq", bottleneck_commitment=0.4)
    assert isinstance(model, VQ)
    encoded, bias = model.encoder(VAL.teacher), model.get_parameter("encoder.2.bias")
    code = model.quantise(encoded).detach().requires_grad_()
    (model.decoder(code) - VAL.student).square().sum(dim=1).mean().backward()
    assert code.grad is not None
    expected = torch.autograd.grad(encoded, bias, grad_outputs=code.grad)[0]
    loss = model.loss(*VAL, torch.zeros(40, 0, dtype=torch.float64))
    through = torch.autograd.grad(loss.generation, (bias, model.codes), allow_unused=True, retain_graph=True)
    torch.testing.assert_close(through[0], expected)
    assert through[1] is None
    to_encoder, to_codes = torch.autograd.grad(loss.regularization, (bias, model.codes))
    difference = encoded.detach() - code.detach()
    torch.testing.assert_close(to_encoder, 0.4 * 2 * difference.sum(dim=0) / 40)
    torch.testing.assert_close(to_codes.sum(dim=0), -2 * difference.sum(dim=0) / 40)


def test_an_example_has_one_code_and_with_parts_more_combinations() -> None:
    used = {}
    for parts in (1, 2):
        model = build("vq", bottleneck_codes=3, bottleneck_code_parts=parts)
        model.prepare_epoch(TRAIN.teacher, torch.Generator().manual_seed(0))
        used[parts] = len(torch.unique(model.encode(TRAIN.teacher), dim=0))
    assert used[1] <= 3 < used[2] <= 9


def test_codes_that_no_row_uses_begin_anew_on_rows() -> None:
    model = build("vq", bottleneck_codes=5)
    assert isinstance(model, VQ)
    rows = model.encoder(TRAIN.teacher).tolist()
    with torch.no_grad():
        model.codes[:2] += 1000.0
    before = model.codes.tolist()
    model.prepare_epoch(TRAIN.teacher, torch.Generator().manual_seed(0))
    kept = [code == old for code, old in zip(model.codes.tolist(), before, strict=True)]
    assert kept[:2] == [False, False] and any(kept)
    assert all(code in rows for code, same in zip(model.codes.tolist(), kept, strict=True) if not same)
    trained = train_bottleneck(of_kind("vq", bottleneck_epochs=20), TRAIN, VAL, 0)
    assert len(torch.unique(trained.encode(TRAIN.teacher), dim=0)) >= 8


# What a stage depends on


OTHER_VALUES = {
    "bottleneck_dim": 5,
    "lambda_ib": 1.0,
    "bottleneck_lr": 2e-3,
    "bottleneck_batch_size": 16,
    "bottleneck_epochs": 3,
    "bottleneck_patience": 1,
    "bottleneck_heads": 2,
    "bottleneck_chunks": 2,
    "bottleneck_codes": 8,
    "bottleneck_code_parts": 2,
    "bottleneck_commitment": 2.0,
}


def test_every_field_of_a_bottleneck_belongs_to_some_kind() -> None:
    fields = {name for name in CIBAConfig.model_fields if name.startswith("bottleneck") or name == "lambda_ib"}
    assert fields == {*SHARED_FIELDS, *(field for kind in BOTTLENECKS.values() for field in kind.fields)}
    assert fields == {*OTHER_VALUES, "bottleneck"}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTTLENECKS)
def test_just_the_fields_of_its_kind_change_the_result_and_the_key(name: str) -> None:
    base = of_kind(name, bottleneck_lr=0.1, bottleneck_epochs=8)
    first, key = weights(train_bottleneck(base, TRAIN, VAL, 0)), stage_key(base)
    for field in {*OTHER_VALUES} - {"bottleneck_patience"}:
        changed = base.model_copy(update={field: OTHER_VALUES[field]})
        second = weights(train_bottleneck(changed, TRAIN, VAL, 0))
        same = first.shape == second.shape and torch.equal(first, second)
        assert same == (field not in (*SHARED_FIELDS, *BOTTLENECKS[name].fields)), field
        assert (stage_key(changed) == key) == same, field


def stage_key(config: CIBAConfig) -> str:
    return bottleneck_stage(trial(config.model_dump())).key


def trial(method: dict[str, Any]) -> TrialConfig:
    values = {
        "data": {"dataset": "mfeat", "train": 60, "val": 30},
        "teacher": {"model": "mlp", "hidden": [8], "feature_dim": 12},
        "student": {"model": "mlp", "hidden": [8], "feature_dim": 8},
        "method": method,
        "training": {"epochs": 1},
        "pretraining": {"epochs": 1},
    }
    return TrialConfig.model_validate(values)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> StageStore:
    return StageStore(Path(tmp_path_factory.mktemp("stages")))


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_every_loss_with_every_bottleneck_is_one_fit(bottleneck: str, stages: StageStore) -> None:
    metrics = []
    for loss in FEATURE_LOSSES:
        method = {"method": "ciba", "loss": loss, "bottleneck": bottleneck, "bottleneck_dim": 4, "bottleneck_epochs": 2}
        fitted = fit(trial(method), stages=stages)
        assert fitted.result.status == "complete" and math.isfinite(fitted.result.metrics["train/loss_fd"])
        metrics.append(fitted.result.metrics["train/loss_fd"])
        made = [name for name in fitted.result.stages_computed if name.startswith("bottleneck/")]
        assert len(made) == (loss == "mse"), "the four losses share one bottleneck"
    assert len(set(metrics)) == len(FEATURE_LOSSES)
