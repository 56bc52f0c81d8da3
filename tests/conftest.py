"""Set-up of every test: one thread per process, a quiet Ray on loopback.

The project's packages are imported inside fixtures only: the shape checks hook their import after this file is read.
"""

import os
from collections.abc import Iterator

import pytest

# Read once, when torch and Ray are imported, and inherited by every process that a test starts.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # binds to 127.0.0.1
    "RAY_worker_niceness": "0",  # by default Ray's processes give way to all others, here to other tests
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the coming default; the old one warns
}


SLOW_FILES = (
    "test_driver.py",
    "test_resume.py",
    "test_readme.py",
    "test_cli.py",
    "test_resume_packs.py",
    "test_tracking_live.py",
    "test_tracking_ui.py",
    "test_tracking.py",
    "test_previous_version.py",
    "test_export.py",
    "test_examples.py",
    "test_contributing.py",
)
"""Files that take minutes, the longest first: begun last, they would leave one of the two processes waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow files (`--no-loadscope-reorder` in the Makefile keeps pytest-xdist from undoing it)."""
    rank = {name: number for number, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray with two CPUs, shared by every test that asks for it."""
    import ray

    ray.init(
        address="local",
        num_cpus=3,
        resources={"slot": 2},
        include_dashboard=False,
        log_to_driver=False,
        namespace="tests",
    )
    try:
        yield
    finally:
        ray.shutdown()
