"""Logit distillation (Hinton et al. 2015, in the convex form of the CCH study)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from search_spaces.domains import Aliases, FloatRange
from trainables.common.types import Batch, LossTerm, ModelOutput
from trainables.losses.distillation import logit_kl
from trainables.methods.base import Method, MethodConfig, TeacherSource, detached


class KDConfig(MethodConfig):
    """L = (1 - lambda_kd) CE + lambda_kd T^2 KL(teacher || student at temperature T)."""

    teacher_source: ClassVar[TeacherSource] = "teacher"
    terms: ClassVar[tuple[str, ...]] = ("task", "kd")
    stackable: ClassVar[tuple[str, ...]] = ("lambda_kd", "temperature")
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    method: Literal["kd"] = "kd"
    """Distil the logits."""
    lambda_kd: Annotated[float, Field(ge=0, le=1), FloatRange(0.1, 0.9), Aliases("lambda")] = 0.5
    """Weight of the distillation term; the task term has the rest."""
    temperature: Annotated[float, Field(gt=0), FloatRange(1.0, 8.0, log=True), Aliases("tau", "T")] = 2.0
    """Softens both distributions before they are compared."""


class KD(Method[KDConfig]):
    """Task loss on the labelled rows, KL to the teacher's softened distribution on all rows."""

    def forward(
        self,
        student_out: ModelOutput,
        teacher_out: ModelOutput | None,
        batch: Batch,
        generator: torch.Generator | None = None,
    ) -> dict[str, LossTerm]:
        teacher = detached(teacher_out)
        task = self.task.loss(student_out.logits, batch.labels, batch.labelled)
        kd = logit_kl(student_out.logits, teacher.logits, self.config.temperature)
        return {"task": LossTerm(task, 1 - self.config.lambda_kd), "kd": LossTerm(kd, self.config.lambda_kd)}
