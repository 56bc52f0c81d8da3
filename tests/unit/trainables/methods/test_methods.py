"""The contract of a distillation method, for every entry of METHODS, and what each method adds."""

import math
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from search_spaces.domains import Choice, Domain, FloatRange, IntRange
from trainables.common.types import Batch, LossTerm, ModelOutput
from trainables.losses import distillation as losses
from trainables.methods import METHODS
from trainables.methods.base import Method, MethodConfig
from trainables.methods.ciba import CIBAConfig
from trainables.methods.clip_kd import ClipKDConfig
from trainables.methods.feature_kd import FeatureKDConfig
from trainables.methods.feature_loss import FEATURE_LOSSES, FeatureLossConfig
from trainables.methods.kd import KDConfig
from trainables.methods.regression_kd import RegressionKDConfig
from trainables.models.mlp import MLPConfig, build_mlp
from trainables.tasks import TASKS

ROWS, CLASSES, STUDENT_DIM, TEACHER_DIM = 10, 4, 12, 12
CONTEXT = {"reduction": {"loss": "mse"}, "fd_temperature": {"loss": "clip"}, "margin": {"loss": "margin"}}
"""Fields that only one feature loss reads, and that loss."""
CONTEXT |= {"te_lag": {"te1": 1.0}, "te_pairs": {"te1": 1.0}}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "clip_kd": [{}, {"learn_temperature": True}, *({"cl": 0.0, term: 1.0} for term in ClipKDConfig.terms[1:])]
}
"""Configs of a method that the whole contract is tested for, besides its feature losses."""
OF_THE_LOOP = ("region", "mask_ratio", "patch_size", "teacher_outputs")
"""Fields that change what the loss is given, not what it does with it."""


def cases() -> list[Any]:
    """Every method, with every feature loss that it can use."""
    found = []
    for name, entry in METHODS.items():
        losses = [{"loss": loss} for loss in FEATURE_LOSSES] if "loss" in entry.config.model_fields else [{}]
        for fields in VARIANTS.get(name, losses):
            found.append(pytest.param(entry.config(**fields), id=" ".join([name, *map(str, fields.values())])))
    return found


def build(config: MethodConfig, student_dim: int = STUDENT_DIM, teacher_dim: int = TEACHER_DIM) -> Method:
    torch.manual_seed(0)
    return METHODS[config.kind].build(config, student_dim, teacher_dim, TASKS[task_of(config)])


def task_of(config: MethodConfig) -> str:
    return config.tasks[0] if config.tasks else "classification"


