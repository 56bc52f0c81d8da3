"""Distillation of predicted numbers (the regression objective of the CCH study)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from search_spaces.domains import Aliases, FloatRange
from trainables.common.types import Batch, LossTerm, ModelOutput
from trainables.losses.distillation import feature_mse
from trainables.methods.base import Method, MethodConfig, TeacherSource, detached


class RegressionKDConfig(MethodConfig):
    """L = (y - s)^2 + lambda_kd (s - t)^2, each a mean over rows; unlike in `kd`, the weights are no mixture."""

    teacher_source: ClassVar[TeacherSource] = "teacher"
    terms: ClassVar[tuple[str, ...]] = ("task", "kd")
    stackable: ClassVar[tuple[str, ...]] = ("lambda_kd",)
    tasks: ClassVar[tuple[str, ...]] = ("regression", "sentiment")
    method: Literal["regression_kd"] = "regression_kd"
    """Distil the predicted numbers."""
    lambda_kd: Annotated[float, Field(ge=0), FloatRange(0.1, 10.0, log=True), Aliases("lambda")] = 0.5
    """Weight of the distillation term; the task term has weight 1."""


class RegressionKD(Method[RegressionKDConfig]):
    """Squared error to the labels on the labelled rows, and to the teacher's predictions on all rows."""

    def forward(
        self,
        student_out: ModelOutput,
        teacher_out: ModelOutput | None,
        batch: Batch,
        generator: torch.Generator | None = None,
    ) -> dict[str, LossTerm]:
        task = self.task.loss(student_out.logits, batch.labels, batch.labelled)
        kd = feature_mse(student_out.logits, detached(teacher_out).logits)
        return {"task": LossTerm(task, 1.0), "kd": LossTerm(kd, self.config.lambda_kd)}
