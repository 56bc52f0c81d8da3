"""The best of a study with several objectives."""

from collections.abc import Sequence

from study.config.study_config import Objective
from study.storage.groups import Group


def pareto_front(groups: Sequence[Group], objectives: Sequence[Objective]) -> list[Group]:
    """The complete groups that no other one matches in every objective's mean and beats in one, in their order.

    With one objective these are the groups with the best mean.
    """
    points = [(group, point) for group in groups if (point := losses(group, objectives)) is not None]
    return [
        group
        for group, point in points
        if not any(
            other != point and all(theirs <= ours for theirs, ours in zip(other, point, strict=True))
            for _, other in points
        )
    ]


def losses(group: Group, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """Each objective's mean over the seeds, turned so that less is better; None for an incomplete group."""
    means = [group.mean(objective.metric) for objective in objectives]
    if group.status != "complete" or None in means:
        return None
    signs = [-1 if objective.direction == "maximize" else 1 for objective in objectives]
    return tuple(sign * mean for sign, mean in zip(signs, means, strict=True) if mean is not None)
