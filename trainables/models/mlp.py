"""Multi-layer perceptron: hidden layers, a feature tap, a linear head."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from search_spaces.domains import Choice
from trainables.models.base import Model, ModelConfig
from trainables.types import ModelOutput


class MLPConfig(ModelConfig):
    """inputs -> hidden... -> feature_dim (the tap) -> ReLU -> classes."""

    model: Literal["mlp"] = "mlp"
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (128,)
    """Widths of the layers before the tap, each followed by ReLU and dropout."""
    feature_dim: Annotated[int, Field(ge=1), Choice((32, 64, 128, 256))] = 128
    """Width D of the feature tap, which feature distillation compares."""
    tap: Literal["before_relu", "after_relu"] = "before_relu"
    """Side of the last ReLU on which the features are taken."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout after each hidden layer."""


class MLP(Model):
    """See `MLPConfig`."""

    def __init__(self, config: MLPConfig, inputs: int, num_classes: int) -> None:
        super().__init__()
        widths = (inputs, *config.hidden)
        self.layers = nn.Sequential(nn.Flatten())
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            self.layers.extend([nn.Linear(before, after), nn.ReLU(), nn.Dropout(config.dropout)])
        self.tap = nn.Linear(widths[-1], config.feature_dim)
        self.head = nn.Linear(config.feature_dim, num_classes)
        self.after_relu = config.tap == "after_relu"

    def forward(self, inputs: Tensor) -> ModelOutput:
        tapped = self.tap(self.layers(inputs))
        active = tapped.relu()
        return ModelOutput(self.head(active), active if self.after_relu else tapped)


def build_mlp(config: MLPConfig, input_shape: tuple[int, ...], num_classes: int) -> MLP:
    """An MLP over the flattened input."""
    inputs = 1
    for size in input_shape:
        inputs *= size
    return MLP(config, inputs, num_classes)
