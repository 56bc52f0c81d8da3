"""Everything of Ray that its documentation does not promise to keep: environment switches and private interfaces.

Import this module before Ray: Ray reads the switches when it is imported. A test (`test_ray_private.py`) fails if a
release of Ray renames one of these.
"""

import logging
import os
from typing import Any

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # this switch, and not an address, makes a local cluster use loopback
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "2",  # at 0.5 each slot's controller uses a tenth of a core
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",  # a study resumes from its store, not from Tune's snapshots
    "TUNE_WARN_THRESHOLD_S": "10",
}
"""Switches of Ray. A value that the user has set is kept."""

for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)

from ray.train.torch import TorchTrainer  # noqa: E402

UNUSED_CALLBACKS = ("DatasetsCallback", "PlacementGroupCleanerCallback")
"""Callbacks of a TorchTrainer that start a process each, which takes seconds of a core.

The first one serves Ray Data, which is not used. The second one waits for the controller's death to free its
placement group; `study.execution.slots.release_placement_group` does that.
"""

RESULTS_LOGGER = "ray.tune.analysis.experiment_analysis"
"""Logger that warns about missing result files. Tune's own loggers, which would write them, are off."""


class SlotTrainer(TorchTrainer):
    """A TorchTrainer without the callbacks that a slot does not need."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if type(callback).__name__ not in UNUSED_CALLBACKS]


def silence_missing_results() -> None:
    """Hide Tune's warnings about result files that are not written."""
    logging.getLogger(RESULTS_LOGGER).setLevel(logging.ERROR)
