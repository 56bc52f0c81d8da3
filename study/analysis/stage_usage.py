"""How many shared stages the trials of a study computed and reused."""

from collections.abc import Iterable
from typing import NamedTuple

from study.storage.groups import Group


class StageUsage(NamedTuple):
    """Counts of shared stages (prepared data, teachers, bottlenecks, ...) computed and reused, and the time saved."""

    computed: int
    """Artifacts that a trial of the study had to compute."""
    reused: int
    """How often a trial reused one."""
    elsewhere: int
    """Reused artifacts that no trial of this study computed: they come from other studies or from estimates."""
    seconds_saved: float
    """Seconds that computing the reused artifacts took, counted at each reuse."""


def stage_usage(groups: Iterable[Group]) -> StageUsage:
    """The stages of every finished trial; one that several arms share counts once."""
    trials = {trial.trial_id: trial.result for group in groups for trial in group.trials}
    results = [result for result in trials.values() if result]
    computed = {stage for result in results for stage in result.stages_computed}
    reused = [stage for result in results for stage in result.stages_reused]
    saved = sum(result.seconds_saved for result in results)
    return StageUsage(len(computed), len(reused), len(set(reused) - computed), saved)
