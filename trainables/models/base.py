"""Base classes of teacher and student networks, and the entry of `MODELS`."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

from torch import nn

from trainables.common.types import ModelOutput, TableConfig

Tap = Literal["before_relu", "after_relu"]
"""Side of the last ReLU on which the features are taken."""


class ModelConfig(TableConfig):
    """Base of the model configs. A subclass adds `model: Literal["its name"]`, `feature_dim` and its own fields."""

    kind_field: ClassVar[str] = "model"
    sees: ClassVar[Literal["own", "both"]] = "own"
    """Inputs of the network: `own`, one modality; `both`, two (a fusion, or images and captions)."""
    feature_dim: int
    """Width D of the feature tap, which feature distillation compares."""

    tasks: ClassVar[tuple[str, ...]] = ()
    """Tasks that the network supports; empty: all tasks whose rows have one input for each modality."""

    @property
    def is_pretrained(self) -> bool:
        """Whether the network has pretrained weights, so that it is not trained as a teacher."""
        return False

    @property
    def why_not_stacked(self) -> str:
        """The reason why trainings of this network cannot be stacked in one pack; empty if they can."""
        return "dropout draws from one sequence for all networks" if getattr(self, "dropout", 0) > 0 else ""

    @property
    def linear(self) -> bool:
        """Whether the features are W x + b for one matrix W."""
        return False


InputShape = tuple[int, ...] | tuple[tuple[int, ...], tuple[int, ...]]
"""Shape of one input; for a network that sees both inputs, the shapes of the two."""


class Model(nn.Module):
    """A network with a declared feature tap.

    The output of a row does not depend on other rows (except with batch normalisation), so that a batch can be divided
    among ranks. Control flow does not depend on values, and `forward` changes registered buffers only, so that trials
    can be stacked (`torch.func.functional_call`, `vmap`).
    """

    tap: nn.Module
    """Returns the features, before the last activation."""
    head: nn.Module
    """Returns the logits of the activated features."""

    @abstractmethod
    def forward(self, *inputs: Any, **named: Any) -> ModelOutput:
        """Logits and tapped features of `inputs` (batch, *input_shape): one tensor, or two where `sees` is "both"."""


class ModelEntry(NamedTuple):
    """An entry of `MODELS`."""

    config: type[ModelConfig]
    build: Callable[..., Model]
    """`build(config, input_shape, num_classes) -> Model`, initialised from torch's global generator.

    Raises ValueError if the model does not support the input shape.
    """
