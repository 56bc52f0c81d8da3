"""Multi-layer perceptron: hidden layers, a feature tap, a linear head."""

import math
from itertools import pairwise
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from search_spaces.domains import Choice
from trainables.common.types import EarlierFields, ModelOutput, earlier
from trainables.models.base import Model, ModelConfig, Tap


def needs_relu(tap: Tap, info: EarlierFields) -> Tap:
    """A check of `tap`, after `activation`."""
    if tap == "after_relu" and earlier(info, "activation") == "none":
        raise ValueError(
            "tap: 'after_relu' needs `activation: relu`, but got `activation: none`, so that both sides are the "
            "same; write `tap: before_relu`"
        )
    return tap


def needs_hidden(dropout: float, info: EarlierFields) -> float:
    """A check of `dropout`, after `hidden`."""
    if dropout > 0 and earlier(info, "hidden") == ():
        raise ValueError(
            f"dropout follows the hidden layers, but got {dropout!r} with `hidden: []`; set it to 0 or add a layer"
        )
    return dropout


class MLPConfig(ModelConfig):
    """inputs -> hidden... -> feature_dim (the tap) -> ReLU -> classes."""

    model: Literal["mlp"] = "mlp"
    """Multi-layer perceptron over the flattened input."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (128,)
    """Widths of the layers before the tap, each followed by the activation and dropout; may be empty."""
    feature_dim: Annotated[int, Field(ge=1), Choice((32, 64, 128, 256))] = 128
    """Width D of the feature tap, which feature distillation compares."""
    activation: Literal["relu", "none"] = "relu"
    """`none` makes a linear network; with `hidden: []` it has the two linear layers of the synthetic studies."""
    tap: Annotated[Tap, AfterValidator(needs_relu)] = "before_relu"
    """Side of the last ReLU on which the features are taken."""
    dropout: Annotated[float, Field(ge=0, lt=1), AfterValidator(needs_hidden)] = 0.0
    """Dropout after each hidden layer."""

    @property
    def linear(self) -> bool:
        return self.activation == "none"


class MLP(Model):
    """See `MLPConfig`."""

    def __init__(self, config: MLPConfig, inputs: int, num_classes: int) -> None:
        super().__init__()
        activation = {"relu": nn.ReLU, "none": nn.Identity}[config.activation]
        widths = (inputs, *config.hidden)
        self.layers = nn.Sequential(nn.Flatten())
        for before, after in pairwise(widths):
            self.layers.extend([nn.Linear(before, after), activation(), nn.Dropout(config.dropout)])
        self.tap = nn.Linear(widths[-1], config.feature_dim)
        self.activation = activation()
        self.head = nn.Linear(config.feature_dim, num_classes)
        self.after_relu = config.tap == "after_relu"

    def forward(self, inputs: Float[Tensor, " batch *shape"]) -> ModelOutput:
        tapped = self.tap(self.layers(inputs))
        active = self.activation(tapped)
        return ModelOutput(self.head(active), active if self.after_relu else tapped)


def build_mlp(config: MLPConfig, input_shape: tuple[int, ...], num_classes: int) -> MLP:
    """An MLP for inputs of any shape, which it flattens.

    Args:
        config: the config of the network.
        input_shape: shape of one input.
        num_classes: number of logits.
    """
    return MLP(config, math.prod(input_shape), num_classes)
