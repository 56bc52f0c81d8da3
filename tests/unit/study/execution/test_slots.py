"""What a slot's Ray Train group is set up with."""

import pytest

from study.config.study_config import ResourcesConfig


@pytest.mark.parametrize(
    ("resources", "backend"),
    [
        ({}, "none"),
        ({"workers": 1, "gpus": 1}, "none"),
        ({"workers": 2}, "gloo"),
        ({"workers": 2, "gpus": 0.5}, "gloo"),
        ({"workers": 2, "gpus": 1}, "nccl"),
    ],
)
def test_only_several_workers_get_a_process_group(resources: dict[str, float], backend: str) -> None:
    from study.execution import slots

    assert slots.backend(ResourcesConfig.model_validate(resources)).backend == backend


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own
def test_a_slot_has_everything_of_a_torch_trainer_but_two_helpers(tmp_path: object) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from study.execution.slots import SlotTrainer
    from study.execution.train_backend import LoneWorker

    arguments = {"scaling_config": ScalingConfig(num_workers=1), "run_config": RunConfig(storage_path=str(tmp_path))}
    given = TorchTrainer(print, torch_config=LoneWorker(), **arguments)._create_default_callbacks()
    kept = SlotTrainer(print, torch_config=LoneWorker(), **arguments)._create_default_callbacks()
    names = [type(one).__name__ for one in given]
    left_out = {"PlacementGroupCleanerCallback", "DatasetsCallback"}
    assert left_out < set(names)
    assert [type(one).__name__ for one in kept] == [name for name in names if name not in left_out]
