"""The report's part on several objectives: the Pareto front of each arm and over all arms."""

from study.analysis.notation import metric_label, metric_name, show_params, show_summary
from study.analysis.pareto import FrontMember, front_members
from study.analysis.study_results import StudyResults
from study.config.study_config import StudyConfig
from study.formatting import plural
from study.report.format.csv_tables import Row, to_csv
from study.report.format.document import Block, Heading, Items, Table

MEANING = (
    "A configuration is on the front if no other complete configuration is at least as good in every objective and "
    "better in one. The means over seeds are compared as they are, without a test, so another choice of seeds may "
    "give another front."
)


def pareto_blocks(study: StudyConfig, results: StudyResults) -> list[Block]:
    """Statements and the table of the front; nothing for a study with one objective."""
    if len(study.search.objectives) < 2:
        return []
    members = members_of(study, results)
    blocks: list[Block] = [Heading("Pareto front of the objectives"), Items(tuple(statements(study, results, members)))]
    return [*blocks, front_table(study, members)] if members else blocks


def members_of(study: StudyConfig, results: StudyResults) -> list[FrontMember]:
    """The members of every arm's front."""
    return front_members(study, [group for row in results.arms for group in row.groups])


def statements(study: StudyConfig, results: StudyResults, members: list[FrontMember]) -> list[str]:
    """How many configurations are on the front, from which arms, and what the comparison of arms uses."""
    complete = sum(group.status == "complete" for row in results.arms for group in row.groups)
    first = (
        f"The other tables and figures choose and compare configurations by the first objective, "
        f"{metric_name(results.metric)}, alone."
    )
    if not members:
        return ["No configuration is complete yet, so there is no front.", first]
    overall = [member for member in members if member.overall]
    counts = {arm.name: sum(member.group.arm == arm.name for member in overall) for arm in study.arms}
    shares = ", ".join(f"`{arm}` {count}" for arm, count in counts.items())
    return [
        f"{len(overall)} of {plural(complete, 'complete configuration')} are on the front over all arms: {shares}.",
        MEANING,
        first,
    ]


def front_header(study: StudyConfig) -> tuple[str, ...]:
    """Column names of the front's table."""
    objectives = (f"{metric_label(one.metric)} ({one.direction})" for one in study.search.objectives)
    return ("arm", "hyperparameters", *objectives, "n", "over all arms")


def front_rows(study: StudyConfig, members: list[FrontMember]) -> list[tuple[str, ...]]:
    """One row for each member: arm, hyperparameters, objectives, seeds, and whether it is on the front of all arms."""
    metrics = [objective.metric for objective in study.search.objectives]
    return [
        (
            member.group.arm,
            show_params(member.group.params),
            *(show_summary(value, metric) for value, metric in zip(member.values, metrics, strict=True)),
            str(member.values[0].n),
            "yes" if member.overall else "no",
        )
        for member in members
    ]


def front_table(study: StudyConfig, members: list[FrontMember]) -> Table:
    """The configurations on the front of their arm; those on the front over all arms are bold."""
    rows = tuple(
        (f"`{arm}`", f"`{member.group.group_id}`", *cells)
        for member, (arm, *cells) in zip(members, front_rows(study, members), strict=True)
    )
    arm, *names = front_header(study)
    caption = (
        "Configurations on the Pareto front of their arm: mean ± std over n seeds of every objective. Those on the "
        "front over all arms are in bold."
    )
    strong = tuple(index for index, member in enumerate(members) if member.overall)
    return Table(caption, (arm, "group", *names), rows, 3, strong)


def front_csv(study: StudyConfig, results: StudyResults) -> bytes:
    """pareto.csv: raw values of the members."""
    header = ["arm", "number", "group_id", "over_all_arms", "n"]
    for objective in study.search.objectives:
        header += [f"{objective.metric} mean", f"{objective.metric} std"]
    rows: list[Row] = []
    for member in members_of(study, results):
        group, cells = member.group, [cell for value in member.values for cell in (value.mean, value.std)]
        overall = "yes" if member.overall else ""
        rows.append([group.arm, group.number, group.group_id, overall, member.values[0].n, *cells])
    return to_csv(header, rows)
