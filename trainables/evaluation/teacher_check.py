"""Check that the stored embeddings of a teacher match its embeddings of the same inputs now.

A sample of rows is run through the teacher again, once in each process for each stage of stored outputs. The inputs are
the stored views, so a difference larger than rounding means that weights, preprocessing or data have changed without
changing the stage's key.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trainables.common.distributed import derive_seed
from trainables.config import TrialConfig
from trainables.stages.artifacts import StageStore
from trainables.stages.networks import FrozenOutputs, PretrainedOutputs, teacher_network, teacher_stage
from trainables.stages.prepared import read_prepared
from trainables.training.inputs import network_inputs, split_for
from trainables.training.session import run_model

ROWS = 64
"""Number of training rows that are compared."""

LEAST_COSINE = {"float32": 0.9999, "bfloat16": 0.999, "float16": 0.999}
"""Lower bound of the cosine between stored and new embedding, by the number format of the teacher's towers."""


class TeacherCheck(NamedTuple):
    """Cosines between stored and new embeddings."""

    least: float
    mean: float
    rows: int

    def array(self) -> Float[Tensor, " 3"]:
        """The array for the trial's diagnostics: least cosine, mean cosine, number of rows."""
        return torch.tensor([self.least, self.mean, self.rows], dtype=torch.float64)


TEACHER_CHECKS: dict[str, TeacherCheck] = {}
"""Finished checks of this process, by the key of the stage."""


def check_teacher(config: TrialConfig, stages: StageStore, device: torch.device) -> TeacherCheck | None:
    """Check the trial's stored teacher; None if the trial uses no stored embeddings.

    Raises:
        ValueError: if an embedding does not match.

    """
    if config.method.teacher_source != "teacher" or config.method.live_teacher:
        return None
    stage = teacher_stage(config)
    if stage.key not in TEACHER_CHECKS:
        arrays = stages.get(stage, device).arrays
        if "train/embeddings" not in arrays:
            return None
        TEACHER_CHECKS[stage.key] = compare_embeddings(stages, stage, arrays["train/embeddings"], device)
    return TEACHER_CHECKS[stage.key]


def compare_embeddings(
    stages: StageStore,
    stage: FrozenOutputs | PretrainedOutputs,
    stored: Float[Tensor, "rows several dim"],
    device: torch.device,
) -> TeacherCheck:
    """Compare a sample of the stored embeddings with new ones.

    Args:
        stages: gives the prepared data and the teacher's weights.
        stage: the stage of the stored outputs.
        stored: its embeddings of the training rows.
        device: where the teacher runs.

    Raises:
        ValueError: if a cosine is too low.

    """
    network = stage.unimodal if isinstance(stage, FrozenOutputs) else stage
    data = read_prepared(stages, network.prepared)
    order = torch.Generator().manual_seed(derive_seed(stage.key, "audit"))
    rows = torch.randperm(len(stored), generator=order)[:ROWS].sort().values
    inputs = tuple(part[rows] for part in network_inputs(split_for(network.model, network.role, data.train)))
    live = run_model(teacher_network(stages, stage, data, device), inputs, device).embeddings
    assert live is not None, "a model whose embeddings are stored has embeddings"
    cosines = functional.cosine_similarity(live.cpu().double(), stored[rows].double(), dim=-1)
    found = TeacherCheck(cosines.min().item(), cosines.mean().item(), len(rows))
    bound = LEAST_COSINE[getattr(network.model, "precision", "float32")]
    if not found.least >= bound:  # NaN fails, too
        raise ValueError(
            f"the teacher's stored embeddings must match what it makes of the same inputs (cosine >= {bound}), but the "
            f"least cosine of {found.rows} rows is {found.least:.6f}; delete {stages.path(stage)} to compute them again"
        )
    return found
