"""Distillation of a contrastive image-text model: TE-inspired proxies, their baselines, and the losses of CLIP-KD.

Each term has one weight, so every published arm is one line of a study file. Embeddings are compared after
normalisation. Where the dimensions differ, linear maps project the student's embeddings to the teacher's dimension;
terms that compare relations within a network (CL, KL, CRD) need no map.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from search_spaces.domains import Aliases, Choice, FloatRange
from trainables.common.types import Batch, LossTerm, ModelOutput
from trainables.losses import contrastive as losses
from trainables.losses.contrastive import EmbeddingPair
from trainables.losses.distillation import Scalar, unit_rows
from trainables.losses.te_proxies import te1, te2
from trainables.methods.base import Method, MethodConfig, TeacherSource, detached
from trainables.tasks import Task

GRID = Choice((0.0, 0.01, 0.05, 0.1, 0.5, 1.0))
NEAR_ONE = FloatRange(0.1, 10.0, log=True)


class ClipKDConfig(MethodConfig):
    """L = sum of weight x term; a weight of 0 leaves its term out. TE1 and TE2 are rewards: their terms are -TE."""

    teacher_source: ClassVar[TeacherSource] = "teacher"
    terms: ClassVar[tuple[str, ...]] = (
        *("cl", "kl", "mse", "icl", "mi", "te1", "te2"),
        *("crd", "fd", "mfd", "gd", "afd"),
    )
    stackable: ClassVar[tuple[str, ...]] = (*terms, "temperature", "mask_ratio")
    tasks: ClassVar[tuple[str, ...]] = ("retrieval", "zero_shot")
    method: Literal["clip_kd"] = "clip_kd"
    """Distil a contrastive image-text model."""
    cl: Annotated[float, Field(ge=0), NEAR_ONE] = 1.0
    """Weight of CL, the task's contrastive loss over the labelled rows."""
    kl: Annotated[float, Field(ge=0), NEAR_ONE] = 0.0
    """Weight of KL between the teacher's and the student's similarities, both at `temperature`."""
    mse: Annotated[float, Field(ge=0), NEAR_ONE] = 0.0
    """Weight of the squared distance of the embeddings, summed over dimensions."""
    icl: Annotated[float, Field(ge=0), NEAR_ONE] = 0.0
    """Weight of ICL: contrastive loss of one network's images and the other network's texts, both ways."""
    mi: Annotated[float, Field(ge=0), NEAR_ONE] = 0.0
    """Weight of MI: InfoNCE between the student's and the teacher's embeddings of one modality."""
    te1: Annotated[float, Field(ge=0), GRID, Aliases("gamma1")] = 0.0
    """Weight of -TE1, a proxy inspired by transfer entropy: directions of change within each modality."""
    te2: Annotated[float, Field(ge=0), GRID, Aliases("gamma2")] = 0.0
    """Weight of -TE2, the same proxy for both modalities together."""
    crd: Annotated[float, Field(ge=0), NEAR_ONE] = 0.0
    """Weight of CRD: as `kl`, but the teacher has its own temperature (1 in CLIP-KD)."""
    fd: Annotated[float, Field(ge=0), FloatRange(1.0, 1e4, log=True)] = 0.0
    """Weight of FD, the squared distance of the embeddings, mean over dimensions (2000 in CLIP-KD)."""
    mfd: Annotated[float, Field(ge=0), FloatRange(1.0, 1e4, log=True)] = 0.0
    """Weight of MFD: as `fd`, with the student's embeddings of partly hidden images (2000 in CLIP-KD)."""
    gd: Annotated[float, Field(ge=0), FloatRange(1e4, 1e9, log=True)] = 0.0
    """Weight of GD, the squared distance of the contrastive loss's gradients (1e8 in CLIP-KD)."""
    afd: Annotated[float, Field(ge=0), NEAR_ONE] = 0.0
    """Weight of AFD, the contrastive loss of linearly fused student and teacher embeddings (1 in CLIP-KD)."""
    temperature: Annotated[float, Field(gt=0), FloatRange(0.01, 0.2, log=True), Aliases("tau", "T")] = 0.07
    """Temperature of CL, KL, ICL, MI and AFD, and of the student in CRD and GD."""
    learn_temperature: bool = False
    """Whether CL, ICL, AFD, and the student in CRD and GD, use the student's own trained scale (CLIP-KD does)."""
    te_lag: Literal[0, 1] = 0
    """Rows of the batch by which the teacher precedes the student in TE1 and TE2."""
    te_pairs: Literal["adjacent", "all"] = "adjacent"
    """Pairs of rows whose differences TE1 and TE2 compare: neighbours in the batch, or all pairs."""
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Share of an image's patches that is hidden for MFD."""
    patch_size: Annotated[int, Field(ge=1)] = 16
    """Side of a patch in pixels."""
    teacher_outputs: Literal["cached", "live"] = "cached"
    """Whether the teacher's embeddings are computed once for all trials, or in every step."""

    @classmethod
    def terms_of(cls, values: Mapping[str, object]) -> tuple[str, ...]:
        """The terms whose weight is not 0."""
        return tuple(term for term in cls.terms if values.get(term, cls.model_fields[term].default) != 0)

    @property
    def masked_fraction(self) -> float:
        return self.mask_ratio if self.mfd else 0.0

    @property
    def mask_patch(self) -> int:
        return self.patch_size

    @property
    def live_teacher(self) -> bool:
        return self.teacher_outputs == "live"

    @property
    def learns_scale(self) -> bool:
        return self.learn_temperature


