"""The set-up of a slot's Ray Train group."""

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
