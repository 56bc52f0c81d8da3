"""Number of members of a pack: with made-up times, and measured."""

import pytest
import torch

from trainables.common.distributed import ONE_WORKER
from trainables.config import TrialConfig
from trainables.fitting import InputCache, prepare_trial
from trainables.stages.artifacts import StageStore
from trainables.training import pack_size
from trainables.training.pack_size import find_pack_size, sizes_up_to
from trainables.training.session import Problem


@pytest.fixture(scope="module")
def config() -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "data": {"dataset": "mfeat", "train": 100, "val": 50, "labels": 60},
            "teacher": {"model": "mlp", "hidden": [16], "feature_dim": 12},
            "student": {"model": "mlp", "hidden": [16], "feature_dim": 8},
            "method": {"method": "kd"},
            "training": {"epochs": 4, "batch_size": 8},
            "pretraining": {"epochs": 1},
        }
    )


@pytest.fixture(scope="module")
def problem(config: TrialConfig, tmp_path_factory: pytest.TempPathFactory) -> Problem:
    return prepare_trial(
        config, InputCache(StageStore(tmp_path_factory.mktemp("stages")), ONE_WORKER.device), ONE_WORKER
    ).problem


@pytest.mark.parametrize(
    ("times", "largest", "size", "tried"),
    [
        ({1: 1.0, 2: 1.1, 4: 0.7, 8: 0.4, 16: 0.3, 32: 0.35, 40: 0.1}, 40, 16, [1, 2, 4, 8, 16, 32]),
        ({1: 1.0, 2: 0.8, 3: 0.6}, 3, 3, [1, 2, 3]),
        ({1: 1.0, 2: 1.2, 4: 1.1, 8: 1.0, 16: 0.1}, 64, 1, [1, 2, 4, 8]),
        ({1: 1.0, 2: 0.95}, 2, 1, [1, 2]),
        ({1: 10.0, 2: 6.0, 4: 1.0}, 64, 2, [1, 2]),
    ],
    ids=["the best", "all of them", "none pay", "too little", "too long to try more"],
)
def test_the_size_at_which_a_member_costs_least(
    times: dict[int, float],
    largest: int,
    size: int,
    tried: list[int],
    problem: Problem,
    config: TrialConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def timed(problem: Problem, config: object, workers: object, members: int) -> float:
        asked.append(members)
        return times[members] * (1.0 if 10.0 in times.values() else 1e-3)

    monkeypatch.setattr(pack_size, "seconds_per_member", timed)
    assert find_pack_size(problem, config.training, ONE_WORKER, largest) == size
    assert asked == tried


def test_sizes_double_up_to_the_number_itself() -> None:
    assert [sizes_up_to(n) for n in (1, 2, 3, 4, 9)] == [[], [2], [2, 3], [2, 4], [2, 4, 8, 9]]


def test_measuring_changes_nothing_of_what_is_measured(problem: Problem, config: TrialConfig) -> None:
    before = {name: value.clone() for name, value in problem.student.state_dict().items()}
    rows = len(problem.train.labels)
    assert 1 <= find_pack_size(problem, config.training, ONE_WORKER, 4) <= 4
    assert all(torch.equal(value, before[name]) for name, value in problem.student.state_dict().items())
    assert len(problem.train.labels) == rows > pack_size.STEPS * config.training.batch_size
