"""The networks of RAVDESS, MM-IMDB and VGG-Sound, and fusion: against counts, torchvision and loops."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from tests.helpers.oracles import count_parameters
from trainables.config import TrialConfig
from trainables.models import MODELS
from trainables.models.base import Model
from trainables.models.fusion import FusionConfig

ENCODERS = {
    "teacher_encoder": {"model": "mlp", "hidden": (5,), "feature_dim": 4},
    "student_encoder": {"model": "cnn", "widths": (3,), "pooled": 2, "feature_dim": 6},
}
FUSION_SHAPES = ((7,), (1, 8, 8))


def make(name: str, shape: Any, classes: int = 5, **fields: Any) -> Model:
    torch.manual_seed(0)
    entry = MODELS[name]
    return entry.build(entry.config(**fields), shape, classes)


def parameters(name: str, shape: Any, classes: int, **fields: Any) -> int:
    with torch.device("meta"):
        return count_parameters(make(name, shape, classes, **fields))


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [("ravdess_image", (3, 256, 512), 13_071_560), ("ravdess_audio", (1, 40, 256), 13_236_104)],
)
def test_ravdess_networks_have_the_published_parameters(name: str, shape: Any, count: int) -> None:
    assert parameters(name, shape, 8) == count


def test_ravdess_network_on_a_real_input() -> None:
    output = make("ravdess_audio", (1, 40, 256), 8, widths=(2, 2, 2), hidden=3, feature_dim=16)(
        torch.zeros(2, 1, 40, 256)
    )
    assert output.features.shape == (2, 16) and output.logits.shape == (2, 8)


def test_ravdess_pictures_are_normalised_inside() -> None:
    """The network on pixels equals its own layers on pixels in ImageNet's normalisation; sound is left alone."""
    model = make("ravdess_image", (3, 16, 20), widths=(2, 2, 2), pooled=(2, 2), feature_dim=4, hidden=3)
    pixels = torch.rand(3, 3, 16, 20)
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    normalised = torch.stack([(pixels[:, c] - mean[c]) / deviation[c] for c in range(3)], dim=1)
    layers = model.layers
    assert isinstance(layers, nn.Sequential) and isinstance(model.tap, nn.Linear)
    assert torch.allclose(model(pixels).features, model.tap(layers[1:](normalised)), atol=1e-6)
    assert not any("mean" in key for key in model.state_dict())
    audio = make("ravdess_audio", (1, 24, 26)).get_submodule("layers")
    assert isinstance(audio, nn.Sequential) and isinstance(audio[0], nn.Identity)


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "reference", "width"), [(18, resnet18, 512), (50, resnet50, 2048)])
def test_resnet_is_torchvisions(depth: int, reference: Any, width: int) -> None:
    """The same weights give the same logits; only ImageNet's normalisation is added."""
    torch.manual_seed(1)
    theirs, ours = reference(num_classes=5).eval(), make("resnet", (3, 64, 64), depth=depth, feature_dim=width).eval()
    weights = {key.replace("fc.", "head."): value for key, value in theirs.state_dict().items()}
    ours.load_state_dict(weights, strict=True)
    pixels = torch.rand(2, 3, 64, 64)
    seen = ours.get_submodule("colours")(pixels)
    with torch.no_grad():
        assert torch.allclose(ours(pixels).logits, theirs(seen), atol=1e-5)
        assert torch.allclose(ours.head(ours(pixels).features), theirs(seen), atol=1e-5)


def test_resnet_takes_a_spectrogram() -> None:
    stem = make("resnet", (1, 513, 313), 100, width=2, feature_dim=16).get_submodule("conv1")
    assert isinstance(stem, nn.Conv2d) and stem.in_channels == 1 and stem.kernel_size == (7, 7)
    assert parameters("resnet", (1, 513, 313), 100) == 11_176_512 - 2 * 64 * 49 + 512 * 100 + 100


def test_resnet_averages_its_features_over_frames() -> None:
    model = make("resnet", (3, 3, 32, 32), width=2, norm="group", feature_dim=16)
    frames = torch.rand(2, 3, 3, 32, 32)
    alone = torch.stack([model(frames[:, number]).features for number in range(3)])
    assert torch.allclose(model(frames).features, alone.mean(dim=0), atol=1e-5)


def test_resnet3d_has_the_layers_of_mfh() -> None:
    """3x7x7 stem; four stages of three blocks, each of two 3x3x3 convolutions; a 1x1x1 convolution where they widen."""

    def stage(before: int, after: int) -> int:
        widening = 0 if before == after else before * after + 2 * after
        return before * after * 27 + 5 * after * after * 27 + 6 * 2 * after + widening

    stem = 3 * 64 * 3 * 7 * 7 + 2 * 64
    stages = stage(64, 64) + stage(64, 128) + stage(128, 256) + stage(256, 512)
    assert parameters("resnet3d", (32, 3, 256, 256), 100) == stem + stages + 512 * 100 + 100


