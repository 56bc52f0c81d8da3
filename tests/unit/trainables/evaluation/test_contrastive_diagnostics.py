"""Distance to the teacher after every epoch and the arrays of a trial, for a toy network and its live teacher."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.helpers.tiny_clip import ENTRIES
from trainables.common.distributed import Workers
from trainables.common.types import Batch, ModelOutput
from trainables.config import CHOICES, TrialConfig
from trainables.data import DATASETS
from trainables.diagnostics.contrastive import similarity_divergence
from trainables.evaluation.contrastive_diagnostics import (
    contrastive_diagnostics,
    first_pairs,
    project_to_teacher,
    teacher_gap,
)
from trainables.fitting import fit
from trainables.methods.none import NoDistillation, NoneConfig
from trainables.models.base import Model
from trainables.stages.artifacts import StageStore
from trainables.stages.networks import teacher_stage
from trainables.tasks import TASKS
from trainables.training.session import Problem

CPU = torch.device("cpu")
CONFIG = TrialConfig.model_validate(
    {"data": {"dataset": "mfeat"}, "teacher": {"model": "mlp"}, "student": {"model": "mlp"}, "method": {"method": "kd"}}
)
"""Has only a temperature."""


class Toy(Model):
    """Linear maps of the pixels and of the token numbers."""

    def __init__(self, dim: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.image = nn.Parameter(torch.randn(12, dim, generator=generator))
        self.text = nn.Parameter(torch.randn(3, dim, generator=generator))

    def forward(self, images: Tensor, captions: Tensor) -> ModelOutput:
        projected = torch.cat([images.flatten(2) @ self.image, captions.to(self.text.dtype) @ self.text], dim=1)
        embeddings = functional.normalize(projected, dim=-1)
        return ModelOutput(embeddings, projected[:, 0], embeddings)


class Projecting(NoDistillation):
    """A method with a way into the teacher's space."""

    def project(self, embeddings: Tensor) -> Tensor:
        return 3 * embeddings[..., :4]


