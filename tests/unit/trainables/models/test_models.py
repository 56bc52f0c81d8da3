"""The contract of a model, for each entry of MODELS, and the properties of each one."""

from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from tests.helpers.oracles import count_parameters
from tests.helpers.tiny_clip import TINY
from trainables.detection.boxes import channels
from trainables.models import MODELS
from trainables.models.base import Model
from trainables.models.cnn import CNNConfig, build_cnn
from trainables.models.contrastive.clip import VOCABULARY
from trainables.models.mlp import MLPConfig, build_mlp

CLASSES = 5
SHAPES: dict[str, Any] = {
    **{"mlp": (7,), "cnn": (3, 12, 8), "ravdess_image": (3, 16, 20), "ravdess_audio": (1, 24, 26), "maxout": (7,)},
    "linear": (7,),
    **{"resnet": (2, 3, 40, 40), "resnet3d": (4, 3, 40, 40), "fusion": ((7,), (1, 8, 8))},
    **{"bev_lidar": (4, 8, 8), "bev_camera": (2, 3, 9, 12), "bev_features": (4, 4, 6)},
    **dict.fromkeys(("clip", "open_clip"), ((2, 3, 16, 16), (3, 8))),
}
"""Of one input; of a fusion's two."""
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": (9, 8), "feature_dim": 6},
    "linear": {"feature_dim": CLASSES},
    "cnn": {"widths": (4, 5), "pooled": 2, "feature_dim": 6},
    "ravdess_image": {"widths": (4, 5, 6), "pooled": (2, 3), "hidden": 7, "feature_dim": 6},
    "ravdess_audio": {"widths": (4, 5, 6), "pooled": (2, 3), "hidden": 7, "feature_dim": 6},
    "maxout": {"hidden": (9, 8), "head_hidden": 7, "dropout": 0.0, "feature_dim": 6},
    "resnet": {"width": 2, "norm": "group", "feature_dim": 6},
    "resnet3d": {"width": 2, "norm": "group", "feature_dim": 6},
    "fusion": {
        "teacher_encoder": {"model": "mlp", "hidden": (5,), "feature_dim": 4},
        "student_encoder": {"model": "cnn", "widths": (3,), "pooled": 2, "feature_dim": 5},
        "feature_dim": 6,
    },
    "bev_lidar": {"cells": 4, "stem": 4, "bev_width": 4, "bev_blocks": 1, "feature_dim": 6},
    "bev_camera": {
        **{"cells": 4, "widths": (4,), "heights": (0.5,), "bev_width": 4, "bev_blocks": 1, "feature_dim": 6},
    },
    "bev_features": {"cells": 4, "feature_dim": 6},
    "clip": {"channels": (4, 8), "text_width": 8, "text_heads": 2, "feature_dim": 6},
    "open_clip": {"model_name": TINY, "feature_dim": 6},
}
OTHER_RAVDESS = {
    **{"widths": (4, 5, 7), "kernels": (5, 3, 3), "pooled": (1, 3), "hidden": 6, "feature_dim": 4, "tap": "after_relu"},
}
OTHER: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": (9,), "feature_dim": 4, "activation": "none", "tap": "after_relu", "dropout": 0.5},
    "linear": {},
    "cnn": {"widths": (4,), "pooled": 1, "feature_dim": 4, "tap": "after_relu", "dropout": 0.5},
    "ravdess_image": OTHER_RAVDESS,
    "ravdess_audio": OTHER_RAVDESS,
    "maxout": {
        **{"hidden": (9,), "head_hidden": 6, "norm": "batch", "feature_dim": 4, "tap": "after_relu", "dropout": 0.5},
    },
    "resnet": {"depth": 50, "width": 1, "norm": "batch", "feature_dim": 4},
    "resnet3d": {"width": 1, "norm": "batch", "feature_dim": 4},
    "fusion": {
        "teacher_encoder": {"model": "mlp", "hidden": (5,), "feature_dim": 3},
        "student_encoder": {"model": "mlp", "hidden": (5,), "feature_dim": 4},
        "feature_dim": 4,
        "tap": "after_relu",
    },
    "bev_lidar": {
        **{"cells": 8, "stem": 5, "bev_width": 8, "bev_blocks": 2, "feature_dim": 4, "tap": "after_relu"},
        **{"dropout": 0.5},
    },
    "bev_camera": {
        **{"cells": 8, "widths": (4, 5), "heights": (0.5, 1.0), "bev_width": 8, "bev_blocks": 2, "feature_dim": 4},
        **{"tap": "after_relu", "dropout": 0.5},
    },
    "bev_features": {},
    "clip": {
        **{"image": "resnet10t", "channels": (4, 6), "text": "transformer", "text_width": 12, "feature_dim": 4},
        "initial_temperature": 0.1,
    },
    "open_clip": {},
}
"""For each field another value than in `SMALL`."""