@pytest.mark.parametrize(
    ("name", "shape", "fields"),
    [
        ("maxout", (7,), {"hidden": (6,), "norm": "batch", "dropout": 0.0}),
        ("resnet", (3, 32, 32), {"width": 2}),
        ("resnet3d", (4, 3, 32, 32), {"width": 2}),
    ],
)
def test_batch_normalisation_ties_rows_in_training_only(name: str, shape: Any, fields: dict[str, Any]) -> None:
    """What the docstrings say of `norm: batch`; evaluation, frozen teachers and reports see single rows."""
    model = make(name, shape, **fields)
    inputs = torch.randn(4, *shape)
    assert not torch.allclose(model(inputs).logits[:2], model(inputs[:2]).logits, atol=1e-3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.eval()
    with torch.no_grad():
        assert torch.allclose(model(inputs).logits[:2], model(inputs[:2]).logits, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_maxout_against_a_loop() -> None:
    model = make("maxout", (7,), hidden=(3,), norm="none", dropout=0.0, feature_dim=4)
    inputs = torch.randn(2, 7)
    (linear,) = (layer.linear for layer in model.modules() if type(layer).__name__ == "Maxout")
    assert isinstance(linear, nn.Linear) and isinstance(model.tap, nn.Linear)
    for row, features in zip(inputs, model(inputs).features, strict=True):
        pieces = linear.weight @ row + linear.bias
        largest = torch.stack([max(pieces[unit], pieces[unit + 3]) for unit in range(3)])
        assert torch.allclose(features, model.tap(largest), atol=1e-6)


def fusion(**fields: Any) -> Model:
    return make("fusion", FUSION_SHAPES, **{**ENCODERS, **fields})


def alone(encoder: str, model: Model) -> Model:
    """An encoder of a fusion as a separate network, with its head."""
    config = dict(ENCODERS[encoder])
    built = make(str(config.pop("model")), FUSION_SHAPES[list(ENCODERS).index(encoder)], **config)
    built.load_state_dict(model.get_submodule(encoder).state_dict(), strict=False)
    return built


def pairs() -> tuple[Tensor, Tensor]:
    return torch.randn(3, 7), torch.randn(3, 1, 8, 8)


def test_fusion_joins_the_activated_features() -> None:
    model, (first, second) = fusion(feature_dim=9), pairs()
    encoded = [
        alone("teacher_encoder", model)(first).features.relu(),
        alone("student_encoder", model)(second).features.relu(),
    ]
    assert isinstance(model.tap, nn.Linear) and isinstance(model.head, nn.Linear)
    features = torch.cat(encoded, dim=1) @ model.tap.weight.T + model.tap.bias
    output = model(first, second)
    assert torch.allclose(output.features, features, atol=1e-6)
    assert torch.allclose(output.logits, model.head(features.relu()), atol=1e-6)
    assert model.tap.in_features == 4 + 6


def test_fusion_by_the_mean_of_logits() -> None:
    model, (first, second) = fusion(combine="logits", feature_dim=10), pairs()
    teacher, student = alone("teacher_encoder", model)(first), alone("student_encoder", model)(second)
    output = model(first, second)
    assert torch.allclose(output.logits, (teacher.logits + student.logits) / 2, atol=1e-6)
    assert torch.allclose(output.features, torch.cat([teacher.features, student.features], dim=1), atol=1e-6)


def test_ravdess_fusion_has_the_layers_of_the_paper() -> None:
    encoders = {role: {"model": f"ravdess_{kind}"} for role, kind in zip(ENCODERS, ("audio", "image"), strict=True)}
    heads = 2 * (1024 * 128 + 128 + 128 * 8 + 8)
    joint = 2048 * 1024 + 1024 + 1024 * 8 + 8
    count = parameters("fusion", ((1, 40, 256), (3, 256, 512)), 8, feature_dim=1024, **encoders)
    assert count == 13_071_560 + 13_236_104 - heads + joint


def test_a_fusion_config_survives_json() -> None:
    values = {
        "data": {"dataset": "mfeat"},
        "teacher": {"model": "fusion", **ENCODERS, "student_encoder": {"model": "mlp"}},
        "student": {"model": "mlp"},
        "method": {"method": "feature_kd"},
    }
    config = TrialConfig.model_validate(values)
    again = TrialConfig.model_validate(config.model_dump(mode="json"))
    assert isinstance(config.teacher, FusionConfig) and again == config and again.trial_id == config.trial_id
    other = {**values, "teacher": {**values["teacher"], "teacher_encoder": {"model": "mlp", "hidden": (6,)}}}
    assert TrialConfig.model_validate(other).trial_id != config.trial_id


BAD_CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"teacher_encoder": {"model": "fusion"}}, "model must be one of mlp, linear, cnn"),
    ({"teacher_encoder": {"hidden": [4]}}, "model must be one of mlp, linear, cnn"),
    ({"teacher_encoder": {"model": "mlp", "hiden": [4]}}, "hiden"),
    ({"teacher_encoder": {"model": "mlp", "dropout": 2}}, "dropout: "),
]


@pytest.mark.parametrize(("values", "message"), BAD_CONFIGS)
def test_a_wrong_encoder_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        FusionConfig(**{**ENCODERS, **values})
    assert message in str(error.value) and error.value.errors()[0]["loc"] == ("teacher_encoder",)


BAD_SHAPES: list[tuple[str, Any, dict[str, Any], str]] = [
    ("fusion", ((7,), (8,)), ENCODERS, r"student_encoder: model: 'cnn' takes images"),
    ("fusion", FUSION_SHAPES, {**ENCODERS, "combine": "logits"}, "write `feature_dim: 10`"),
    ("ravdess_image", (7,), {}, "use `model: mlp`"),
    ("ravdess_audio", (1, 12, 256), {}, r"have no output for an input of shape \(1, 12, 256\)"),
    ("resnet", (7,), {}, "use `model: mlp`"),
    ("resnet3d", (3, 8, 8), {}, "use `model: resnet`"),
]


@pytest.mark.parametrize(("name", "shape", "fields", "message"), BAD_SHAPES)
def test_an_input_that_does_not_fit_is_refused(name: str, shape: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name, shape, **fields)
