"""Global feature distillation: the student's whole feature vector imitates the teacher's (CIBA paper, Eq. 1)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from search_spaces.domains import Aliases, FloatRange
from trainables.common.types import Batch, LossTerm, ModelOutput, rows_of
from trainables.methods.base import Method, TeacherSource, detached
from trainables.methods.feature_loss import FeatureLossConfig, feature_loss, row_weights
from trainables.tasks import Task


class FeatureKDConfig(FeatureLossConfig):
    """L = lambda_task CE + lambda_kd FD(teacher features, student features); the paper weighs both 1."""

    teacher_source: ClassVar[TeacherSource] = "teacher"
    terms: ClassVar[tuple[str, ...]] = ("task", "fd")
    stackable: ClassVar[tuple[str, ...]] = ("lambda_task", "lambda_kd", "fd_temperature", "margin")
    method: Literal["feature_kd"] = "feature_kd"
    """Distil the whole feature vector."""
    lambda_kd: Annotated[float, Field(ge=0), FloatRange(0.01, 100.0, log=True), Aliases("lambda")] = 1.0
    """Weight of the feature distillation term."""


class FeatureKD(Method[FeatureKDConfig]):
    """Where the dimensions differ, a linear adapter maps student features to the teacher's dimension."""

    def __init__(self, config: FeatureKDConfig, student_dim: int, teacher_dim: int, task: Task) -> None:
        super().__init__(config, student_dim, teacher_dim, task)
        self.adapter = nn.Identity() if student_dim == teacher_dim else nn.Linear(student_dim, teacher_dim)

    def forward(
        self,
        student_out: ModelOutput,
        teacher_out: ModelOutput | None,
        batch: Batch,
        generator: torch.Generator | None = None,
    ) -> dict[str, LossTerm]:
        teacher = detached(teacher_out)
        task = self.task.loss(student_out.logits, batch.labels, batch.labelled)
        weights = row_weights(self.config, self.task, batch, student_out.features)
        own = self.adapter(rows_of(student_out.features))
        fd = feature_loss(own, rows_of(teacher.features), self.config, weights)
        return {"task": LossTerm(task, self.config.lambda_task), "fd": LossTerm(fd, self.config.lambda_kd)}
