"""Base of the bottlenecks, which predict student features from teacher features through an H-dimensional h'."""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.methods.ciba import CIBAConfig


class BottleneckLoss(NamedTuple):
    """The two parts of Algorithm 1's loss, unweighted: l = generation + `regularization_weight` regularization."""

    generation: Float[Tensor, ""]
    """Cross-modal generation: ||ẑ' - z||^2, summed over the dimensions, mean over the rows."""
    regularization: Float[Tensor, ""]
    """Penalty on the information in h', mean over the rows; each kind of bottleneck defines its own."""


class Bottleneck(nn.Module):
    """Teacher features z' -> h' (H dimensions) -> ẑ', an estimate of the unimodal student's features z.

    Features that only the teacher's modality has do not help to predict z, so a narrow h' does not contain them.
    The only source of randomness is the argument `noise`, so a batch has the same loss on every device.
    """

    fields: ClassVar[tuple[str, ...]]
    """Fields of CIBAConfig that this kind reads in addition to SHARED_FIELDS. Other fields do not change its result."""
    noise_dim: int
    """Number of standard normal values in `noise` for each row (0: the bottleneck has no randomness)."""
    regularization_weight: float
    """Weight of `regularization` in the training loss."""
    decoder: nn.Sequential
    """Network from h' to ẑ', see `decoder` below."""

    @abstractmethod
    def __init__(self, config: CIBAConfig, teacher_dim: int, student_dim: int) -> None:
        super().__init__()

    def prepare_epoch(self, teacher: Float[Tensor, "rows teacher_dim"], generator: torch.Generator) -> None:
        """Called with all training features before an epoch; does nothing by default. `generator` gives randomness."""

    @abstractmethod
    def encode(self, teacher: Float[Tensor, "rows teacher_dim"]) -> Float[Tensor, "rows bottleneck"]:
        """The bottleneck feature h' without noise, which the student imitates."""

    def reconstruct(self, teacher: Float[Tensor, "rows teacher_dim"]) -> Float[Tensor, "rows student_dim"]:
        """The student features ẑ' decoded from `encode(teacher)`."""
        return self.decoder(self.encode(teacher))

    @abstractmethod
    def loss(
        self,
        teacher: Float[Tensor, "rows teacher_dim"],
        student: Float[Tensor, "rows student_dim"],
        noise: Float[Tensor, "rows noise_dim"],
    ) -> BottleneckLoss:
        """The training loss of aligned rows; with `noise` of zeros, the loss of `encode` and `reconstruct`."""


SHARED_FIELDS = (
    "bottleneck",
    "bottleneck_dim",
    *(f"bottleneck_{name}" for name in ("lr", "batch_size", "epochs", "patience")),
)
"""Fields of CIBAConfig on which every bottleneck depends."""


def decoder(bottleneck_dim: int, student_dim: int) -> nn.Sequential:
    """The decoder of every kind of bottleneck, as wide as z: h' -> Linear, ReLU, Linear -> ẑ'."""
    return nn.Sequential(nn.Linear(bottleneck_dim, student_dim), nn.ReLU(), nn.Linear(student_dim, student_dim))


def generation_loss(
    decoded: Float[Tensor, "rows student_dim"], student: Float[Tensor, "rows student_dim"]
) -> Float[Tensor, ""]:
    """Cross-modal generation ||ẑ' - z||², summed over the dimensions, mean over the rows (Algorithm 1, line 8)."""
    return (decoded - student).square().sum(dim=1).mean()