class ClipKD(Method[ClipKDConfig]):
    """Adapters exist only for the terms that use them: `projection` between different dimensions, `fusion` for AFD."""

    def __init__(self, config: ClipKDConfig, student_dim: int, teacher_dim: int, task: Task) -> None:
        super().__init__(config, student_dim, teacher_dim, task)
        self.terms = config.active_terms
        active = set(self.terms)
        self.same_dims = student_dim == teacher_dim
        self.projection = self.fusion = None
        if not self.same_dims and active & PROJECTED:
            self.projection = linear_per_modality(student_dim, teacher_dim)
        if "afd" in active:
            self.fusion = linear_per_modality(student_dim + teacher_dim, student_dim)

    def forward(
        self,
        student_out: ModelOutput,
        teacher_out: ModelOutput | None,
        batch: Batch,
        generator: torch.Generator | None = None,
    ) -> dict[str, LossTerm]:
        # Half precision is too coarse: similarities are divided by temperatures, and GD has a weight of 1e8.
        with torch.autocast(student_out.logits.device.type, enabled=False):
            compared = TermInputs(self, at_least_float32(student_out), at_least_float32(detached(teacher_out)), batch)
            return {name: LossTerm(TERMS[name](compared), getattr(self.config, name)) for name in self.terms}

    def project(self, embeddings: Float[Tensor, "batch two dim"]) -> Float[Tensor, "batch two wide"] | None:
        if self.projection is None:
            return embeddings if self.same_dims else None
        return torch.stack([layer(part) for layer, part in zip(self.projection, embeddings.unbind(1), strict=True)], 1)


