"""The figure of several objectives."""

from matplotlib.figure import Figure

from study.analysis.notation import metric_label, scale
from study.analysis.pareto import costs
from study.figures.pareto import FrontPoint, ObjectiveAxis, pareto_figure
from study.report.format.figure_files import FigureInputs
from study.report.sections.pareto import members_of


def front_figure(inputs: FigureInputs) -> Figure | None:
    """The complete configurations against the objectives; None for a study with one objective."""
    study, results = inputs.study, inputs.results
    objectives = study.search.objectives
    members = {member.group.group_id: member for member in members_of(study, results)}
    arms: dict[str, list[FrontPoint]] = {}
    for row in results.arms:
        complete = [group for group in row.groups if costs(group, objectives) is not None]
        arms[row.arm] = [
            FrontPoint(
                tuple((group.mean(one.metric) or 0.0) * scale(one.metric) for one in objectives),
                group.group_id in members,
                group.group_id in members and members[group.group_id].overall,
            )
            for group in complete
        ]
    axes = [ObjectiveAxis(metric_label(one.metric), one.direction) for one in objectives]
    return pareto_figure(arms, axes, inputs.styles)
