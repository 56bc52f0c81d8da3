"""The gate: which configurations are not run because the criterion holds out no hope, and which are all the same.

A decision depends on nothing but the study file and the estimates, so a resumed study decides as before.
"""

import logging

import torch

from study.config.study_config import Arm, Params, StudyConfig
from study.formatting import plural
from study.planning.cost_probe import trial_threads
from study.planning.criterion import UNUSABLE, Assessment, assess, distils, make_cell, network_params, show_term
from trainables.common.distributed import derive_seed
from trainables.stages.artifacts import StageStore

logger = logging.getLogger(__name__)


class Gate:
    """Decides configuration by configuration. Estimates that are missing are computed."""

    def __init__(self, study: StudyConfig) -> None:
        self.study = study
        self.stages = StageStore(study.stages_directory)
        self._known: dict[str, Assessment | None] = {}

    @property
    def acts(self) -> bool:
        """Whether the study file lets the criterion decide at all."""
        return self.study.criterion is not None and self.study.criterion.action == "gate"

    def reason_to_skip(self, arm: Arm, params: Params, group_id: str) -> str:
        """Why the configuration is not run; empty if it is."""
        criterion = self.study.criterion
        if criterion is None or not self.acts or not distils(arm):
            return ""
        found = self._assessment(arm, network_params(arm, params))
        if found is None or found.verdict != "does not pay" or explored(self.study, group_id):
            return ""
        return (
            f"the criterion says that it does not pay: G = {show_term(found.gap)} nats ({criterion.estimator.kind}, "
            f"{plural(found.seeds, 'seed')}); not among the {criterion.explore:.0%} that are run all the same"
        )

    def _assessment(self, arm: Arm, params: Params) -> Assessment | None:
        """The estimates at these values, or None (and a line in the log) if there are none: then nothing is skipped."""
        key = f"{arm.name} {params!r}"
        if key not in self._known:
            cell = make_cell(arm, params, self.study.search.seeds)
            self._known[key] = None
            if cell and self.study.criterion:
                device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
                try:
                    with trial_threads(self.study.resources):
                        self._known[key] = assess(cell, self.study.criterion.settings, self.stages, device)
                except UNUSABLE as error:
                    logger.warning("%s: no estimate of the criterion, so it is run: %s", cell.name, error)
        return self._known[key]


def explored(study: StudyConfig, group_id: str) -> bool:
    """Whether a configuration that would be skipped is among the share that is run: a draw of its own."""
    assert study.criterion is not None
    return derive_seed(study.search.sampler_seed, "explore", group_id) / 2**63 < study.criterion.explore
