"""What a teacher or student network is."""

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
    """Inputs that the network takes: its own modality's, or (fusion) the teacher's and the student's."""
    feature_dim: int
    """Width D of the feature tap, which feature distillation compares."""

    tasks: ClassVar[tuple[str, ...]] = ()
    """Tasks that the network can be used for; empty: all whose rows have one input for each modality."""

    @property
    def is_pretrained(self) -> bool:
        """Whether its weights are given, so that as a teacher it is not trained."""
        return False

    @property
    def why_not_stacked(self) -> str:
        """Why trainings of such networks cannot be stacked in one pack; empty if they can."""
        return "dropout draws from one sequence for all networks" if getattr(self, "dropout", 0) > 0 else ""

    @property
    def linear(self) -> bool:
        """Whether the features are W x + b for one matrix W."""
        return False


InputShape = tuple[int, ...] | tuple[tuple[int, ...], tuple[int, ...]]
"""Shape of one input; for a network that sees both, the teacher's and the student's."""


class Model(nn.Module):
    """A network with a declared feature tap.

    Rows do not see each other (but for batch normalisation, where a config asks for it), so that a batch may be cut
    over ranks. No control flow depends on values, and only registered buffers change in `forward`, so that trials may
    be stacked (`torch.func.functional_call`, `vmap`).
    """

    tap: nn.Module
    """Gives the features, before the last activation."""
    head: nn.Module
    """Gives the logits from the activated features."""

    @abstractmethod
    def forward(self, *inputs: Any, **named: Any) -> ModelOutput:
        """Logits and tapped features of `inputs` (batch, *input_shape): one tensor, or two where `sees` is "both"."""


class ModelEntry(NamedTuple):
    """One line of `MODELS`."""

    config: type[ModelConfig]
    build: Callable[..., Model]
    """`build(config, input_shape, num_classes) -> Model`, initialised from torch's global generator.

    Raises ValueError if the input shape does not fit (say what the model takes).
    """
