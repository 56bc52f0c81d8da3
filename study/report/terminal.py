"""The tables of results that the terminal shows at the end of a run."""

from rich.console import Group
from rich.table import Table

from study.analysis.notation import metric_label, metric_name, show_p, show_params, show_summary
from study.analysis.pareto import front_members
from study.analysis.study_results import study_results
from study.config.study_config import StudyConfig
from study.report.sections.pareto import front_header, front_rows
from study.storage.groups import collect_groups
from study.storage.store import StudyStore


def result_tables(study: StudyConfig, store: StudyStore) -> Group:
    """The best configuration of each arm and, for several objectives, the Pareto front."""
    front = front_table(study, store)
    return Group(arms_table(study, store), *([front] if front else []))


def arms_table(study: StudyConfig, store: StudyStore) -> Table:
    """The result for the terminal: each arm's best configuration and its corrected p-value against the baseline."""
    results = study_results(study, collect_groups(study, store))
    first = ", the first objective" if len(study.search.objectives) > 1 else ""
    caption = f"best configuration of each arm by {metric_name(results.metric)}{first}, mean ± std over n seeds"
    table = Table(caption=caption)
    table.add_column("arm")
    table.add_column("best hyperparameters", overflow="fold")
    for name in (metric_label(results.metric), metric_label(results.test_metric), "n"):
        table.add_column(name, justify="right")
    table.add_column(
        f"p vs {'its baseline' if results.baselines else results.baseline}\n(Welch, Holm)", justify="right"
    )
    for row in results.arms:
        corrected = "baseline" if row.comparison is None else show_p(row.comparison.holm)
        params = show_params(row.best.params) if row.best else "no complete configuration"
        shown = [show_summary(row.objective, results.metric), show_summary(row.test, results.test_metric)]
        table.add_row(row.arm, params, *shown, str(row.test.n if row.test else 0), corrected)
    return table


def front_table(study: StudyConfig, store: StudyStore) -> Table | None:
    """The configurations on the Pareto front of their arm; None for one objective or without a complete one."""
    members = front_members(study, collect_groups(study, store))
    if not members:
        return None
    table = Table(caption="Pareto front of each arm by all objectives, mean ± std over n seeds")
    arm, params, *values = front_header(study)
    table.add_column(arm)
    table.add_column(params, overflow="fold")
    for name in values:
        table.add_column(name, justify="right")
    for row in front_rows(study, members):
        table.add_row(*row)
    return table
