"""No distillation: the unimodal student, with which every other arm is compared."""

from typing import ClassVar, Literal

import torch

from trainables.common.types import Batch, LossTerm, ModelOutput
from trainables.methods.base import Method, MethodConfig, TeacherSource


class NoneConfig(MethodConfig):
    """The task loss alone."""

    teacher_source: ClassVar[TeacherSource] = "nothing"
    terms: ClassVar[tuple[str, ...]] = ("task",)
    method: Literal["none"] = "none"
    """Distil nothing."""


class NoDistillation(Method[NoneConfig]):
    """L = the task loss over the labelled rows: CE(y, student logits) for classes."""

    def forward(
        self,
        student_out: ModelOutput,
        teacher_out: ModelOutput | None,
        batch: Batch,
        generator: torch.Generator | None = None,
    ) -> dict[str, LossTerm]:
        return {"task": LossTerm(self.task.loss(student_out.logits, batch.labels, batch.labelled), 1.0)}
