"""Logit distillation from a teacher without some of its channels (modality focusing hypothesis, Algorithm 1)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from search_spaces.domains import Aliases, Choice, FloatRange
from trainables.common.types import Batch, LossTerm, ModelOutput
from trainables.losses.distillation import logit_kl
from trainables.methods.base import Method, MethodConfig, TeacherSource, detached

Nullify = Literal["nothing", "random", "least_general", "most_general"]


class NullifiedKDConfig(MethodConfig):
    """L = (1 - lambda_kd) CE + lambda_kd T^2 KL(nullified teacher || student at temperature T)."""

    teacher_source: ClassVar[TeacherSource] = "nullified"
    terms: ClassVar[tuple[str, ...]] = ("task", "kd")
    stackable: ClassVar[tuple[str, ...]] = (
        *("lambda_kd", "temperature"),
        *("nullify", "nullified_part", "nullified_permutations"),
    )
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    method: Literal["nullified_kd"] = "nullified_kd"
    """Distil the logits of a teacher without some of its channels."""
    lambda_kd: Annotated[float, Field(ge=0, le=1), FloatRange(0.1, 1.0), Aliases("lambda")] = 1.0
    """Weight of the distillation term; the task term has the rest (none in the ablation)."""
    temperature: Annotated[float, Field(gt=0), FloatRange(1.0, 8.0, log=True), Aliases("tau", "T")] = 1.0
    """Softens both distributions before they are compared."""
    nullify: Nullify = "least_general"
    """Channels that are replaced by their mean: those whose permutation moves the outputs apart least or most."""
    nullified_part: Annotated[float, Field(ge=0, le=1), Choice((0.25, 0.5, 0.75))] = 0.75
    """Part of the teacher's channels that is nullified."""
    nullified_permutations: Annotated[int, Field(ge=1)] = 10
    """Permutations of each channel over which its saliency is averaged (M)."""


class NullifiedKD(Method[NullifiedKDConfig]):
    """The loss of `kd`, with the logits of the nullified teacher."""

    def forward(
        self,
        student_out: ModelOutput,
        teacher_out: ModelOutput | None,
        batch: Batch,
        generator: torch.Generator | None = None,
    ) -> dict[str, LossTerm]:
        task = self.task.loss(student_out.logits, batch.labels, batch.labelled)
        kd = logit_kl(student_out.logits, detached(teacher_out).logits, self.config.temperature)
        return {"task": LossTerm(task, 1 - self.config.lambda_kd), "kd": LossTerm(kd, self.config.lambda_kd)}
