"""Groups as points of figures."""

from search_spaces.domains import Choice, Domain, Value
from study.analysis.notation import scale
from study.analysis.study_results import StudyResults, summarise, values_by_seed
from study.config.spectrum_rule import BOTTLENECK
from study.figures.bottleneck_curve import Curve
from study.figures.style import Point
from study.storage.groups import Group, best_group


def bottleneck_points(groups: tuple[Group, ...], metric: str, results: StudyResults) -> Curve:
    """One arm over H: at each H the group that the objective chooses."""
    complete = [group for group in groups if group.status == "complete" and has_metric(group, metric)]
    sizes = sorted({float(group.params[BOTTLENECK]) for group in complete if BOTTLENECK in group.params})
    best = []
    for size in sizes:
        chosen = best_group([g for g in complete if g.params[BOTTLENECK] == size], results.metric, results.direction)
        if chosen:
            best.append(mean_point(size, chosen, metric))
    return Curve(best, [(float(g.params[BOTTLENECK]), mean_point(0, g, metric).mean) for g in complete])


def has_metric(group: Group | None, metric: str) -> bool:
    """Whether the group has the metric."""
    return group is not None and group.mean(metric) is not None


def mean_point(x: float, group: Group | None, metric: str) -> Point:
    """Mean and deviation over seeds of a group that has the metric, in the unit of figures."""
    summary = summarise(values_by_seed(group, metric))
    assert summary is not None
    factor = scale(metric)
    return Point(x, summary.mean * factor, None if summary.std is None else summary.std * factor)


def is_numeric(domain: Domain) -> bool:
    """Whether the values of `domain` are numbers."""
    return not isinstance(domain, Choice) or all(is_number(value) for value in domain.options)


def is_number(value: Value) -> bool:
    """Whether `value` is a number; a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
