"""CIBA: distil the bottleneck's h' into the first H student dimensions (CIBA paper, Algorithms 1 and 2)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from search_spaces.domains import Aliases, Choice, FloatRange
from trainables.common.types import Batch, LossTerm, ModelOutput, rows_of
from trainables.methods.base import Method, TeacherSource, detached
from trainables.methods.feature_loss import FeatureLossConfig, feature_loss, row_weights

BOTTLENECK_FIELDS = (
    *("lambda_ib", "bottleneck"),
    *(f"bottleneck_{name}" for name in ("heads", "chunks", "codes", "code_parts", "commitment")),
    *(f"bottleneck_{name}" for name in ("lr", "batch_size", "epochs", "patience")),
)
"""Fields that change h' only."""


class CIBAConfig(FeatureLossConfig):
    """L = lambda_task CE + lambda_kd FD(h', z[0:H]); each different bottleneck is trained once."""

    teacher_source: ClassVar[TeacherSource] = "bottleneck"
    terms: ClassVar[tuple[str, ...]] = ("task", "fd")
    stackable: ClassVar[tuple[str, ...]] = (
        *("lambda_task", "lambda_kd", "fd_temperature", "margin", "bottleneck_dim"),
        *BOTTLENECK_FIELDS,
    )
    method: Literal["ciba"] = "ciba"
    """Distil a bottleneck of the teacher's features."""
    lambda_kd: Annotated[float, Field(ge=0), FloatRange(0.01, 100.0, log=True), Aliases("lambda")] = 1.0
    """Weight of the sub-dimensional distillation term (1 in the paper)."""
    bottleneck_dim: Annotated[int, Field(ge=1), Choice((2, 4, 8, 16, 32, 64, 128)), Aliases("H")] = 8
    """Bottleneck dimension H: width of h', and number of student dimensions that imitate it."""
    lambda_ib: Annotated[float, Field(ge=0), FloatRange(1e-4, 1e-1, log=True)] = 1e-3
    """Weight of the bottleneck's own KL term (the lambda of Algorithm 1); `vq` has none, as a code's KL is constant."""
    bottleneck: Literal["dvib", "sa", "vq"] = "dvib"
    """Kind of bottleneck: variational (DVIB), self-attention (SA), or a codebook (VQ-VAE)."""
    bottleneck_heads: Annotated[int, Field(ge=1)] = 4
    """Heads of `sa`'s attention."""
    bottleneck_chunks: Annotated[int, Field(ge=1)] = 8
    """Chunks of the hidden vector that `sa` attends to."""
    bottleneck_codes: Annotated[int, Field(ge=2)] = 512
    """Codes in the codebook of `vq`."""
    bottleneck_code_parts: Annotated[int, Field(ge=1)] = 1
    """Parts of h' with a code each in `vq` (product codes); 1 is one code for each example."""
    bottleneck_commitment: Annotated[float, Field(ge=0)] = 0.25
    """Weight beta of `vq`'s commitment term, which keeps the encoder's output near its codes."""
    bottleneck_lr: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate (Adam) of the bottleneck's training."""
    bottleneck_batch_size: Annotated[int, Field(ge=2)] = 128
    """Pairs in one step of the bottleneck's training."""
    bottleneck_epochs: Annotated[int, Field(ge=1)] = 200
    """Largest number of epochs of the bottleneck's training."""
    bottleneck_patience: Annotated[int, Field(ge=1)] = 10
    """Epochs without a better validation loss after which the bottleneck counts as converged."""


class CIBA(Method[CIBAConfig]):
    """Only the first H student dimensions imitate h'; the others are not constrained."""

    def forward(
        self,
        student_out: ModelOutput,
        teacher_out: ModelOutput | None,
        batch: Batch,
        generator: torch.Generator | None = None,
    ) -> dict[str, LossTerm]:
        target, dims = rows_of(detached(teacher_out).features), self.config.bottleneck_dim
        head = rows_of(student_out.features)[:, : target.shape[1]]
        if not isinstance(dims, Tensor):  # a tensor if trials with different H are stacked: h' then has the largest H
            assert dims == target.shape[1], f"h' has width {target.shape[1]}, but H is {dims}"
            dims = None
        task = self.task.loss(student_out.logits, batch.labels, batch.labelled)
        weights = row_weights(self.config, self.task, batch, student_out.features)
        fd = feature_loss(head, target, self.config, weights, dims)
        return {"task": LossTerm(task, self.config.lambda_task), "fd": LossTerm(fd, self.config.lambda_kd)}
