"""No distillation: the unimodal student, the arm that every other arm is compared with."""

from typing import ClassVar, Literal

import torch

from trainables.losses import labelled_cross_entropy
from trainables.methods.base import Method, MethodConfig, TeacherSource
from trainables.types import Batch, LossTerm, ModelOutput


class NoneConfig(MethodConfig):
    """The task loss alone."""

    teacher_source: ClassVar[TeacherSource] = "nothing"
    terms: ClassVar[tuple[str, ...]] = ("task",)
    method: Literal["none"] = "none"
    """Distil nothing."""


class NoDistillation(Method):
    """L = CE(y, student logits) over the labelled rows."""

    def __init__(self, config: NoneConfig, student_dim: int, teacher_dim: int) -> None:
        super().__init__()

    def forward(
        self,
        student_out: ModelOutput,
        teacher_out: ModelOutput | None,
        batch: Batch,
        generator: torch.Generator | None = None,
    ) -> dict[str, LossTerm]:
        return {"task": LossTerm(labelled_cross_entropy(student_out.logits, batch.labels, batch.labelled), 1.0)}