def split(rows: int = 30, views: int = 1, captions: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(rows)
    images = torch.randint(256, (rows, views, 3, 2, 2), generator=generator, dtype=torch.uint8)
    tokens = torch.randint(1, 9, (rows, captions, 3), generator=generator, dtype=torch.int32)
    known = torch.ones(rows, captions, dtype=torch.bool)
    return Batch(images, tokens, known, known[:, 0], torch.arange(rows))


def problem(student: Model, teacher: Model | None, method: type[NoDistillation] = NoDistillation) -> Problem:
    task = TASKS["retrieval"]
    return Problem(student, method(NoneConfig(), 4, 4, task), split(), split(20), teacher, task)


def stages(tmp_path: Path) -> StageStore:
    return StageStore(tmp_path)


def pairs(model: Toy, rows: Batch) -> Tensor:
    images = (rows.teacher[:, 0].float() / 255).flatten(1) @ model.image
    return torch.stack([images, rows.student[:, 0].float() @ model.text], dim=1).detach()


def test_the_gap_is_that_of_fixed_views_and_first_captions(tmp_path: Path) -> None:
    student, teacher = Toy(4, 0), Toy(4, 1)
    gap = teacher_gap(CONFIG, problem(student, teacher), stages(tmp_path), CPU)
    assert gap is not None and gap.temperature == CONFIG.method.temperature
    found = gap(student)
    ours, theirs = (functional.normalize(pairs(model, split(20)).double(), dim=-1) for model in (student, teacher))
    expected = similarity_divergence(ours, theirs, CONFIG.method.temperature).item()
    assert found["val/teacher_kl"] == pytest.approx(expected, rel=1e-5)
    fixed = similarity_divergence(ours, theirs, 0.07).item()
    assert found["val/teacher_kl_fixed"] == pytest.approx(fixed, rel=1e-4) != pytest.approx(expected)
    assert found["val/teacher_mse"] == pytest.approx((ours - theirs).square().sum().item() / 20, rel=1e-5)


def test_the_gap_of_the_teacher_itself_is_0(tmp_path: Path) -> None:
    teacher = Toy(4, 1)
    gap = teacher_gap(CONFIG, problem(teacher, teacher), stages(tmp_path), CPU)
    assert gap is not None and gap(teacher) == pytest.approx(dict.fromkeys(gap(teacher), 0.0), abs=1e-6)


def test_without_a_projection_other_widths_have_no_mse_and_with_one_they_do(tmp_path: Path) -> None:
    student, teacher = Toy(6, 0), Toy(4, 1)
    gap = teacher_gap(CONFIG, problem(student, teacher), stages(tmp_path), CPU)
    assert gap is not None and set(gap(student)) == {"val/teacher_kl", "val/teacher_kl_fixed"}
    gap = teacher_gap(CONFIG, problem(student, teacher, Projecting), stages(tmp_path), CPU)
    ours, theirs = (functional.normalize(pairs(m, split(20)).double(), dim=-1) for m in (student, teacher))
    ours = functional.normalize(ours[..., :4], dim=-1)
    assert gap is not None
    assert gap(student)["val/teacher_mse"] == pytest.approx((ours - theirs).square().sum().item() / 20, rel=1e-5)


def test_without_a_teacher_or_pictures_nothing_is_measured(tmp_path: Path) -> None:
    assert teacher_gap(CONFIG, problem(Toy(4, 0), None), stages(tmp_path), CPU) is None
    numbers = Batch(
        torch.zeros(5, 0), torch.ones(5, 4), torch.arange(5), torch.ones(5, dtype=torch.bool), torch.arange(5)
    )
    assert first_pairs(numbers) is None
    plain = problem(Toy(4, 0), Toy(4, 1))._replace(val=numbers)
    assert teacher_gap(CONFIG, plain, stages(tmp_path), CPU) is None
    assert contrastive_diagnostics(CONFIG, plain, numbers, stages(tmp_path), CPU) == {}


def test_the_kept_arrays_are_of_the_test_split(tmp_path: Path) -> None:
    student, teacher = Toy(6, 0), Toy(4, 1)
    found = contrastive_diagnostics(CONFIG, problem(student, teacher), split(25, views=1), stages(tmp_path), CPU)
    assert found["clip/rows"].tolist() == [25] and "clip/cosine" not in found
    found = contrastive_diagnostics(CONFIG, problem(student, teacher, Projecting), split(25), stages(tmp_path), CPU)
    ours, theirs = (pairs(model, split(25)) for model in (student, teacher))
    cosine = functional.cosine_similarity(ours[..., :4], theirs, dim=-1).mean(dim=0)
    torch.testing.assert_close(found["clip/cosine"], cosine)
    assert found["clip/pca_student"].shape == (2, 25, 2)


def test_a_projection_counts_before_equal_widths() -> None:
    method = Projecting(NoneConfig(), 4, 4, TASKS["retrieval"])
    plain = NoDistillation(NoneConfig(), 4, 4, TASKS["retrieval"])
    ours, theirs = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    assert torch.equal(project_to_teacher(method, ours, theirs), 3 * ours)
    assert project_to_teacher(plain, ours, theirs) is ours and project_to_teacher(plain, ours, theirs[..., :3]) is None


@pytest.mark.parametrize("width", [6, 5])
def test_through_fit_a_stored_teacher_is_measured_in_every_arm(width: int, tmp_path: Path) -> None:
    """The last epoch's distance, and what is kept, by hand from the trained student and the stored teacher."""
    towers = {"model": "clip", "channels": (4, 8), "text_width": 8}
    values = {
        "data": {"dataset": "captioned"},
        "teacher": {**towers, "feature_dim": 6},
        "student": {**towers, "feature_dim": width},
        "method": {"method": "clip_kd", "temperature": 0.2},
        "training": {"epochs": 2, "batch_size": 16, "select": "last", "monitor": "val/i2t_r1"},
        "pretraining": {"epochs": 1, "batch_size": 16, "monitor": "val/i2t_r1"},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, entry in ENTRIES.items():
            patch.setitem(DATASETS, name, entry)
            patch.setitem(CHOICES["data"][1], name, entry.config)
        config, kept = TrialConfig.model_validate(values), stages(tmp_path)
        fitted = fit(config, stages=kept, workers=Workers(device=CPU))
        arrays = kept.get(teacher_stage(config)).arrays
    rows = ENTRIES["captioned"].load(ENTRIES["captioned"].config()).val
    with torch.no_grad():
        ours = fitted.student(rows.teacher.float() / 255, rows.student).embeddings[:, :2].double()
    theirs = arrays["val/embeddings"][:, :2].double()
    last = fitted.history[-1].metrics
    assert last["val/teacher_kl"] == pytest.approx(similarity_divergence(ours, theirs, 0.2).item(), rel=1e-4)
    assert ("val/teacher_mse" in last) == (width == 6) == ("clip/cosine" in fitted.diagnostics)
    assert fitted.diagnostics["clip/rows"].tolist() == [20] and len(fitted.history) == 2
    if width == 6:
        assert last["val/teacher_mse"] == pytest.approx((ours - theirs).square().sum().item() / 20, rel=1e-4)
