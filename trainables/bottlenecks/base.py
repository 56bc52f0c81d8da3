"""What a bottleneck is: it predicts student features from teacher features through an H-dimensional h'."""

from abc import abstractmethod
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn


class BottleneckLoss(NamedTuple):
    """The two parts of Algorithm 1's loss, unweighted: l = generation + lambda_ib regularization."""

    generation: Float[Tensor, ""]
    """Cross-modal generation: ||ẑ' - z||^2, summed over the dimensions, mean over the rows."""
    regularization: Float[Tensor, ""]
    """What keeps h' small in information, mean over the rows."""


class Bottleneck(nn.Module):
    """Teacher features z' -> h' (H dimensions) -> ẑ', an estimate of the unimodal student's features z.

    What the teacher's modality alone knows does not help to predict z, so a narrow h' has no room for it.
    Pure: randomness enters only as the `noise` argument, so a batch gives the same loss on every device.
    """

    noise_dim: int
    """Standard normal numbers that `loss` takes for each row (0: the bottleneck has no randomness)."""

    @abstractmethod
    def encode(self, teacher: Float[Tensor, "rows teacher_dim"]) -> Float[Tensor, "rows bottleneck"]:
        """The bottleneck feature h', without randomness: what the student will imitate."""

    @abstractmethod
    def reconstruct(self, teacher: Float[Tensor, "rows teacher_dim"]) -> Float[Tensor, "rows student_dim"]:
        """The student features ẑ' decoded from `encode(teacher)`."""

    @abstractmethod
    def loss(
        self,
        teacher: Float[Tensor, "rows teacher_dim"],
        student: Float[Tensor, "rows student_dim"],
        noise: Float[Tensor, "rows noise_dim"],
    ) -> BottleneckLoss:
        """The training loss of aligned rows; with `noise` of zeros, the loss of `encode` and `reconstruct`."""
