"""What a teacher or student network is."""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from trainables.types import Frozen, ModelOutput


class ModelConfig(Frozen):
    """Base of the model configs. A subclass adds `model: Literal["its name"]`, `feature_dim` and its own fields."""

    feature_dim: int
    """Width D of the feature tap, which feature distillation compares."""


class Model(nn.Module):
    """A network with a declared feature tap."""

    @abstractmethod
    def forward(self, inputs: Tensor) -> ModelOutput:
        """Logits and tapped features of `inputs` (batch, *input_shape)."""


class ModelEntry(NamedTuple):
    """One line of `MODELS`."""

    config: type[ModelConfig]
    build: Callable[..., Model]
    """`build(config, input_shape, num_classes) -> Model`, initialised from torch's global generator.

    Raises ValueError if the input shape does not fit (say what the model takes)."""
