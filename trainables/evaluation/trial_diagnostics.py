"""Small arrays of the trained student that a trial stores for the figures and tables of the report.

| array | shape | for |
|---|---|---|
| `features/train` | (D,) | singular values of the covariance of the student's training features |
| `weights/tap`, `weights/head` | (min(outputs, inputs),) | singular values of the linear layers of that name |
| `sample/student`, `sample/teacher` | (at most 256, D) float32 | test features of the same rows (t-SNE) |
| `audit/teacher` | (3,) float64 | cosines of stored and live teacher: least, mean, rows (see `teacher_check`) |
| `split/limit` | (1,) | Corollary 1.1, where `LossSplit` applies |
| `clip/...` | | similarity of a contrastive student to its teacher: see `trainables.diagnostics.contrastive` |

With D = 1024 that is 1 MB a network, with D = 128 a tenth of it.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.common.types import Batch, rows_of
from trainables.config import TrialConfig
from trainables.diagnostics.collapse import specific_loss_limit, split_loss
from trainables.diagnostics.spectra import singular_value_spectrum, weight_spectrum
from trainables.evaluation.contrastive_diagnostics import contrastive_diagnostics, first_pairs
from trainables.evaluation.teacher_check import check_teacher
from trainables.methods.feature_loss import FeatureLossConfig
from trainables.models.base import Model
from trainables.stages.artifacts import StageStore
from trainables.stages.networks import outputs_stage, restore_unimodal, teacher_stage
from trainables.stages.prepared import prepared_stage, read_prepared
from trainables.training.inputs import network_inputs
from trainables.training.session import Problem, run_model

SAMPLE_ROWS = 256
"""Maximum number of test feature vectors that are stored."""

LINEAR_LAYERS = ("tap", "head")
"""Names of the layers whose weight spectra are stored, if they are linear."""


class LossSplit(NamedTuple):
    """The feature loss of a linear student, split by its cause (CIBA paper, Fig. 3c), for data whose G is known.

    It is measured on the training pairs after every epoch. The student's matrix is computed from its outputs, so it may
    have any number of linear layers. If the loss ignores a shift of all features of a row, the shift is removed first.
    """

    teacher_weight: Float[Tensor, "features teacher_dim"]
    teacher_x: Float[Tensor, "teacher_dim samples"]
    student_x: Float[Tensor, "student_dim samples"]
    num_shared: int
    shift_invariant: bool

    def __call__(self, student: Model) -> dict[str, float]:
        """`train/fd_general` and `train/fd_specific`, the two parts of ½ ||W' X' - W X||²_F."""
        weight = self.visible(linear_map(student, len(self.student_x)).to(self.student_x))
        parts = split_loss(self.visible(self.teacher_weight), self.teacher_x, weight, self.student_x, self.num_shared)
        return {"train/fd_general": parts.general.item(), "train/fd_specific": parts.specific.item()}

    def limit(self) -> Float[Tensor, " 1"]:
        """The lower limit of the specific part on completely separated data (Corollary 1.1)."""
        return specific_loss_limit(self.visible(self.teacher_weight), self.teacher_x, self.num_shared)[None]

    def visible(self, weight: Float[Tensor, "features dim"]) -> Float[Tensor, "features dim"]:
        """The part of a matrix that the loss depends on."""
        return weight - weight.mean(dim=0) if self.shift_invariant else weight


@torch.no_grad()
def linear_map(model: Model, inputs: int) -> Float[Tensor, "features inputs"]:
    """The matrix W of a linear network's features W x + b, by its outputs for the unit vectors; float64."""
    model.eval()
    like = next(model.parameters())
    units = torch.cat([torch.zeros(1, inputs), torch.eye(inputs)]).to(like)
    features = model(units).features.double()
    return (features[1:] - features[0]).T


def loss_split(config: TrialConfig, stages: StageStore, device: torch.device) -> LossSplit | None:
    """The trial's LossSplit; None unless its data declare the shared inputs and both networks are linear."""
    shared, method = config.data.shared_inputs(), config.method
    if shared is None or not isinstance(method, FeatureLossConfig) or method.teacher_source != "teacher":
        return None
    alike = config.teacher.feature_dim == config.student.feature_dim
    if not (alike and config.teacher.linear and config.student.linear):
        return None
    data = read_prepared(stages, prepared_stage(config))
    teacher = restore_unimodal(stages, outputs_stage(config, "teacher").unimodal, data, device)
    teacher_x, student_x = (part.to(device).double().T for part in (data.train.teacher, data.train.student))
    weight = linear_map(teacher, len(teacher_x))
    return LossSplit(weight, teacher_x, student_x, shared, method.shift_invariant)


def trial_diagnostics(
    config: TrialConfig, problem: Problem, test: Batch, stages: StageStore, device: torch.device
) -> dict[str, Tensor]:
    """The arrays of the module's table.

    Args:
        config: the trial.
        problem: its student has the selected epoch's weights.
        test: the test split with the student's inputs.
        stages: every stage of the trial is ready in it.
        device: where the student is.

    Returns:
        Arrays by name, on the CPU.

    """
    found = {"features/train": singular_value_spectrum(rows_of(features_of(problem.student, problem.train, device)))}
    layers = dict(problem.student.named_modules())
    for name in LINEAR_LAYERS:
        layer = layers.get(name)
        if isinstance(layer, nn.Linear):
            found[f"weights/{name}"] = weight_spectrum(layer.weight)
    found["sample/student"] = sample(features_of(problem.student, test, device))
    if config.method.teacher_source != "nothing":
        arrays = stages.get(teacher_stage(config), device).arrays
        found["sample/teacher"] = sample(arrays["test/features"])
    if audited := check_teacher(config, stages, device):
        found["audit/teacher"] = audited.array()
    if isinstance(problem.probe, LossSplit):
        found["split/limit"] = problem.probe.limit()
    found |= contrastive_diagnostics(config, problem, test, stages, device)
    return {name: array.detach().cpu().contiguous() for name, array in found.items()}


def features_of(student: Model, split: Batch, device: torch.device) -> Float[Tensor, "*rows dim"]:
    """The student's features for every row of a split."""
    inputs = first_pairs(split) or network_inputs(split)  # a captioned image's features are those of its fixed view
    return run_model(student, inputs, device).features


def sample(features: Float[Tensor, "*rows dim"]) -> Float[Tensor, "sample dim"]:
    """At most SAMPLE_ROWS feature vectors at even distances; splits of equal size give the same rows."""
    rows = rows_of(features)
    chosen = torch.linspace(0, len(rows) - 1, min(SAMPLE_ROWS, len(rows))).round().long()
    return rows[chosen.to(rows.device)].float()
