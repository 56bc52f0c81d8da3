"""Fusion: a network that sees both modalities of a pair and consists of two others. Teacher of F -> I and F -> T."""

from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, WithJsonSchema
from torch import Tensor, nn

from search_spaces.domains import Choice
from trainables.common.types import ModelOutput
from trainables.models.base import InputShape, Model, ModelConfig, Tap
from trainables.models.encoders import ENCODERS


def choose_encoder(value: object) -> object:
    """The config that a mapping with the key `model` describes. Raises ValueError."""
    if not isinstance(value, dict):
        return value
    given = cast(dict[str, Any], value)
    name = given.get("model")
    if name not in ENCODERS:
        raise ValueError(f"model must be one of {', '.join(ENCODERS)}, but got {name!r}")
    try:
        return ENCODERS[name].config.model_validate(given)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}") from None


Encoder = Annotated[
    SerializeAsAny[ModelConfig],
    BeforeValidator(choose_encoder),
    WithJsonSchema({"type": "object", "required": ["model"]}),
]
"""The config of another model; in a study file a mapping with `model` and its fields."""


class FusionConfig(ModelConfig):
    """Both encoders' activated features, concatenated -> feature_dim (the tap) -> ReLU -> classes.

    The encoders are trained with the fusion, from random weights. With `combine: logits` they remain two networks whose
    logits are averaged (the fusion of MFH); the features are then the concatenated features of both.
    """

    sees: ClassVar[Literal["own", "both"]] = "both"
    model: Literal["fusion"] = "fusion"
    """Sees both modalities: two other models and a layer that joins them."""
    feature_dim: Annotated[int, Field(ge=1), Choice((32, 64, 128, 256))] = 128
    """Width D of the feature tap; with `combine: logits` the sum of the encoders' widths."""
    teacher_encoder: Encoder
    """Model for the inputs of the data's teacher, such as `{model: mlp, feature_dim: 64}`."""
    student_encoder: Encoder
    """Model for the inputs of the data's student."""
    combine: Literal["features", "logits"] = "features"
    """What is joined: features by a linear layer, or logits by their mean."""
    tap: Tap = "before_relu"
    """Side of the ReLU on which the joint features are taken; with `combine: logits` the encoders' own taps count."""

    @property
    def why_not_stacked(self) -> str:
        return self.teacher_encoder.why_not_stacked or self.student_encoder.why_not_stacked


class Fusion(Model):
    """See `FusionConfig`."""

    def __init__(self, config: FusionConfig, teacher: Model, student: Model, num_classes: int) -> None:
        super().__init__()
        self.teacher_encoder, self.student_encoder = teacher, student
        for encoder in (teacher, student):
            encoder.head = nn.Identity()  # so its logits are its activated features
        joint = config.teacher_encoder.feature_dim + config.student_encoder.feature_dim
        self.tap = nn.Linear(joint, config.feature_dim)
        self.head = nn.Linear(config.feature_dim, num_classes)
        self.after_relu = config.tap == "after_relu"

    def forward(self, teacher_inputs: Tensor, student_inputs: Tensor) -> ModelOutput:
        encoded = (self.teacher_encoder(teacher_inputs), self.student_encoder(student_inputs))
        tapped = self.tap(torch.cat([output.logits for output in encoded], dim=1))
        active = tapped.relu()
        return ModelOutput(self.head(active), active if self.after_relu else tapped)


class MeanOfLogits(Model):
    """See `FusionConfig`, `combine: logits`."""

    def __init__(self, teacher: Model, student: Model) -> None:
        super().__init__()
        self.teacher_encoder, self.student_encoder = teacher, student

    def forward(self, teacher_inputs: Tensor, student_inputs: Tensor) -> ModelOutput:
        teacher, student = self.teacher_encoder(teacher_inputs), self.student_encoder(student_inputs)
        features = torch.cat([teacher.features, student.features], dim=1)
        return ModelOutput((teacher.logits + student.logits) / 2, features)


def build_fusion(config: FusionConfig, input_shape: InputShape, num_classes: int) -> Model:
    """A fusion for pairs of inputs.

    Args:
        config: the config of the network.
        input_shape: shapes of the teacher's and the student's input.
        num_classes: number of logits.

    Raises:
        ValueError: if an input does not fit its encoder, or (`combine: logits`) the widths do not add up.
    """
    encoders = {"teacher_encoder": config.teacher_encoder, "student_encoder": config.student_encoder}
    built: list[Model] = []
    for (name, encoder), inputs in zip(encoders.items(), input_shape, strict=True):
        try:
            built.append(ENCODERS[encoder.kind].build(encoder, inputs, num_classes))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if config.combine == "features":
        return Fusion(config, built[0], built[1], num_classes)
    joint = sum(encoder.feature_dim for encoder in encoders.values())
    if config.feature_dim != joint:
        raise ValueError(
            f"with `combine: logits` feature_dim is the sum of the encoders' widths, {joint}, but got "
            f"{config.feature_dim}; write `feature_dim: {joint}`"
        )
    return MeanOfLogits(built[0], built[1])
