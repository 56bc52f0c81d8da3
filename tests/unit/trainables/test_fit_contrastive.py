"""Whole trainings on captioned data: cached, live and pretrained teachers, check of embeddings, one and two workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file

from tests.helpers import tiny_clip
from tests.helpers.process_group import join_group
from tests.helpers.tiny_clip import TINY
from trainables.common.distributed import Workers
from trainables.config import CHOICES, TrialConfig
from trainables.data import DATASETS
from trainables.evaluation import teacher_check
from trainables.fitting import FitResult, fit
from trainables.models import MODELS
from trainables.stages.artifacts import StageStore
from trainables.stages.targets import required_stages, target_stage
from trainables.tasks import metric_direction

TRAINING = {"epochs": 3, "batch_size": 16, "monitor": "val/i2t_r1", "precision": "float64", "lr": 0.01}


@pytest.fixture(autouse=True, scope="module")
def _generated_data() -> Iterator[None]:
    register()
    yield
    for name in tiny_clip.ENTRIES:
        del DATASETS[name], CHOICES["data"][1][name]


def register() -> None:
    DATASETS.update(tiny_clip.ENTRIES)
    CHOICES["data"][1].update({name: entry.config for name, entry in tiny_clip.ENTRIES.items()})


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> StageStore:
    return StageStore(tmp_path_factory.mktemp("stages"))


def trial(method: dict[str, Any], **changes: Any) -> TrialConfig:
    values = {
        "data": {"dataset": "captioned"},
        "teacher": {"model": "clip", "channels": [8, 16], "text_width": 16, "feature_dim": 12},
        "student": {"model": "clip", "channels": [4, 8], "text_width": 8, "feature_dim": 6},
        "method": method,
        "training": TRAINING,
        "pretraining": TRAINING,
    }
    return TrialConfig.model_validate({**values, **changes})


def losses(fitted: FitResult) -> list[dict[str, float]]:
    return [report.metrics for report in fitted.history]


ARM = {"method": "clip_kd", "kl": 1.0, "mse": 1.0, "te1": 0.1, "mfd": 1.0, "patch_size": 4}


def test_cached_and_live_teachers_train_alike(stages: StageStore) -> None:
    cached, live = (fit(trial({**ARM, "teacher_outputs": how}), stages=stages) for how in ("cached", "live"))
    for one, other in zip(losses(cached), losses(live), strict=True):
        assert one == pytest.approx(other, rel=1e-9)
    assert losses(cached)[0]["train/loss_kl"] > 0
    assert cached.diagnostics["audit/teacher"][:2].tolist() == pytest.approx([1, 1])
    assert "audit/teacher" not in live.diagnostics


def checkpoint(folder: Path, seed: int = 0) -> str:
    """Weights of the tiny open_clip model."""
    torch.manual_seed(seed)
    model = MODELS["open_clip"].build(MODELS["open_clip"].config(model_name=TINY, feature_dim=6), SHAPES, 3)
    folder.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.open_clip_state().items()}, folder / "w.safetensors")
    return str(folder / "w.safetensors")


SHAPES = ((2, 3, 16, 16), (3, 8))


def pretrained(path: str) -> dict[str, Any]:
    return {"teacher": {"model": "open_clip", "model_name": TINY, "feature_dim": 6, "pretrained": path}}


def test_a_pretrained_teacher_is_not_trained_and_known_by_its_weights(stages: StageStore, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "here")
    config = trial({"method": "clip_kd", "kl": 1.0}, **pretrained(path))
    assert [stage.name for stage in required_stages(config)] == ["prepared", "pretrained"]
    moved = trial({"method": "clip_kd", "kl": 1.0}, **pretrained(checkpoint(tmp_path / "there")))
    other = trial({"method": "clip_kd", "kl": 1.0}, **pretrained(checkpoint(tmp_path / "other", seed=1)))
    stage, same, another = (target_stage(each) for each in (config, moved, other))
    assert stage is not None and same is not None and another is not None
    assert stage.key == same.key != another.key
    assert config.trial_id == moved.trial_id != other.trial_id
    fitted = fit(config, stages=stages)
    saved = load_file(path)
    network = MODELS["open_clip"].build(config.teacher, SHAPES, 3)
    assert all(torch.equal(saved[name], value) for name, value in network.open_clip_state().items())
    live = fit(trial({"method": "clip_kd", "kl": 1.0, "teacher_outputs": "live"}, **pretrained(path)), stages=stages)
    for one, other_metrics in zip(losses(fitted), losses(live), strict=True):
        assert one == pytest.approx(other_metrics, rel=1e-4)  # stored in float32


def test_the_teacher_check_finds_embeddings_that_do_not_match(stages: StageStore, tmp_path: Path) -> None:
    config = trial({"method": "clip_kd"}, **pretrained(checkpoint(tmp_path)))
    stage = target_stage(config)
    assert stage is not None
    found = teacher_check.check_teacher(config, stages, torch.device("cpu"))
    assert found is not None and found.least > 0.9999 and found.rows == 32
    stored = stages.get(stage).arrays["train/embeddings"].clone()
    stored[:, 0] = stored[:, 0].roll(1, dims=-1)
    with pytest.raises(
        ValueError, match=r"cosine >= 0.9999\), but the least cosine of 32 rows is .*; delete .* to com"
    ):
        teacher_check.compare_embeddings(stages, stage, stored, torch.device("cpu"))
    stored = stages.get(stage).arrays["train/embeddings"].clone()
    aside = torch.linalg.qr(torch.stack([stored[3, 1], stored[3, 1].roll(1)], dim=1)).Q[:, 1]
    stored[3, 1] = 0.9998 * stored[3, 1] + (1 - 0.9998**2) ** 0.5 * aside
    with pytest.raises(ValueError, match=r"least cosine of 32 rows is 0\.9998"):  # one embedding of all
        teacher_check.compare_embeddings(stages, stage, stored, torch.device("cpu"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_name": "RN51"}, "open_clip has no model 'RN51'; did you mean RN50"),
        ({"pretrained": "nothing"}, f"{TINY} has no weights with the tag 'nothing'; it has none"),
        (
            {"model_name": "RN50", "feature_dim": 1024},
            "RN50 takes images of 224 x 224 pixels, but this data has 16 x 16",
        ),
        ({"model_name": "RN50"}, "RN50 has embeddings of dimension 1024, but got 6; write `feature_dim: 1024`"),
        ({"model_name": "coca_ViT-B-32"}, "is more than two towers"),
    ],
)
def test_a_wrong_open_clip_model_is_one_clear_line(values: dict[str, Any], message: str) -> None:
    config = MODELS["open_clip"].config(**{"model_name": TINY, "feature_dim": 6, **values})
    with pytest.raises(ValueError, match=message) as error:
        MODELS["open_clip"].build(config, SHAPES, 3)
    assert "\n" not in str(error.value)


def test_a_missing_and_a_wrong_checkpoint_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'no\.pt' does not exist; put it there, or write null"):
        MODELS["open_clip"].config(pretrained="no.pt")
    save_file({"a": torch.zeros(1)}, tmp_path / "wrong.safetensors")
    config = MODELS["open_clip"].config(model_name=TINY, feature_dim=6, pretrained=str(tmp_path / "wrong.safetensors"))
    with pytest.raises(ValueError, match="does not contain weights of tiny-test-clip") as error:
        MODELS["open_clip"].build(config, SHAPES, 3)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"student": {"model": "mlp"}},
            "student.model: 'mlp' cannot learn from data for retrieval; use clip or open_clip",
        ),
        (
            {"data": {"dataset": "mfeat"}},
            "student.model: 'clip' cannot learn from data for",
        ),
    ],
)
def test_models_and_data_must_fit(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trial({"method": "none"}, **values)


def test_zero_shot_trains_on_single_prompts(stages: StageStore) -> None:
    training = {**TRAINING, "monitor": "val/top1", "epochs": 40}
    fitted = fit(trial({"method": "none"}, data={"dataset": "classified"}, training=training), stages=stages)
    assert fitted.result.metrics["test/top1"] > 0.5  # chance is 0.2


FURTHER = [{"name": "colours", "data": {"dataset": "classified"}}, {"name": "again", "data": {"dataset": "captioned"}}]


def test_further_data_are_measured_once_at_the_end(stages: StageStore) -> None:
    plain, more = trial({"method": "none"}), trial({"method": "none"}, evaluate=FURTHER)
    assert "evaluate" not in plain.canonical() and plain.trial_id != more.trial_id
    assert [stage.name for stage in required_stages(more)] == ["prepared", "prepared"]
    one, other = fit(plain, stages=stages), fit(more, stages=stages)
    further = {key: value for key, value in other.result.metrics.items() if key not in one.result.metrics}
    assert {key: value for key, value in other.result.metrics.items() if key not in further} == one.result.metrics
    for name, value in one.result.metrics.items():
        if name.startswith("test/"):
            assert further[name.replace("test/", "again/")] == value
    expected = {"top1", "top5", "ensemble_top1", "ensemble_top5", "loss"}
    assert {key for key in further if key.startswith("colours/")} == {f"colours/{name}" for name in expected}
    assert not any(key in report.metrics for report in other.history for key in further)
    assert all(metric_direction(key) for key in further)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "val", "data": {"dataset": "captioned"}}, "name"),
        ({"name": "other", "data": {"dataset": "nothing"}}, "data.dataset must be one of"),
        (
            {"name": "digits", "data": {"dataset": "mfeat"}},
            "is data for classification, but the student learns",
        ),
    ],
)
def test_further_data_that_do_not_fit(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trial({"method": "none"}, evaluate=[entry])


def train_rank(rank: int, size: int, root: str) -> None:
    join_group(rank, size, root)
    register()
    fitted = fit(trial(ARM), stages=StageStore(Path(root)), workers=Workers(rank, size))
    if rank == 0:
        torch.save((fitted.student.state_dict(), losses(fitted)), Path(root) / "clip_done.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_equal_one(stages: StageStore) -> None:
    mp.spawn(train_rank, args=(2, str(stages.root)), nprocs=2)
    state, history = torch.load(stages.root / "clip_done.pt", weights_only=True)
    alone = fit(trial(ARM), stages=stages)
    for name, value in alone.student.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=1e-9, atol=1e-11, msg=name)
    for one, other in zip(losses(alone), history, strict=True):
        assert other == pytest.approx(one, rel=1e-7)
