"""How many shared stages the trials of a study computed and reused."""

from collections.abc import Iterable
from typing import NamedTuple

from study.storage.groups import Group


class StageUsage(NamedTuple):
    """What the trials' shared stages (prepared data, teachers, bottlenecks, ...) cost and spared them."""

    computed: int
    """Artifacts that a trial of the study had to compute."""
    reused: int
    """How often a trial found one ready."""
    elsewhere: int
    """Artifacts among those found ready that no trial of the study computed: another study had, or an estimate."""
    seconds_saved: float
    """What the artifacts found ready had cost when they were computed, each time that one was found."""


def stage_usage(groups: Iterable[Group]) -> StageUsage:
    """The stages of every finished trial; one that several arms share counts once."""
    trials = {trial.trial_id: trial.result for group in groups for trial in group.trials}
    results = [result for result in trials.values() if result]
    computed = {stage for result in results for stage in result.stages_computed}
    reused = [stage for result in results for stage in result.stages_reused]
    saved = sum(result.seconds_saved for result in results)
    return StageUsage(len(computed), len(reused), len(set(reused) - computed), saved)
