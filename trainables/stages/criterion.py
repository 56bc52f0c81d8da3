"""The CCH criterion: I(H1;H2) against I(H2;Y), from frozen unimodal networks and held-out pairs, before distillation.

H1 and H2 are the outputs of the unimodal teacher, and of the student trained without a teacher, for the same rows. The
gap G = I(H1;H2) - I(H2;Y) says whether distillation is expected to help: it should if G > 0. In the jointly Gaussian
case this is sufficient but not necessary; elsewhere it is a hypothesis.

One estimator computes both terms on the same rows. The interval of G is computed from the gaps of random parts of the
rows: each part gives both terms, so their common errors cancel.
"""

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Int64, Shaped
from pydantic import Field, SerializeAsAny
from torch import Tensor

from trainables.common.distributed import derive_seed
from trainables.common.types import Frozen, Json
from trainables.config import TrialConfig
from trainables.mi import IntervalConfig, estimate
from trainables.mi.base import MIConfig
from trainables.stages.artifacts import Artifact, Stage, StageStore
from trainables.stages.networks import FrozenOutputs, outputs_stage
from trainables.stages.prepared import read_prepared
from trainables.tasks import TASKS

LEVEL = 0.95
"""Coverage of every interval."""

TERMS = ("shared", "labels", "gap")
"""I(H1;H2), I(H2;Y), and the first minus the second."""


class CriterionSettings(Frozen):
    """The settings of the criterion: everything that determines it besides the two networks."""

    mi: SerializeAsAny[MIConfig]
    """The estimator of both terms."""
    representation: Literal["features", "logits"] = "features"
    """What H1 and H2 are: the penultimate activations, or the scores."""
    split: Literal["val", "test"] = "val"
    """Held-out pairs that the terms are estimated on. The test pairs should not take part in a choice."""
    subsamples: Annotated[int, Field(ge=2)] = 20
    """Random parts of the pairs, drawn without replacement, that the intervals are computed from."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the pairs in each part."""


class CriterionEstimate(NamedTuple):
    """Both terms and the gap on all pairs, and their standard errors, in nats."""

    shared: float
    labels: float
    gap: float
    shared_error: float
    labels_error: float
    gap_error: float
    warnings: tuple[str, ...]
    """Reasons to doubt a term, as the estimator gives them."""


class Criterion(Stage):
    """Both terms and their gap for one teacher, one student trained without it, and one estimator."""

    name: ClassVar[str] = "criterion"
    version: ClassVar[int] = 1
    teacher: FrozenOutputs
    student: FrozenOutputs
    settings: CriterionSettings

    def parents(self) -> tuple[Stage, ...]:
        return (self.teacher, self.student)

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        key = f"{self.settings.split}/{self.settings.representation}"
        h1, h2 = (stages.get(outputs).arrays[key].to(device).flatten(1) for outputs in (self.teacher, self.student))
        prepared = self.student.unimodal.prepared
        labels = read_prepared(stages, prepared).split(self.settings.split).labels.to(device)
        discrete = has_classes(prepared.data.task)
        seed = derive_seed(self.student.unimodal.seed, "criterion")
        measured = estimate_criterion(h1, h2, labels, discrete, self.settings, seed)
        notes: dict[str, Json] = {
            "warnings": list(measured.warnings),
            "rows": len(h1),
            "widths": [h1.shape[1], h2.shape[1]],
            "classes": int(labels.unique().numel()) if discrete else 0,
        }
        return Artifact(
            {
                "values": torch.tensor([measured.shared, measured.labels, measured.gap], dtype=torch.float64),
                "errors": torch.tensor(measured[3:6], dtype=torch.float64),
            },
            notes,
        )


def criterion_stage(config: TrialConfig, settings: CriterionSettings) -> Criterion:
    """The criterion of the trial's teacher and student. It does not depend on the method."""
    return Criterion(
        teacher=outputs_stage(config, "teacher"), student=outputs_stage(config, "student"), settings=settings
    )


def has_classes(task: str) -> bool:
    """Whether the labels of a task are classes; if not, they are numbers.

    Raises:
        ValueError: if they are neither, so that I(H2;Y) has no estimator.

    """
    target = TASKS[task].target
    if target == "several":
        raise ValueError(
            f"I(H2;Y) needs a class or numbers for each pair, but the labels of {task} are several answers"
        )
    return target == "class"


def estimate_criterion(
    h1: Float[Tensor, "rows teacher"],
    h2: Float[Tensor, "rows student"],
    labels: Shaped[Tensor, " rows *outputs"],
    discrete: bool,
    settings: CriterionSettings,
    seed: int,
) -> CriterionEstimate:
    """Estimate both terms and their gap on all rows, and their standard errors from random parts of the rows.

    Args:
        h1: teacher outputs.
        h2: outputs of the student trained without a teacher, for the same rows.
        labels: classes, (rows,), or numbers, (rows, outputs).
        discrete: whether the labels are classes.
        settings: the estimator, and how many parts of which size.
        seed: of the parts and of the estimator.

    Returns:
        Terms and standard errors in nats.

    Raises:
        ValueError: from the estimator, for rows that it cannot use.

    """
    config = settings.mi.model_copy(update={"interval": IntervalConfig(subsamples=0)})
    warnings: dict[str, None] = {}

    def terms(rows: Int64[Tensor, " part"] | slice, number: int) -> tuple[float, float, float]:
        shared = estimate(h1[rows], h2[rows], config, seed=seed + number)
        label_term = estimate(h2[rows], labels[rows], config, discrete_y=discrete, seed=seed + number)
        if number == 0:
            named = (("I(H1;H2)", shared), ("I(H2;Y)", label_term))
            warnings.update({f"{name}: {text}": None for name, term in named for text in term.warnings})
        return shared.value, label_term.value, shared.value - label_term.value

    whole = terms(slice(None), 0)
    return CriterionEstimate(*whole, *subsampled_errors(len(h1), terms, settings, seed, h1.device), tuple(warnings))


def subsampled_errors(
    rows: int,
    terms: Callable[[Int64[Tensor, " part"], int], tuple[float, float, float]],
    settings: CriterionSettings,
    seed: int,
    device: torch.device,
) -> tuple[float, float, float]:
    """Standard errors on all N rows from the spread over parts of b rows: var(parts) (b/N) / (1 - b/N).

    Parts drawn without replacement share rows, so their values have variance V/b - V/N, while an estimate on all rows
    has V/N (Politis and Romano 1994).
    """
    size = max(2, round(settings.fraction * rows))
    generator = torch.Generator().manual_seed(seed)
    parts = [
        terms(torch.randperm(rows, generator=generator)[:size].to(device), 1 + number)
        for number in range(settings.subsamples)
    ]
    share = size / rows
    scale = math.sqrt(share / (1 - share))
    shared, labels, gap = (torch.tensor(parts, dtype=torch.float64).std(dim=0) * scale).tolist()
    return shared, labels, gap