OWN_TESTS: dict[str, set[str]] = {
    "fusion": {"combine"},
    "bev_features": {"cells", "feature_dim"},
    "linear": {"feature_dim"},
    "clip": {"norm", "text_depth", "text_heads", "attention"},
    "open_clip": {"model_name", "feature_dim", "pretrained", "precision"},
}
"""Fields that depend on others or on the inputs; the tests of each model cover them."""

CELLS: dict[str, tuple[int, ...]] = {name: (4, 4) for name in ("bev_lidar", "bev_camera", "bev_features")}
"""Places that a network in bird's-eye view describes, each by features and by a box."""

EMBEDDINGS: dict[str, tuple[int, ...]] = {name: (2 + 3, 6) for name in ("clip", "open_clip")}
"""Of the two views and the three captions of a row, with the feature dimension of `SMALL`."""

each_model = pytest.mark.parametrize("name", MODELS)


def make(name: str, **changes: Any) -> Model:
    entry = MODELS[name]
    torch.manual_seed(0)
    return entry.build(entry.config(**{**SMALL[name], **changes}), SHAPES[name], CLASSES)


def inputs_for(name: str, rows: int = 4) -> tuple[torch.Tensor, ...]:
    shapes = SHAPES[name] if MODELS[name].config.sees == "both" else (SHAPES[name],)
    generator = torch.Generator().manual_seed(1)
    if name in EMBEDDINGS:
        images, captions = ((rows, *shape) for shape in shapes)
        return torch.rand(images, generator=generator), torch.randint(1, VOCABULARY, captions, generator=generator)
    return tuple(torch.randn(rows, *shape, generator=generator) for shape in shapes)


def doubled(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(part.double() if part.is_floating_point() else part for part in inputs)


def with_field(field: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in MODELS if field in MODELS[name].config.model_fields])


@each_model
def test_outputs_have_the_declared_shapes(name: str) -> None:
    cells = CELLS.get(name, ())
    for feature_dim in (SMALL[name]["feature_dim"],) if "feature_dim" in OWN_TESTS.get(name, ()) else (1, 6):
        output = make(name, feature_dim=feature_dim)(*inputs_for(name))
        if name in EMBEDDINGS:
            assert output.embeddings is not None
            assert output.logits.shape == output.embeddings.shape == (4, EMBEDDINGS[name][0], feature_dim)
        else:
            assert output.logits.shape == (4, *cells, channels(CLASSES) if cells else CLASSES)
        assert output.features.shape == (4, *cells, feature_dim)


@with_field("tap")
def test_the_tap_feeds_the_head(name: str) -> None:
    before, after = make(name), make(name, tap="after_relu")
    x = inputs_for(name)
    assert torch.equal(before.head(before(*x).features.relu()), before(*x).logits)
    assert torch.equal(after.head(after(*x).features), after(*x).logits)
    assert before(*x).features.min() < 0 and torch.equal(after(*x).features, before(*x).features.relu())