class TermInputs:
    """The inputs of the loss terms: a batch's outputs, and values that several terms use, computed at first use."""

    def __init__(self, method: ClipKD, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> None:
        self.method, self.config, self.batch = method, method.config, batch
        self.student_out, self.teacher_out = student, teacher
        self.student, self.teacher = embedding_pair(student), embedding_pair(teacher)

    @cached_property
    def mapped(self) -> EmbeddingPair:
        """The student's embeddings in the teacher's dimension."""
        return project_embeddings(self.method.projection, self.student)

    @cached_property
    def masked(self) -> EmbeddingPair:
        """`mapped` with the embeddings of the partly hidden images, which are between those of image and text."""
        vectors = self.student_out.embeddings
        assert vectors is not None and vectors.shape[1] == 3, "MFD needs the student's embeddings of masked images"
        return project_embeddings(self.method.projection, EmbeddingPair(vectors[:, 1], vectors[:, -1]))

    @cached_property
    def fused(self) -> EmbeddingPair:
        """Linear maps of [student; teacher], not normalised."""
        assert self.method.fusion is not None
        both = (torch.cat(parts, dim=1) for parts in zip(self.student, self.teacher, strict=True))
        return EmbeddingPair(*(layer(part) for layer, part in zip(self.method.fusion, both, strict=True)))

    @cached_property
    def temperature(self) -> Scalar:
        """Temperature of the terms that may use the student's scale."""
        return temperature_of(self.student_out) if self.config.learn_temperature else self.config.temperature

    @cached_property
    def teacher_temperature(self) -> Scalar:
        """Temperature of the teacher's trained scale."""
        return temperature_of(self.teacher_out)


def task_loss(c: TermInputs) -> Tensor:
    """CL over the labelled rows, the task's loss."""
    assert c.student_out.embeddings is not None
    logits = c.student_out.logits if c.config.learn_temperature else c.student_out.embeddings * c.temperature**-0.5
    return c.method.task.loss(logits, c.batch.labels, c.batch.labelled)


TERMS: dict[str, Callable[[TermInputs], Tensor]] = {
    "cl": task_loss,
    "kl": lambda c: losses.relation_kl(c.student, c.teacher, c.config.temperature, c.config.temperature),
    "mse": lambda c: losses.embedding_mse(c.mapped, c.teacher),
    "icl": lambda c: losses.interactive(c.mapped, c.teacher, c.temperature),
    "mi": lambda c: losses.negative_information(c.mapped, c.teacher, c.config.temperature),
    "te1": lambda c: -te1(c.mapped, c.teacher, c.config.te_lag, c.config.te_pairs),
    "te2": lambda c: -te2(c.mapped, c.teacher, c.config.te_lag, c.config.te_pairs),
    "crd": lambda c: losses.relation_kl(c.student, c.teacher, c.temperature, c.teacher_temperature),
    "fd": lambda c: losses.feature_distance(c.mapped, c.teacher),
    "mfd": lambda c: losses.feature_distance(c.masked, c.teacher),
    "gd": lambda c: losses.gradient_distance(c.mapped, c.teacher, c.temperature, c.teacher_temperature),
    "afd": lambda c: losses.fused(c.fused, c.temperature),
}
"""The function of each term; only terms with a weight above 0 are computed."""

PROJECTED = {"mse", "icl", "mi", "te1", "te2", "fd", "mfd", "gd"}
"""Terms that compare embeddings of student and teacher coordinate by coordinate."""


def linear_per_modality(inputs: int, outputs: int) -> nn.ModuleList:
    """One linear map for images and one for texts."""
    return nn.ModuleList([nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)])


def project_embeddings(projection: nn.ModuleList | None, student: EmbeddingPair) -> EmbeddingPair:
    """Project the embeddings and normalise them again; without a projection return them unchanged."""
    if projection is None:
        return student
    return EmbeddingPair(*(unit_rows(layer(part)) for layer, part in zip(projection, student, strict=True)))


def embedding_pair(out: ModelOutput) -> EmbeddingPair:
    """The first embedding of each row (the image) and the last (the text)."""
    assert out.embeddings is not None, "only a contrastive model has embeddings"
    return EmbeddingPair(out.embeddings[:, 0], out.embeddings[:, -1])


def temperature_of(out: ModelOutput) -> Tensor:
    """1 / scale of a contrastive model, whose logits are its unit embeddings times the root of the scale."""
    assert out.embeddings is not None
    return (out.logits * out.embeddings).sum(dim=-1).mean() ** -2


def at_least_float32(out: ModelOutput) -> ModelOutput:
    """The outputs in single precision, or in double precision if they have it."""
    return out.map(lambda part: part.float() if part.dtype in (torch.float16, torch.bfloat16) else part)
