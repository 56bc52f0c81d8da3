"""What the study uses of Ray beyond its public interface. A failure here means that a release of Ray has moved it."""

import importlib.util
from pathlib import Path

import pytest

CONSTANTS = (
    "_common/usage/usage_constants.py",
    "_private/accelerators/accelerator.py",
    "_private/ray_constants.py",
    "train/v2/_internal/constants.py",
    "tune/constants.py",
    "train/constants.py",
    "tune/utils/util.py",
)
"""Files of Ray that define the environment switches."""


def ray_folder() -> Path:
    spec = importlib.util.find_spec("ray")
    assert spec and spec.origin
    return Path(spec.origin).parent


def test_ray_still_reads_every_switch() -> None:
    from study.execution.ray_private import ENVIRONMENT

    text = "".join((ray_folder() / name).read_text() for name in CONSTANTS)
    assert [name for name in ENVIRONMENT if f'"{name}"' not in text] == []


def test_the_logger_of_missing_results_exists() -> None:
    from study.execution.ray_private import RESULTS_LOGGER

    assert (ray_folder().parent / f"{RESULTS_LOGGER.replace('.', '/')}.py").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own
def test_a_slot_has_every_callback_of_a_torch_trainer_but_the_unused_ones(tmp_path: Path) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from study.execution.ray_private import UNUSED_CALLBACKS, SlotTrainer
    from study.execution.train_backend import SingleWorkerBackend

    arguments = {"scaling_config": ScalingConfig(num_workers=1), "run_config": RunConfig(storage_path=str(tmp_path))}
    default = TorchTrainer(print, torch_config=SingleWorkerBackend(), **arguments)._create_default_callbacks()
    kept = SlotTrainer(print, torch_config=SingleWorkerBackend(), **arguments)._create_default_callbacks()
    names = [type(callback).__name__ for callback in default]
    assert set(UNUSED_CALLBACKS) < set(names)
    assert [type(callback).__name__ for callback in kept] == [name for name in names if name not in UNUSED_CALLBACKS]