@each_model
def test_the_seed_alone_decides_the_initial_weights(name: str) -> None:
    first, second = make(name).state_dict(), make(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.manual_seed(1)
    other = MODELS[name].build(MODELS[name].config(**SMALL[name]), SHAPES[name], CLASSES).state_dict()
    drawn = [key for key in first if first[key].double().std(correction=0) > 0]
    assert drawn and not any(torch.equal(first[key], other[key]) for key in drawn)


@with_field("dropout")
def test_dropout_acts_in_training_only(name: str) -> None:
    model, x = make(name, dropout=0.5), inputs_for(name)
    assert not torch.equal(model(*x).logits, model(*x).logits)
    model.eval()
    assert torch.equal(model(*x).logits, model(*x).logits)
    assert torch.equal(model(*x).logits, make(name).eval()(*x).logits)


@each_model
def test_gradients_reach_every_parameter(name: str) -> None:
    model = make(name)
    model(*inputs_for(name, 64)).logits.logsumexp(dim=1).sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@each_model
def test_float64(name: str) -> None:
    model, x = make(name), inputs_for(name)
    single = model(*x)
    double = model.double()(*doubled(x))
    assert double.logits.dtype == double.features.dtype == torch.float64
    assert torch.allclose(single.logits.double(), double.logits, atol=1e-5)


@each_model
def test_rows_do_not_see_each_other(name: str) -> None:
    model, x = make(name), inputs_for(name)
    assert torch.allclose(model(*(part[1:2] for part in x)).logits, model(*x).logits[1:2], atol=1e-6)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of attention, until torch can stack it
@each_model
def test_stacked_models_equal_single_ones(name: str) -> None:
    """Three models at once under vmap, with gradients, as trials that are run together need it."""
    entry = MODELS[name]
    torch.manual_seed(3)
    models = [entry.build(entry.config(**SMALL[name]), SHAPES[name], CLASSES).double() for _ in range(3)]
    x = doubled(inputs_for(name))
    parameters, buffers = stack_module_state(models)
    stacked = vmap(lambda p, b: functional_call(models[0], (p, b), x).logits)(parameters, buffers)
    assert torch.allclose(stacked, torch.stack([model(*x).logits for model in models]), atol=1e-5)
    stacked.square().sum().backward()
    models[1](*x).logits.square().sum().backward()
    for key, parameter in models[1].named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameters[key].grad[1], parameter.grad, atol=1e-5), key


@each_model
def test_every_field_changes_the_model(name: str) -> None:
    config = MODELS[name].config
    tags = {field for field, info in config.model_fields.items() if is_tag(info.annotation)}
    assert OTHER[name].keys() == config.model_fields.keys() - tags - OWN_TESTS.get(name, set())
    x = inputs_for(name)
    before = make(name)(*x)
    for field, value in OTHER[name].items():
        after = make(name, **{field: value})(*x)
        same = before.features.shape == after.features.shape and torch.equal(before.features, after.features)
        assert not (same and torch.equal(before.logits, after.logits)), field


def is_tag(annotation: object) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


@each_model
def test_every_field_is_documented(name: str) -> None:
    for field, info in MODELS[name].config.model_fields.items():
        assert info.description and len(info.description) > 10, field


def test_count_parameters() -> None:
    """Layer by layer: weights and biases; frozen ones do not count."""
    assert count_parameters(make("mlp")) == (7 * 9 + 9) + (9 * 8 + 8) + (8 * 6 + 6) + (6 * 5 + 5)
    convolutions = (3 * 4 * 9 + 4) + (4 * 5 * 9 + 5)
    assert count_parameters(make("cnn")) == convolutions + (5 * 2 * 2 * 6 + 6) + (6 * 5 + 5)
    model = make("mlp")
    model.head.requires_grad_(False)
    assert count_parameters(model) == count_parameters(make("mlp")) - 35


def test_mlp_flattens_images() -> None:
    model = build_mlp(MLPConfig(), (3, 4, 4), CLASSES)
    assert model(torch.zeros(2, 3, 4, 4)).features.shape == (2, 128)


