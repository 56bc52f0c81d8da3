"""Every term of `clip_kd` sees the global batch: two workers train as one does, drawn views and hidden patches too."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn import functional

from tests.helpers.process_group import join_group
from tests.helpers.tiny_clip import CAPTIONS, CLASSES, LENGTH, SIDE, VIEWS, split
from trainables.common.distributed import ONE_WORKER, Workers
from trainables.common.types import ModelOutput
from trainables.config import TrainingConfig
from trainables.methods.clip_kd import ClipKD, ClipKDConfig
from trainables.models.contrastive.clip import ClipConfig, build_clip
from trainables.tasks import TASKS
from trainables.training.loop import train
from trainables.training.session import Problem

ROWS, WIDE = 16, 7
ARMS: list[dict[str, Any]] = [
    *({"cl": 0.0, term: 1e3 if term == "gd" else 1.0} for term in ClipKDConfig.terms),
    {"te1": 1.0, "te2": 1.0, "te_lag": 1},
    {"te1": 1.0, "te2": 1.0, "te_pairs": "all"},
    {"learn_temperature": True, "icl": 1.0, "crd": 1.0, "afd": 1.0, "mfd": 1.0, "mask_ratio": 0.5, "patch_size": 4},
]
TRAINING = TrainingConfig(epochs=2, batch_size=8, optimizer="sgd", lr=0.01, monitor="val/loss", precision="float64")


def trained(arm: dict[str, Any], workers: Workers) -> dict[str, Any]:
    """Two epochs of two steps: parameters of student and adapters, and what was logged."""
    torch.manual_seed(0)
    config = ClipKDConfig.model_validate(arm)
    tower = ClipConfig(feature_dim=6, channels=(4, 8), text_width=4)
    student = build_clip(tower, ((VIEWS, 3, SIDE, SIDE), (CAPTIONS, LENGTH)), CLASSES).double()
    student.log_scale.requires_grad_(config.learns_scale)
    method = ClipKD(config, 6, WIDE, TASKS["retrieval"]).double()
    vectors = functional.normalize(torch.randn(ROWS, VIEWS + CAPTIONS, WIDE, dtype=torch.float64), dim=2)
    targets = ModelOutput(vectors * 10**0.5, vectors[:, 0], vectors)
    problem = Problem(student, method, split(ROWS, VIEWS, 0, False), split(8, 1, 1, False), targets, TASKS["retrieval"])
    progress = train(problem, TRAINING, seed=3, workers=workers)
    state = student.state_dict() | {f"method.{name}": value for name, value in method.state_dict().items()}
    return {"state": state, "history": [report.metrics for report in progress.history]}


def train_rank(rank: int, size: int, folder: str) -> None:
    """One of the processes that train together; rank 0 saves what came out."""
    join_group(rank, size, folder)
    done = [trained(arm, Workers(rank, size)) for arm in ARMS]
    if rank == 0:
        torch.save(done, Path(folder) / "done.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_equal_one_on_the_same_global_batch(tmp_path: Path) -> None:
    mp.spawn(train_rank, args=(2, str(tmp_path)), nprocs=2)
    together = torch.load(tmp_path / "done.pt", weights_only=True)
    for arm, both in zip(ARMS, together, strict=True):
        alone = trained(arm, ONE_WORKER)
        for name, value in alone["state"].items():
            torch.testing.assert_close(both["state"][name], value, rtol=1e-9, atol=1e-12, msg=f"{arm} {name}")
        for one, other in zip(alone["history"], both["history"], strict=True):
            assert other == pytest.approx(one, rel=1e-9), arm


@pytest.mark.parametrize("arm", ARMS, ids=str)
def test_a_training_moves_towers_and_adapters(arm: dict[str, Any]) -> None:
    """So that the equality of two trainings is one of what they did."""
    done = trained(arm, ONE_WORKER)
    torch.manual_seed(0)
    tower = ClipConfig(feature_dim=6, channels=(4, 8), text_width=4)
    start = build_clip(tower, ((VIEWS, 3, SIDE, SIDE), (CAPTIONS, LENGTH)), CLASSES).double().state_dict()
    for part in ("visual.proj.weight", "text.layers.3.weight"):
        assert (done["state"][part] - start[part]).abs().max() > 1e-6
    assert (done["state"]["log_scale"] != start["log_scale"]) == bool(arm.get("learn_temperature"))
    terms = [key.removeprefix("train/loss_") for key in done["history"][0] if key.startswith("train/loss_")]
    assert tuple(terms) == ClipKDConfig.model_validate(arm).active_terms
