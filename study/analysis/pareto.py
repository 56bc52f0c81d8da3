"""The Pareto front of a study with several objectives."""

from collections.abc import Sequence
from typing import NamedTuple

from study.analysis.study_results import Summary, summarise, values_by_seed
from study.config.study_config import Objective, StudyConfig
from study.storage.groups import Group


class FrontMember(NamedTuple):
    """One configuration on the Pareto front of its arm."""

    group: Group
    values: tuple[Summary, ...]
    """Each objective over the seeds, in the order of the study file."""
    overall: bool
    """Whether the configuration is also on the front over all arms."""


def front_members(study: StudyConfig, groups: Sequence[Group]) -> list[FrontMember]:
    """The Pareto fronts of a study.

    Args:
        study: The study, whose `search.objectives` names the objectives.
        groups: The configurations of all arms; only complete ones count.

    Returns:
        The members of each arm's front, by arm and number; empty for a study with one objective.

    """
    objectives = study.search.objectives
    if len(objectives) < 2:
        return []
    overall = {group.group_id for group in pareto_front(groups, objectives)}
    return [
        FrontMember(group, summaries(group, objectives), group.group_id in overall)
        for arm in study.arms
        for group in pareto_front([group for group in groups if group.arm == arm.name], objectives)
    ]


def summaries(group: Group, objectives: Sequence[Objective]) -> tuple[Summary, ...]:
    """Each objective of a complete group over its seeds."""
    values = (summarise(values_by_seed(group, objective.metric)) for objective in objectives)
    return tuple(summary for summary in values if summary)


def pareto_front(groups: Sequence[Group], objectives: Sequence[Objective]) -> list[Group]:
    """The complete groups that no other complete group dominates, in their order.

    A group dominates another if its mean over seeds is at least as good in every objective and better in one. With one
    objective, the front consists of the groups with the best mean.
    """
    points = [(group, point) for group in groups if (point := costs(group, objectives)) is not None]
    return [group for group, point in points if not any(dominates(other, point) for _, other in points)]


def dominates(point: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether `point` is nowhere worse than `other` and differs from it; lower is better."""
    return point != other and all(ours <= theirs for ours, theirs in zip(point, other, strict=True))


def costs(group: Group, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """Each objective's mean over the seeds, negated where it is maximised; None for an incomplete group."""
    means = [group.mean(objective.metric) for objective in objectives]
    if group.status != "complete" or None in means:
        return None
    signs = [-1 if objective.direction == "maximize" else 1 for objective in objectives]
    return tuple(sign * mean for sign, mean in zip(signs, means, strict=True) if mean is not None)
