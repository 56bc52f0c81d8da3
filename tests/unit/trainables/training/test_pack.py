"""Packs: each member is trained as it would be separately."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.trainables.training.test_loop import MemoryCheckpoint, trial
from trainables.common.distributed import ONE_WORKER
from trainables.config import TrainingConfig, TrialConfig
from trainables.fitting import FitJob, FitResult, InputCache, build_problem, fit, fit_together
from trainables.models.mlp import MLPConfig
from trainables.stages.artifacts import StageStore
from trainables.training.loop import Member, train, train_together
from trainables.training.pack_key import pack_key, why_not_stacked
from trainables.training.session import NonFiniteLossError, Problem, Progress

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> StageStore:
    return StageStore(tmp_path_factory.mktemp("stages"))


def prepared(config: TrialConfig, stages: StageStore) -> Problem:
    inputs = InputCache(stages, CPU)
    return build_problem(config, inputs.data(config), inputs.targets(config), ONE_WORKER)


def member(config: TrialConfig, stages: StageStore, report: Any = None, checkpoint: Any = None) -> Member:
    return Member(
        prepared(config, stages),
        config.training,
        config.seed,
        report,
        checkpoint,
    )


def alone(config: TrialConfig, stages: StageStore) -> tuple[Progress, dict[str, torch.Tensor]]:
    own = member(config, stages)
    return train(own.problem, own.config, own.seed), own.problem.student.state_dict()


def assert_like_alone(configs: list[TrialConfig], stages: StageStore, tolerance: float = 1e-9) -> None:
    members = [member(config, stages) for config in configs]
    for own, config, progress in zip(members, configs, train_together(members), strict=True):
        expected, state = alone(config, stages)
        assert progress.best_epoch == expected.best_epoch and len(progress.history) == len(expected.history)
        for found, wanted in zip(progress.history, expected.history, strict=True):
            assert found.metrics == pytest.approx(wanted.metrics, rel=tolerance, abs=tolerance)
        for name, value in own.problem.student.state_dict().items():
            torch.testing.assert_close(value, state[name], rtol=tolerance, atol=tolerance)


def varied(method: dict[str, Any], values: list[dict[str, Any]], **training: Any) -> list[TrialConfig]:
    """Trials that differ in seed, rates and what is given."""
    rates = [(1e-2, 0.01), (1e-3, 0.1), (3e-3, 0.0)]
    return [
        trial(method | own, seed=seed, precision="float64", lr=lr, weight_decay=decay, **training)
        for seed, (own, (lr, decay)) in enumerate(zip(values, rates, strict=True))
    ]


def test_members_with_other_bottlenecks_are_trained_as_alone(stages: StageStore) -> None:
    """H from the first to the whole of the student's dimensions, and other kinds of bottleneck."""
    method = {"method": "ciba", "bottleneck_epochs": 3}
    values = [{"bottleneck_dim": 4}, {"bottleneck_dim": 1, "bottleneck": "vq"}, {"bottleneck_dim": 8, "lambda_ib": 0.1}]
    configs = varied(method, values)
    assert len({pack_key(config) for config in configs}) == 1
    assert_like_alone(configs, stages)


def test_members_with_other_teachers_and_data_are_trained_as_alone(stages: StageStore) -> None:
    teacher = MLPConfig(hidden=(4, 4), feature_dim=12)
    configs = varied({"method": "feature_kd"}, [{}, {}, {}])
    configs[1] = configs[1].model_copy(update={"teacher": teacher, "pretraining": TrainingConfig(epochs=1)})
    noisy = {"split_seed": 3, "teacher_noise": 0.5}
    configs[2] = configs[2].model_copy(update={"data": configs[2].data.model_copy(update=noisy)})
    assert len({pack_key(config) for config in configs}) == 1
    assert_like_alone(configs, stages)


def test_members_with_other_numbers_of_rows_are_trained_one_after_another(stages: StageStore) -> None:
    configs = varied({"method": "kd"}, [{}, {}, {}])
    configs[1] = configs[1].model_copy(update={"data": configs[1].data.model_copy(update={"train": 80, "labels": 50})})
    assert_like_alone(configs, stages, 0.0)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimiser_has_rates_for_each_member(optimizer: str, stages: StageStore) -> None:
    configs = varied({"method": "kd"}, [{}, {}, {}], optimizer=optimizer, schedule="cosine")
    assert_like_alone([configs[0], configs[1], changed(configs[2], epochs=6)], stages)


def changed(config: TrialConfig, **training: Any) -> TrialConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=training)})


def test_one_step_in_float32(stages: StageStore) -> None:
    configs = [trial({"method": "kd"}, seed=seed, epochs=1, batch_size=100) for seed in range(3)]
    assert_like_alone(configs, stages, 1e-5)


