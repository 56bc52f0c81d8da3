"""Global feature distillation: the student's whole feature vector imitates the teacher's (CIBA paper, Eq. 1)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from search_spaces.domains import Aliases, FloatRange
from trainables.losses import labelled_cross_entropy
from trainables.methods.base import Method, TeacherSource, frozen
from trainables.methods.feature_loss import FeatureLossConfig, feature_loss
from trainables.types import Batch, LossTerm, ModelOutput


class FeatureKDConfig(FeatureLossConfig):
    """L = CE + lambda_kd FD(teacher features, student features); the paper weighs both 1."""

    teacher_source: ClassVar[TeacherSource] = "teacher"
    terms: ClassVar[tuple[str, ...]] = ("task", "fd")
    method: Literal["feature_kd"] = "feature_kd"
    """Distil the whole feature vector."""
    lambda_kd: Annotated[float, Field(ge=0), FloatRange(0.01, 100.0, log=True), Aliases("lambda")] = 1.0
    """Weight of the feature distillation term."""


class FeatureKD(Method):
    """Where the dimensions differ, a linear adapter maps student features to the teacher's dimension."""

    def __init__(self, config: FeatureKDConfig, student_dim: int, teacher_dim: int) -> None:
        super().__init__()
        self.config = config
        self.adapter = nn.Identity() if student_dim == teacher_dim else nn.Linear(student_dim, teacher_dim)

    def forward(
        self,
        student_out: ModelOutput,
        teacher_out: ModelOutput | None,
        batch: Batch,
        generator: torch.Generator | None = None,
    ) -> dict[str, LossTerm]:
        teacher = frozen(teacher_out)
        task = labelled_cross_entropy(student_out.logits, batch.labels, batch.labelled)
        fd = feature_loss(self.adapter(student_out.features), teacher.features, self.config)
        return {"task": LossTerm(task, 1.0), "fd": LossTerm(fd, self.config.lambda_kd)}
