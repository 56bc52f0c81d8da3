"""What a distillation method is."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.common.types import Batch, LossTerm, ModelOutput, TableConfig
from trainables.tasks import Task

TeacherSource = Literal["nothing", "teacher", "bottleneck", "nullified"]
"""What a method is given as `teacher_out`: nothing, the frozen teacher's outputs, the bottleneck's h', or the outputs
of a teacher without some of its channels."""


class MethodConfig(TableConfig):
    """Base of the methods' hyperparameters. A subclass adds `method: Literal["its name"]` and its own fields."""

    kind_field: ClassVar[str] = "method"
    teacher_source: ClassVar[TeacherSource]
    terms: ClassVar[tuple[str, ...]]
    """Names of all its loss terms, logged as `train/loss_<term>`."""
    stackable: ClassVar[tuple[str, ...]] = ()
    """Fields in which trials that are trained as one pack may differ: numbers that `forward` takes as they come, number
    or tensor, and whatever it does not look at. Seeds always may."""
    why_not_stacked: ClassVar[str] = ""
    """Why trainings with the method cannot be stacked in one pack; empty if they can."""
    tasks: ClassVar[tuple[str, ...]] = ()
    """Tasks that the method can be used for; empty: all."""

    @classmethod
    def terms_of(cls, values: Mapping[str, object]) -> tuple[str, ...]:
        """Terms of a config with these fields, the others at their defaults: for files that are not checked yet."""
        return cls.terms

    @property
    def active_terms(self) -> tuple[str, ...]:
        """Names of the loss terms that `forward` returns."""
        return self.terms_of({name: getattr(self, name) for name in type(self).model_fields})

    @property
    def masked_fraction(self) -> float:
        """Share of each image that is hidden in a second view, which the student then sees too; 0: no such view."""
        return 0.0

    @property
    def mask_patch(self) -> int:
        """Side of the squares that are hidden, in pixels."""
        return 16

    @property
    def live_teacher(self) -> bool:
        """Whether the teacher looks at what the student sees in every step, instead of having its outputs stored."""
        return False

    @property
    def learns_scale(self) -> bool:
        """Whether the loss trains a contrastive student's scale; if not, it stays as it was."""
        return True


ConfigT = TypeVar("ConfigT", bound=MethodConfig)


class Method(nn.Module, Generic[ConfigT]):
    """The loss of a distillation method; its only parameters are adapters, trained with the student.

    It never owns teacher or student, and gives the teacher no gradient. Pure: no `.item()`, no data-dependent control
    flow, no state changed in place, and randomness only from a generator that is passed in, so that trials can be
    stacked and run together.
    """

    def __init__(self, config: ConfigT, student_dim: int, teacher_dim: int, task: Task) -> None:
        """Keep the hyperparameters and the task; adapters are made by the methods that need them.

        Args:
            config: the hyperparameters.
            student_dim: width of the student's features.
            teacher_dim: width of the targets' features; 0 without a teacher.
            task: whose loss the labelled rows are trained by.

        """
        super().__init__()
        self.config = config
        self.task = task

    @abstractmethod
    def forward(
        self,
        student_out: ModelOutput,
        teacher_out: ModelOutput | None,
        batch: Batch,
        generator: torch.Generator | None = None,
    ) -> dict[str, LossTerm]:
        """The terms named in `config.active_terms` for one global batch; distributed outputs were gathered before.

        Args:
            student_out: the student's outputs, with gradients.
            teacher_out: the frozen targets for the same rows (None if `teacher_source` is "nothing").
            batch: the same rows, without their inputs; its labels count only where `batch.labelled`.
            generator: source of any randomness.
        """

    def project(self, embeddings: Float[Tensor, "batch two dim"]) -> Float[Tensor, "batch two wide"] | None:
        """A contrastive student's embeddings, image and text, in the teacher's dimension, for who compares them.

        None where the loss has no map between them. Not normalised again.
        """
        return None


def detached(teacher_out: ModelOutput | None) -> ModelOutput:
    """The teacher's outputs as constants: no gradient passes through them."""
    assert teacher_out is not None, "a method with a `teacher_source` needs the teacher's outputs"
    embeddings = None if teacher_out.embeddings is None else teacher_out.embeddings.detach()
    return ModelOutput(teacher_out.logits.detach(), teacher_out.features.detach(), embeddings)
