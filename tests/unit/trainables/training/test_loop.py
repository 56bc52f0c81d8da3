"""The training loop: determinism, resuming, selection, schedules, NaN, and the equality of one and several workers."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.helpers.process_group import join_group
from trainables.common.distributed import Workers, derive_seed
from trainables.common.types import EpochReport
from trainables.config import TrialConfig
from trainables.fitting import FitResult, fit
from trainables.models.maxout import MaxoutConfig
from trainables.stages.artifacts import StageStore
from trainables.training.session import NonFiniteLossError

METHODS = [
    {"method": "none"},
    {"method": "kd", "temperature": 3.0},
    {"method": "feature_kd", "loss": "mse"},
    {"method": "feature_kd", "loss": "clip"},
    {"method": "feature_kd", "loss": "margin"},
    {"method": "ciba", "bottleneck_dim": 4, "bottleneck_epochs": 3},
]


def trial(method: dict[str, Any] | None = None, seed: int = 0, **training: Any) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "data": {"dataset": "mfeat", "train": 100, "val": 50, "labels": 60},
            "teacher": {"model": "mlp", "hidden": [16], "feature_dim": 12},
            "student": {"model": "mlp", "hidden": [16], "feature_dim": 8},
            "method": method or {"method": "none"},
            "training": {"epochs": 4, "batch_size": 32, **training},
            "pretraining": {"epochs": 2},
            "seed": seed,
        }
    )


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> StageStore:
    return StageStore(tmp_path_factory.mktemp("stages"))


class MemoryCheckpoint:
    """Keeps a copy of the state of every epoch, as a file would."""

    def __init__(self) -> None:
        self.states: list[bytes] = []

    def save(self, state: Callable[[], dict[str, Any]], last: bool) -> None:
        import io

        buffer = io.BytesIO()
        torch.save(state(), buffer)
        self.states.append(buffer.getvalue())

    def load(self) -> dict[str, Any] | None:
        import io

        return torch.load(io.BytesIO(self.states[-1]), weights_only=True) if self.states else None


def assert_same(one: FitResult, other: FitResult) -> None:
    assert one.history == other.history
    assert one.result.metrics == other.result.metrics
    for (name, a), b in zip(one.student.state_dict().items(), other.student.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_equal_configs_give_equal_results(method: dict[str, Any], stages: StageStore) -> None:
    assert_same(fit(trial(method), stages=stages), fit(trial(method), stages=stages))


def test_seeds_differ(stages: StageStore) -> None:
    assert fit(trial(seed=0), stages=stages).history != fit(trial(seed=1), stages=stages).history


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_going_on_from_any_epoch_equals_never_stopping(
    method: dict[str, Any], optimizer: str, stages: StageStore
) -> None:
    config = trial(method, optimizer=optimizer, schedule="cosine")
    undisturbed = MemoryCheckpoint()
    whole = fit(config, checkpoint=undisturbed, stages=stages)
    assert len(undisturbed.states) == 4
    for epoch in range(1, 5):
        checkpoint = MemoryCheckpoint()
        checkpoint.states = undisturbed.states[:epoch]
        seen: list[EpochReport] = []
        assert_same(whole, fit(config, seen.append, checkpoint, stages=stages))
        assert seen == whole.history, "epochs from before the stop are reported again, for the pruner"


def test_dropout_is_resumed_exactly(stages: StageStore) -> None:
    config = trial()
    config = config.model_copy(update={"student": config.student.model_copy(update={"dropout": 0.5})})
    checkpoint = MemoryCheckpoint()
    whole = fit(config, checkpoint=checkpoint, stages=stages)
    checkpoint.states = checkpoint.states[:2]
    assert_same(whole, fit(config, checkpoint=checkpoint, stages=stages))


def test_report_can_stop_the_training(stages: StageStore) -> None:
    fitted = fit(trial(), lambda report: report.epoch == 2, stages=stages)
    assert (fitted.result.status, fitted.result.epochs, len(fitted.history)) == ("pruned", 2, 2)
    assert "test/accuracy" not in fitted.result.metrics


def test_best_epoch_is_selected_and_measured(stages: StageStore) -> None:
    fitted = fit(trial(lr=0.05, epochs=8, monitor="val/loss"), stages=stages)
    losses = [report.metrics["val/loss"] for report in fitted.history]
    assert losses.index(min(losses)) + 1 == fitted.result.selected_epoch < 8
    assert fitted.result.metrics["val/loss"] == min(losses)
    last = fit(trial(lr=0.05, epochs=8, monitor="val/loss", select="last"), stages=stages)
    assert last.result.selected_epoch == 8
    assert last.result.metrics["test/loss"] != fitted.result.metrics["test/loss"]


def test_cosine_schedule_falls_to_zero(stages: StageStore) -> None:
    rates = [r.metrics["train/lr"] for r in fit(trial(schedule="cosine", lr=0.1), stages=stages).history]
    steps = 3  # 100 rows in batches of 32
    expected = [0.1 * 0.5 * (1 + math.cos(math.pi * (steps * e - 1) / (steps * 4))) for e in range(1, 5)]
    assert rates == pytest.approx(expected)


def test_loss_is_the_weighted_sum_of_its_logged_terms(stages: StageStore) -> None:
    metrics = fit(trial({"method": "kd", "lambda_kd": 0.3}), stages=stages).history[0].metrics
    assert metrics["train/weight_kd"] == 0.3
    parts = 0.7 * metrics["train/loss_task"] + 0.3 * metrics["train/loss_kd"]
    assert metrics["train/loss"] == pytest.approx(parts)


def test_nan_names_the_step(stages: StageStore) -> None:
    with pytest.raises(NonFiniteLossError, match=r"not finite at step \d+ \(epoch \d\).*lower lr") as caught:
        fit(trial(optimizer="sgd", lr=1e30, epochs=3), stages=stages)
    assert caught.value.step == 2 or caught.value.epoch >= 1


def test_bfloat16_and_float64_train(stages: StageStore) -> None:
    double = fit(trial(precision="float64"), stages=stages)
    assert next(double.student.parameters()).dtype == torch.float64
    single, half = fit(trial(), stages=stages), fit(trial(precision="bfloat16"), stages=stages)
    assert next(half.student.parameters()).dtype == torch.float32
    assert single.history[0].metrics["train/loss"] == pytest.approx(half.history[0].metrics["train/loss"], rel=0.05)
    assert single.history[0].metrics["train/loss"] == pytest.approx(double.history[0].metrics["train/loss"], rel=1e-5)


def test_derived_seeds_depend_on_every_part() -> None:
    seeds = {derive_seed(0, "init"), derive_seed(1, "init"), derive_seed(0, "order"), derive_seed("0init")}
    assert len(seeds) == 4 and all(0 <= seed < 2**63 for seed in seeds)


def train_rank(rank: int, size: int, root: str, methods: list[dict[str, Any]]) -> None:
    """One of `size` processes that train together; rank 0 saves what came out."""
    join_group(rank, size, root)
    stages = StageStore(Path(root))
    done = {}
    for number, method in enumerate(methods):
        fitted = fit(trial(method, precision="float64"), stages=stages, workers=Workers(rank, size))
        done[number] = (fitted.student.state_dict(), [report.metrics for report in fitted.history])
    if rank == 0:
        torch.save(done, Path(root) / "done.pt")
    network = MaxoutConfig(hidden=(8,), norm="batch", feature_dim=8)
    fitted = fit(trial().model_copy(update={"student": network}), stages=stages, workers=Workers(rank, size))
    torch.save(fitted.student.state_dict(), Path(root) / f"batch_norm_{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_equal_one_on_the_same_global_batch(stages: StageStore) -> None:
    mp.spawn(train_rank, args=(2, str(stages.root), METHODS), nprocs=2)
    done = torch.load(stages.root / "done.pt", weights_only=True)
    for number, method in enumerate(METHODS):
        alone = fit(trial(method, precision="float64"), stages=stages)
        state, history = done[number]
        for name, value in alone.student.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-9, atol=1e-11, msg=f"{method} {name}")
        for one, other in zip(alone.history, history, strict=True):
            assert other == pytest.approx(one.metrics, rel=1e-7), method
    first, second = (torch.load(stages.root / f"batch_norm_{rank}.pt", weights_only=True) for rank in (0, 1))
    assert any("running_mean" in name for name in first)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
