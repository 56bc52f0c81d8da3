"""The interface of a distillation method: its config and its loss."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.common.types import Batch, LossTerm, ModelOutput, TableConfig
from trainables.tasks import Task

TeacherSource = Literal["nothing", "teacher", "bottleneck", "nullified"]
"""The source of a method's `teacher_out`: nothing, the frozen teacher's outputs, the bottleneck's h', or the outputs
of a teacher with some channels nullified."""


class MethodConfig(TableConfig):
    """Base of the methods' hyperparameters. A subclass adds `method: Literal["its name"]` and its own fields."""

    kind_field: ClassVar[str] = "method"
    teacher_source: ClassVar[TeacherSource]
    terms: ClassVar[tuple[str, ...]]
    """Names of all its loss terms, logged as `train/loss_<term>`."""
    stackable: ClassVar[tuple[str, ...]] = ()
    """Fields in which trials of one pack may differ: numbers that `forward` accepts as number or tensor, and fields
    that it does not use. Seeds may always differ."""
    why_not_stacked: ClassVar[str] = ""
    """Why trainings with the method cannot be stacked in one pack; empty if they can."""
    tasks: ClassVar[tuple[str, ...]] = ()
    """Tasks that the method can be used for; empty: all."""

    @classmethod
    def terms_of(cls, values: Mapping[str, object]) -> tuple[str, ...]:
        """Terms of a config with these fields and defaults for the others, for a file that is not validated yet."""
        return cls.terms

    @property
    def active_terms(self) -> tuple[str, ...]:
        """Names of the loss terms that `forward` returns."""
        return self.terms_of({name: getattr(self, name) for name in type(self).model_fields})

    @property
    def masked_fraction(self) -> float:
        """Share of each image that is hidden in a second view for the student; 0: there is no second view."""
        return 0.0

    @property
    def mask_patch(self) -> int:
        """Side of the squares that are hidden, in pixels."""
        return 16

    @property
    def live_teacher(self) -> bool:
        """Whether the teacher runs on the student's inputs in every step, instead of having its outputs stored."""
        return False

    @property
    def learns_scale(self) -> bool:
        """Whether the loss trains a contrastive student's scale."""
        return True


ConfigT = TypeVar("ConfigT", bound=MethodConfig)


class Method(nn.Module, Generic[ConfigT]):
    """The loss of a distillation method; its only parameters are adapters, trained with the student.

    A method contains neither teacher nor student, and the teacher gets no gradient. `forward` is pure, so that trials
    can be stacked: no `.item()`, no data-dependent control flow, no state changed in place, and randomness only from
    the generator that is passed in.
    """

    def __init__(self, config: ConfigT, student_dim: int, teacher_dim: int, task: Task) -> None:
        """Store the hyperparameters and the task. Methods that need adapters create them.

        Args:
            config: the hyperparameters.
            student_dim: width of the student's features.
            teacher_dim: width of the targets' features; 0 without a teacher.
            task: gives the loss of the labelled rows.

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
            batch: the same rows without their inputs; its labels may be used only where `batch.labelled`.
            generator: source of all randomness.

        Returns:
            Value and weight of each active term, by name.

        """

    def project(self, embeddings: Float[Tensor, "batch two dim"]) -> Float[Tensor, "batch two wide"] | None:
        """A contrastive student's embeddings, image and text, in the teacher's dimension, not normalised.

        None if the loss has no map to the teacher's dimension.
        """
        return None


def detached(teacher_out: ModelOutput | None) -> ModelOutput:
    """The teacher's outputs as constants: no gradient passes through them."""
    assert teacher_out is not None, "a method with a `teacher_source` needs the teacher's outputs"
    embeddings = None if teacher_out.embeddings is None else teacher_out.embeddings.detach()
    return ModelOutput(teacher_out.logits.detach(), teacher_out.features.detach(), embeddings)