def outputs(
    config: MethodConfig, dtype: torch.dtype = torch.float32, teacher_dim: int = TEACHER_DIM
) -> tuple[ModelOutput, ModelOutput | None, Batch]:
    """Student outputs and frozen targets for `config`, and their batch, with some rows unlabelled."""
    generator = torch.Generator().manual_seed(0)

    def normal(width: int) -> Tensor:
        return torch.randn(ROWS, width, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    width = {"nothing": 0, "teacher": teacher_dim, "nullified": teacher_dim}
    width["bottleneck"] = getattr(config, "bottleneck_dim", 0)
    if task_of(config) == "retrieval":
        student, teacher = contrastive(normal(3 * STUDENT_DIM), 3), contrastive(normal(2 * teacher_dim), 2)
    else:
        student = ModelOutput(normal(CLASSES), normal(STUDENT_DIM))
        teacher = ModelOutput(normal(CLASSES), normal(width[config.teacher_source]))
    labels = torch.randint(CLASSES, (ROWS,), generator=generator)
    if task_of(config) == "retrieval":
        labels = TASKS["retrieval"].example(ROWS, 2)
    if task_of(config) == "regression":
        labels = torch.randn(ROWS, CLASSES, generator=generator)
    labelled = torch.arange(ROWS) % 3 > 0
    batch = Batch(torch.zeros(ROWS, 1), torch.zeros(ROWS, 1), labels, labelled, torch.arange(ROWS))
    return student, None if config.teacher_source == "nothing" else teacher, batch


def contrastive(vectors: Tensor, several: int) -> ModelOutput:
    """Unit vectors that are leaves, and logits of a scale of 9: an image, a masked one (of a student), a text."""
    embeddings = nn.functional.normalize(vectors.detach().view(len(vectors), several, -1), dim=2)
    return ModelOutput((3 * embeddings).requires_grad_(), embeddings[:, 0].clone(), embeddings.requires_grad_())


def taught(config: MethodConfig, student: ModelOutput) -> list[Tensor]:
    """The outputs that the loss must give a gradient."""
    if student.embeddings is not None:
        return [student.logits if config.learns_scale else student.embeddings]
    return [student.logits, student.features] if "fd" in config.active_terms else [student.logits]


def objective(terms: dict[str, LossTerm]) -> Tensor:
    return torch.stack([torch.as_tensor(term.value * term.weight) for term in terms.values()]).sum()


def values(terms: dict[str, LossTerm]) -> dict[str, float]:
    return {name: term.value.item() for name, term in terms.items()}


@pytest.mark.parametrize("config", cases())
def test_returns_the_terms_it_names_each_a_finite_scalar(config: MethodConfig):
    terms = build(config)(*outputs(config))
    assert tuple(terms) == config.active_terms
    for term in terms.values():
        assert term.value.shape == () and term.value.isfinite() and math.isfinite(term.weight)


@pytest.mark.parametrize("config", cases())
def test_gradients_reach_the_student_and_the_adapters_but_not_the_teacher(config: MethodConfig):
    method, (student, teacher, batch) = build(config, teacher_dim=9), outputs(config, teacher_dim=9)
    objective(method(student, teacher, batch)).backward()
    for tensor in [*taught(config, student), *method.parameters()]:
        gradient = tensor.grad
        assert gradient is not None and gradient.isfinite().all() and gradient.ne(0).any()
    if teacher is not None:
        assert teacher.logits.grad is None and teacher.features.grad is None


@pytest.mark.parametrize("config", cases())
def test_a_distillation_term_teaches_from_unlabelled_rows(config: MethodConfig):
    student, teacher, batch = outputs(config)
    batch = batch._replace(labelled=torch.zeros_like(batch.labelled))
    objective(build(config)(student, teacher, batch)).backward()
    learnt = [tensor.grad for tensor in student if tensor is not None and tensor.grad is not None]
    assert all(gradient.isfinite().all() for gradient in learnt)
    distils = config.teacher_source != "nothing" and config.active_terms != ("cl",)
    assert any(gradient.ne(0).any() for gradient in learnt) == distils


@pytest.mark.parametrize("config", cases())
def test_the_label_of_an_unlabelled_row_has_no_effect(config: MethodConfig):
    method, (student, teacher, batch) = build(config), outputs(config)
    labelled = batch.labelled.view(-1, *[1] * (batch.labels.ndim - 1))
    others = torch.where(labelled, batch.labels, (batch.labels + 1) % CLASSES)
    assert values(method(student, teacher, batch)) == values(method(student, teacher, batch._replace(labels=others)))
    others = torch.where(labelled, (batch.labels + 1) % CLASSES, batch.labels)
    if task_of(config) != "retrieval":  # there the pairing is the label
        assert values(method(student, teacher, batch)) != values(
            method(student, teacher, batch._replace(labels=others))
        )


@pytest.mark.parametrize("config", cases())
def test_is_pure(config: MethodConfig):
    method, given = build(config), outputs(config)
    before = [tensor.clone() for part in given if part for tensor in part if tensor is not None]
    state = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    random = torch.get_rng_state()
    assert values(method(*given)) == values(method(*given))
    after = [tensor for part in given if part for tensor in part if tensor is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(tensor, state[name]) for name, tensor in method.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize("config", cases())
def test_float64_gives_the_same_numbers_more_precisely(config: MethodConfig):
    single = build(config)(*outputs(config))
    double = build(config).double()(*outputs(config, torch.float64))
    assert all(term.value.dtype == torch.float64 for term in double.values())
    assert values(double) == pytest.approx(values(single), rel=1e-5)


@pytest.mark.parametrize("config", cases())
def test_stacked_trials_give_what_each_gives_alone(config: MethodConfig):
    """vmap over the parameters of several students and their adapters, gradients included."""
    _, teacher, batch = outputs(config, teacher_dim=9)
    inputs = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(1))
    trials = [
        nn.ModuleDict({"student": student(seed, config), "method": build(config, teacher_dim=9)}) for seed in range(3)
    ]
    stacked, _ = stack_module_state(list(trials))

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        student_parameters, method_parameters = (
            {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}
            for prefix in ("student.", "method.")
        )
        student_out = functional_call(trials[0]["student"], student_parameters, (inputs,))
        return objective(functional_call(trials[0]["method"], method_parameters, (student_out, teacher, batch)))

    together = vmap(grad(loss))(stacked)
    for number, trial in enumerate(trials):
        alone = grad(loss)(dict(trial.named_parameters()))
        for name, gradient in alone.items():
            torch.testing.assert_close(together[name][number], gradient, rtol=1e-4, atol=1e-5)


class Contrastive(nn.Module):
    """The least that has embeddings and a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 3 * STUDENT_DIM)
        self.log_scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, inputs: Tensor) -> ModelOutput:
        embeddings = nn.functional.normalize(self.linear(inputs).view(len(inputs), 3, STUDENT_DIM), dim=2)
        return ModelOutput(embeddings * (self.log_scale / 2).exp(), embeddings[:, 0], embeddings)


def student(seed: int, config: MethodConfig) -> nn.Module:
    torch.manual_seed(seed)
    if task_of(config) == "retrieval":
        return Contrastive()
    return build_mlp(MLPConfig(hidden=(6,), feature_dim=STUDENT_DIM), (5,), CLASSES)


def own_fields(*, stage: bool) -> list[Any]:
    """The fields of every method that concern its loss, or (`stage`) only the stage that it asks for."""
    return [
        pytest.param(name, field, id=f"{name}.{field}")
        for name, entry in METHODS.items()
        for field in entry.config.model_fields
        if field not in ("method", *OF_THE_LOOP) and is_stage_field(field) == stage
    ]


def is_stage_field(field: str) -> bool:
    return field == "lambda_ib" or (field.startswith(("bottleneck", "nulli")) and field != "bottleneck_dim")


def other_values(field: FieldInfo) -> list[Any]:
    """Valid values of a field besides its default."""
    if field.annotation is bool:
        found = [True, False]
    elif get_origin(field.annotation) is Literal:
        found = list(get_args(field.annotation))
    else:
        found = [value for domain in domains(field) for value in endpoints(domain)] or [field.default / 2]
    return [value for value in found if value != field.default]


def domains(field: FieldInfo) -> list[Domain]:
    return [item for item in field.metadata if isinstance(item, FloatRange | IntRange | Choice)]


def endpoints(domain: Domain) -> tuple[Any, ...]:
    return domain.options if isinstance(domain, Choice) else (domain.low, domain.high)


@pytest.mark.parametrize(("name", "field"), own_fields(stage=False))
def test_every_field_of_the_loss_changes_it(name: str, field: str):
    config_class, context = METHODS[name].config, CONTEXT.get(field, {})
    options = [
        value for value in other_values(config_class.model_fields[field]) if field != "bottleneck_dim" or value <= 12
    ]
    assert options
    default = config_class(**context)
    for value in options:
        changed = config_class(**{**context, field: value})
        assert objective(build(changed)(*outputs(changed))) != objective(build(default)(*outputs(default)))


@pytest.mark.parametrize(("name", "field"), own_fields(stage=True))
def test_only_a_method_with_such_a_stage_has_its_fields(name: str, field: str):
    assert METHODS[name].config.teacher_source == ("nullified" if field.startswith("nulli") else "bottleneck")


@pytest.mark.parametrize("name", METHODS)
def test_the_config_names_its_entry_and_documents_every_field(name: str):
    config = METHODS[name].config()
    assert config.kind == name
    assert config.__doc__ and METHODS[name].build.__doc__
    assert len(set(config.terms)) == len(config.terms) > 0 and set(config.active_terms) <= set(config.terms)
    undocumented = [key for key, field in type(config).model_fields.items() if not field.description]
    assert undocumented == []


@pytest.mark.parametrize(("name", "field"), own_fields(stage=False) + own_fields(stage=True))
def test_search_ranges_hold_only_values_that_the_field_accepts(name: str, field: str):
    config_class = METHODS[name].config
    for domain in domains(config_class.model_fields[field]):
        for value in endpoints(domain):
            assert getattr(config_class(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("kd", "lambda_kd", 1.1),
        ("kd", "temperature", 0.0),
        ("regression_kd", "lambda_kd", -0.1),
        ("feature_kd", "lambda_kd", -0.1),
        ("feature_kd", "margin", 1.5),
        ("feature_kd", "loss", "mae"),
        ("ciba", "bottleneck_dim", 0),
        ("ciba", "lambda_ib", float("nan")),
        ("clip_kd", "te1", -0.1),
        ("clip_kd", "temperature", 0.0),
        ("clip_kd", "mask_ratio", 1.0),
        ("none", "lambda_kd", 0.5),
    ],
)
def test_values_outside_the_hard_bounds_are_refused(name: str, field: str, value: object):
    with pytest.raises(ValidationError, match=field):
        METHODS[name].config(**{field: value})


def test_kd_weighs_task_and_distillation_as_a_mixture():
    config = KDConfig(lambda_kd=0.3, temperature=3.0)
    student_out, teacher, batch = outputs(config)
    terms = build(config)(student_out, teacher, batch)
    assert (terms["task"].weight, terms["kd"].weight) == pytest.approx((0.7, 0.3))
    assert teacher is not None
    assert terms["kd"].value == losses.logit_kl(student_out.logits, teacher.logits, 3.0)


def test_regression_kd_is_the_weighted_sum_of_both_squared_errors():
    """Against the loop over rows of sum (y - s)^2 + lambda sum (s - t)^2, each sum divided by its terms."""
    config = RegressionKDConfig(lambda_kd=3.0)
    student_out, teacher, batch = outputs(config, torch.float64)
    assert teacher is not None
    task = kd = 0.0
    for row in range(ROWS):
        for s, t, y in zip(
            *(part[row].tolist() for part in (student_out.logits, teacher.logits, batch.labels)), strict=True
        ):
            task += (y - s) ** 2 / (int(batch.labelled.sum()) * CLASSES) if batch.labelled[row] else 0.0
            kd += (s - t) ** 2 / (ROWS * CLASSES)
    terms = build(config)(student_out, teacher, batch)
    assert (terms["task"].weight, terms["kd"].weight) == (1.0, 3.0)
    assert values(terms) == pytest.approx({"task": task, "kd": kd})
    assert build(config)(student_out, student_out, batch)["kd"].value == 0


def test_feature_kd_has_an_adapter_only_between_different_dimensions():
    config = FeatureKDConfig()
    assert list(build(config, 12, 12).parameters()) == []
    assert build(config, 12, 9).state_dict()["adapter.weight"].shape == (9, 12)


@pytest.mark.parametrize("loss", FEATURE_LOSSES)
def test_feature_kd_with_an_adapter_compares_the_mapped_features(loss: Literal["mse", "ce", "clip", "margin"]):
    config = FeatureKDConfig(loss=loss)
    student_out, teacher, batch = outputs(config, teacher_dim=9)
    method = build(config, teacher_dim=9)
    assert teacher is not None
    weight, bias = method.state_dict()["adapter.weight"], method.state_dict()["adapter.bias"]
    expected = FEATURE_LOSSES[loss](student_out.features @ weight.T + bias, teacher.features, config, None, None)
    torch.testing.assert_close(method(student_out, teacher, batch)["fd"].value, expected)


def test_ciba_leaves_the_dimensions_after_the_first_h_free():
    config = CIBAConfig(bottleneck_dim=5)
    student_out, teacher, batch = outputs(config)
    build(config)(student_out, teacher, batch)["fd"].value.backward()
    gradient = student_out.features.grad
    assert gradient is not None
    assert gradient[:, :5].ne(0).all() and gradient[:, 5:].eq(0).all()


def test_ciba_refuses_a_target_of_another_width():
    config = CIBAConfig(bottleneck_dim=5)
    student_out, teacher, batch = outputs(CIBAConfig(bottleneck_dim=1))
    with pytest.raises(AssertionError, match="h' "):
        build(config)(student_out, teacher, batch)


def test_every_feature_loss_option_is_in_the_table():
    assert tuple(FEATURE_LOSSES) == get_args(FeatureLossConfig.model_fields["loss"].annotation)