def test_a_member_that_stops_or_fails_leaves_the_others_as_they_are(stages: StageStore) -> None:
    configs = varied({"method": "feature_kd"}, [{}, {}, {}])
    configs[2] = changed(configs[2], lr=1e200)
    reported: list[int] = []

    def stop_at_two(report: Any) -> bool:
        reported.append(report.epoch)
        return report.epoch == 2

    members = [member(config, stages) for config in configs]
    members[0] = members[0]._replace(report=stop_at_two)
    stopped, whole, failed = train_together(members)
    assert stopped.stopped and stopped.epoch == 2 and reported == [1, 2]
    assert isinstance(failed.error, NonFiniteLossError) and failed.error.epoch >= 1
    expected, state = alone(configs[1], stages)
    assert whole.history[-1].metrics == pytest.approx(expected.history[-1].metrics, rel=1e-9)
    for name, value in members[1].problem.student.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-9, atol=1e-9)
    with pytest.raises(NonFiniteLossError) as error:
        alone(configs[2], stages)
    assert str(error.value) == str(failed.error)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_training_moves_between_pack_and_alone_through_its_checkpoint(
    optimizer: str, stages: StageStore, tmp_path: Path
) -> None:
    configs = varied({"method": "kd"}, [{}, {}, {}], optimizer=optimizer)
    saved = [MemoryCheckpoint() for _ in configs]
    short = [changed(config, epochs=2) for config in configs]
    train_together([member(config, stages, checkpoint=kept) for config, kept in zip(short, saved, strict=True)])
    own, kept_alone = member(short[0], stages), MemoryCheckpoint()
    train(own.problem, own.config, own.seed, checkpoint=kept_alone)
    most = 1.05 * len(kept_alone.states[-1])
    assert all(len(kept.states[-1]) < most for kept in saved), "a member saves its own numbers, not the pack's"
    for config, kept in zip(configs, saved, strict=True):
        expected, _ = alone(config, stages)
        own = member(config, stages, checkpoint=kept)
        found = train(own.problem, own.config, own.seed, checkpoint=kept)
        assert found.history[-1].metrics == pytest.approx(expected.history[-1].metrics, rel=1e-9)
    first = MemoryCheckpoint()
    own = member(short[0], stages)
    train(own.problem, own.config, own.seed, checkpoint=first)
    members = [member(config, stages) for config in configs]
    members[0] = members[0]._replace(checkpoint=first)
    for config, progress in zip(configs, train_together(members), strict=True):
        expected, _ = alone(config, stages)
        assert progress.history[-1].metrics == pytest.approx(expected.history[-1].metrics, rel=1e-9)


def test_only_numbers_may_differ_within_a_pack() -> None:
    key = pack_key(trial({"method": "kd"}))
    assert key and key == pack_key(trial({"method": "kd", "temperature": 7.0}, seed=3, lr=0.5, epochs=9))
    assert key != pack_key(trial({"method": "kd"}, batch_size=16))
    assert key != pack_key(trial({"method": "feature_kd"}))
    assert key != pack_key(trial({"method": "kd"}, optimizer="sgd"))
    clip = {"method": "feature_kd", "loss": "clip"}
    assert pack_key(trial(clip)) != pack_key(trial({"method": "feature_kd"}))
    wider = trial(clip).model_copy(update={"teacher": MLPConfig(feature_dim=13)})
    assert pack_key(wider) != pack_key(trial(clip)), "its adapter has another shape"
    dropped = trial().model_copy(update={"student": trial().student.model_copy(update={"dropout": 0.5})})
    assert pack_key(dropped) is None and "dropout" in why_not_stacked(dropped)


def test_fit_of_several_is_fit_of_each(stages: StageStore) -> None:
    configs = varied({"method": "feature_kd"}, [{}, {"lambda_kd": 10.0}, {}])
    configs[2] = changed(configs[2], lr=1e200)
    one, other, failed = fit_together([FitJob(config) for config in configs], stages=stages)
    assert isinstance(failed, NonFiniteLossError)
    for config, found in zip(configs[:2], (one, other), strict=True):
        assert isinstance(found, FitResult)
        expected = fit(config, stages=stages)
        assert found.result.metrics == pytest.approx(expected.result.metrics, rel=1e-9)
        assert (found.result.status, found.result.epochs) == ("complete", 4)
        assert found.diagnostics.keys() == expected.diagnostics.keys()
        for name, value in found.diagnostics.items():
            torch.testing.assert_close(value, expected.diagnostics[name], rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", [{"method": "kd"}, {"method": "feature_kd", "loss": "clip"}], ids=str)
def test_float32_ends_as_near_as_another_number_of_threads(method: dict[str, Any], stages: StageStore) -> None:
    """Rounding grows over a training; what matters is that a pack does no more than the machine does anyway."""
    student = MLPConfig(hidden=(256,), feature_dim=64)
    configs = [
        trial(method, seed=seed, epochs=6, batch_size=50).model_copy(update={"student": student}) for seed in range(3)
    ]
    runs: list[list[float]] = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs.append([fit(config, stages=stages).result.metrics["test/accuracy"] for config in configs])
    finally:
        torch.set_num_threads(before)
    packed = fit_together([FitJob(config) for config in configs], stages=stages)
    found = [one.result.metrics["test/accuracy"] for one in packed if isinstance(one, FitResult)]
    rows = len(prepared(configs[0], stages).val.labels)
    allowed = max(1 / rows, *(abs(one - other) for one, other in zip(*runs, strict=True)))
    assert found == pytest.approx(runs[0], abs=allowed) and len(set(runs[0])) > 1


def test_trials_that_cannot_begin_end_with_their_own_errors(
    stages: StageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where none is left to train."""

    def fail(config: TrialConfig, inputs: InputCache, workers: object) -> None:
        raise ValueError(f"seed {config.seed} has no data")

    monkeypatch.setattr("trainables.fitting.prepare_trial", fail)
    found = fit_together([FitJob(trial(seed=seed)) for seed in (3, 5)], stages=stages)
    assert [str(one) for one in found] == ["seed 3 has no data", "seed 5 has no data"]
    with pytest.raises(ValueError, match="seed 7 has no data"):
        fit(trial(seed=7), stages=stages)
