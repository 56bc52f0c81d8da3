"""Skips configurations that the criterion predicts will not benefit, except for a random share that is run anyway."""

from study.config.resolved_study import ResolvedStudy, pair_key
from study.config.study_config import Arm, Params
from trainables.common.distributed import derive_seed


class SkipRule:
    """Decides by the study's table of verdicts. It computes nothing, so a resumed study decides as before."""

    def __init__(self, study: ResolvedStudy) -> None:
        self.study = study

    def reason(self, arm: Arm, params: Params, group_id: str) -> str:
        """Why a configuration is skipped.

        Args:
            arm: its arm.
            params: its swept values.
            group_id: its identity, which decides whether it is among the explored share.

        Returns:
            The reason; empty if the configuration is run.
        """
        reason = self.study.skip_reasons.get(pair_key(arm, params), "")
        return "" if reason and explored(self.study, group_id) else reason


def explored(study: ResolvedStudy, group_id: str) -> bool:
    """Whether a configuration is among the share `explore` that is run in spite of its verdict."""
    assert study.criterion is not None
    return derive_seed(study.search.sampler_seed, "explore", group_id) / 2**63 < study.criterion.explore