def test_mlp_without_activation_is_linear() -> None:
    """Two linear layers and nothing between: the product of their matrices."""
    model = build_mlp(MLPConfig(hidden=(), activation="none", feature_dim=3), (7,), CLASSES)
    assert [type(layer) for layer in model.modules() if isinstance(layer, nn.Linear | nn.ReLU)] == [nn.Linear] * 2
    (x,) = inputs_for("mlp")
    weight = model.head.weight @ model.tap.weight
    bias = model.head.weight @ model.tap.bias + model.head.bias
    assert torch.allclose(model(x).logits, x @ weight.T + bias, atol=1e-6)
    assert torch.linalg.matrix_rank(weight) == 3


def test_linear_is_one_matrix_and_its_features_are_its_predictions() -> None:
    model, (x,) = make("linear"), inputs_for("linear")
    assert count_parameters(model) == 7 * 5 + 5
    output = model(x)
    assert torch.equal(output.features, output.logits)
    assert torch.allclose(output.logits, x @ model.state_dict()["tap.weight"].T + model.state_dict()["tap.bias"])
    with pytest.raises(ValueError, match="its 1 outputs, but feature_dim is 5; write `feature_dim: 1`"):
        MODELS["linear"].build(MODELS["linear"].config(feature_dim=5), (7,), 1)


def test_mlp_against_a_loop() -> None:
    model, x = build_mlp(MLPConfig(hidden=(9, 8), feature_dim=6), (7,), CLASSES), inputs_for("mlp")[0]
    first, second = (layer for layer in model.layers if isinstance(layer, nn.Linear))
    hidden = (x @ first.weight.T + first.bias).clamp(min=0)
    hidden = (hidden @ second.weight.T + second.bias).clamp(min=0)
    assert torch.allclose(model(x).features, hidden @ model.tap.weight.T + model.tap.bias, atol=1e-6)


def test_cnn_has_the_layers_of_the_mnist_networks() -> None:
    """conv32 - pool - conv64 - pool - fc128 - fc10 on 3 x 28 x 28: the maps of 7 x 7 are flattened as they are."""
    model = build_cnn(CNNConfig(pooled=7), (3, 28, 28), 10)
    assert count_parameters(model) == (27 * 32 + 32) + (32 * 9 * 64 + 64) + (64 * 49 * 128 + 128) + (128 * 10 + 10)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())


def test_cnn_does_not_blow_small_maps_up() -> None:
    model = build_cnn(CNNConfig(widths=(4, 4), pooled=4, feature_dim=6), (1, 8, 20), CLASSES)
    assert model.tap.in_features == 4 * 2 * 4
    assert model(torch.zeros(2, 1, 8, 20)).logits.shape == (2, CLASSES)


@pytest.mark.parametrize("shape", [(76,), (8, 8), (2, 3, 8, 8)])
def test_cnn_refuses_what_is_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="use `model: mlp`") as error:
        build_cnn(CNNConfig(), shape, CLASSES)
    assert repr(shape) in str(error.value)


def test_cnn_refuses_an_image_that_is_too_small() -> None:
    with pytest.raises(ValueError, match=r"side of 16 pixels.*\(1, 8, 9\).*at most 3 widths"):
        build_cnn(CNNConfig(widths=(2, 2, 2, 2)), (1, 8, 9), CLASSES)
    build_cnn(CNNConfig(widths=(2, 2, 2)), (1, 8, 9), CLASSES)


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("mlp", {"activation": "none", "tap": "after_relu"}, "write `tap: before_relu`"),
    ("mlp", {"hidden": (), "dropout": 0.1}, "set it to 0 or add a layer"),
    ("mlp", {"hidden": (8, 0)}, "greater than or equal to 1"),
    ("mlp", {"dropout": 1.0}, "less than 1"),
    ("cnn", {"widths": ()}, "at least 1 item"),
    ("cnn", {"feature_dim": 0}, "greater than or equal to 1"),
]


@pytest.mark.parametrize(("name", "values", "message"), BAD)
def test_a_wrong_config_is_refused_with_its_remedy(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        MODELS[name].config(**values)
    assert message in str(error.value)
    assert error.value.errors()[0]["loc"], "the message must point at a field"
