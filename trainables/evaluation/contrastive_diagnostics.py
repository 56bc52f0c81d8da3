"""`trainables.diagnostics.contrastive` on a trial: distance to the teacher after every epoch, and arrays at the end.

They are measured for every method with a contrastive teacher, independently of the terms of its loss, on the fixed view
of each image and its first caption.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.common.types import Batch
from trainables.config import TrialConfig
from trainables.diagnostics.contrastive import clip_arrays, similarity_divergence, squared_distance
from trainables.methods.base import Method
from trainables.models.base import Model
from trainables.stages.artifacts import StageStore
from trainables.stages.networks import teacher_stage
from trainables.training.inputs import network_inputs
from trainables.training.session import Problem, run_model

FIXED_TEMPERATURE = 0.07
"""A second temperature for the KL, so that arms with different temperatures can be compared."""

SAMPLE_ROWS = 256
"""Maximum number of test rows whose coordinates are stored."""

Pairs = Float[Tensor, "rows 2 dim"]


class TeacherGap(NamedTuple):
    """Measures the distance between a student and its teacher on the validation split."""

    inputs: tuple[Tensor, Tensor]
    teacher: Pairs
    method: Method[Any]
    """Projects the student's embeddings to the teacher's space, if it can."""
    temperature: float
    device: torch.device

    def __call__(self, student: Model) -> dict[str, float]:
        """`val/teacher_kl` (at the method's temperature), `val/teacher_kl_fixed` (at 0.07) and `val/teacher_mse`.

        `val/teacher_mse` is left out if the method has no map to the teacher's space.
        """
        ours = embeddings_of(student, self.inputs, self.device)
        found = {
            "val/teacher_kl": similarity_divergence(ours, self.teacher, self.temperature),
            "val/teacher_kl_fixed": similarity_divergence(ours, self.teacher, FIXED_TEMPERATURE),
        }
        projected = project_to_teacher(self.method, ours, self.teacher)
        if projected is not None:
            found["val/teacher_mse"] = squared_distance(projected, self.teacher)
        return {name: value.item() for name, value in found.items()}


def teacher_gap(config: TrialConfig, problem: Problem, stages: StageStore, device: torch.device) -> TeacherGap | None:
    """The trial's TeacherGap; None unless it distils a contrastive teacher."""
    inputs = first_pairs(problem.val)
    teacher = teacher_pairs(config, problem, stages, "val", inputs, device)
    if inputs is None or teacher is None:
        return None
    temperature = float(getattr(config.method, "temperature", FIXED_TEMPERATURE))
    return TeacherGap(inputs, teacher, problem.method, temperature, device)


def contrastive_diagnostics(
    config: TrialConfig, problem: Problem, test: Batch, stages: StageStore, device: torch.device
) -> dict[str, Tensor]:
    """The arrays of `clip_arrays`, of the trained student on the test split; none unless the teacher is contrastive."""
    inputs = first_pairs(test)
    teacher = teacher_pairs(config, problem, stages, "test", inputs, device)
    if inputs is None or teacher is None:
        return {}
    ours = embeddings_of(problem.student, inputs, device)
    return clip_arrays(ours, teacher, project_to_teacher(problem.method, ours, teacher), SAMPLE_ROWS)


def first_pairs(split: Batch) -> tuple[Tensor, Tensor] | None:
    """Fixed views and first captions of a split of captioned images; None of other data."""
    inputs = network_inputs(split)
    if len(inputs) != 2 or inputs[0].dim() != 5 or inputs[1].dim() != 3:
        return None
    return inputs[0][:, :1], inputs[1][:, :1]


def teacher_pairs(
    config: TrialConfig,
    problem: Problem,
    stages: StageStore,
    split: str,
    inputs: tuple[Tensor, Tensor] | None,
    device: torch.device,
) -> Pairs | None:
    """The teacher's embeddings of the same inputs, stored or (live teacher) computed; None if there are none."""
    if inputs is None or problem.targets is None:
        return None
    if isinstance(problem.targets, Model):
        return embeddings_of(problem.targets, inputs, device)
    stored = stages.get(teacher_stage(config), device).arrays.get(f"{split}/embeddings")
    if stored is None:
        return None
    return stored[:, [0, 1]].to(device)  # validation and test rows have one view, so index 1 is the first caption


def embeddings_of(model: Model, inputs: tuple[Tensor, Tensor], device: torch.device) -> Pairs:
    """A contrastive network's embeddings of pairs."""
    embeddings = run_model(model, inputs, device).embeddings
    assert embeddings is not None, "only contrastive networks are given captioned images"
    return embeddings


@torch.no_grad()
def project_to_teacher(method: Method[Any], student: Pairs, teacher: Float[Tensor, "rows 2 other"]) -> Tensor | None:
    """The student's embeddings in the teacher's space, unchanged if the widths agree; None if there is no map."""
    projected = method.project(student)
    return student if projected is None and student.shape == teacher.shape else projected
