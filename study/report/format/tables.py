"""Tables of the report, formatted for readers. `csv_tables` has the raw values."""

from collections import Counter

from study.analysis.comparison import Comparison
from study.analysis.notation import metric_label, metric_name, show_p, show_param, show_params, show_summary, show_value
from study.analysis.study_results import ArmResult, StudyResults
from study.report.format.csv_tables import all_trials
from study.report.format.document import Table


def arms_table_block(results: StudyResults) -> Table:
    """The main result: each arm's best configuration and its comparison with the baseline."""
    header = ("arm", "validation", "test", "n", "Δ test", "Welch p", "Holm p", "g", "paired Δ [95 % CI]", "configs")
    caption = (
        f"Best configuration of each arm by {metric_name(results.metric)}: mean ± std over n seeds of "
        f"{metric_label(results.metric)} and {metric_label(results.test_metric)}. Δ, p, g and paired Δ compare the "
        f"test values with those of {results.versus}. `configs`: number of complete configurations among which it "
        "was chosen. The best validation mean is in bold."
    )
    rows = tuple(arm_row(row, results) for row in results.arms)
    return Table(caption, header, rows, 1, best_index(results))


def best_index(results: StudyResults) -> tuple[int, ...]:
    """The row with the best objective."""
    sign = 1 if results.direction == "maximize" else -1
    means = [(sign * row.objective.mean, -index) for index, row in enumerate(results.arms) if row.objective]
    return (-max(means)[1],) if means else ()


def arm_row(row: ArmResult, results: StudyResults) -> tuple[str, ...]:
    """One line of the arms table."""
    complete = sum(group.status == "complete" for group in row.groups)
    shown = (
        f"`{row.arm}`",
        show_summary(row.objective, results.metric),
        show_summary(row.test, results.test_metric),
        str(row.test.n if row.test else row.objective.n if row.objective else 0),
    )
    if row.comparison is None:
        return (*shown, "baseline", "", "", "", "", str(complete))
    if results.baselines:
        shown = (f"{shown[0]} vs `{results.baseline_of(row.arm)}`", *shown[1:])
    return (*shown, *comparison_cells(row.comparison, results.test_metric), str(complete))


def comparison_cells(comparison: Comparison, metric: str) -> tuple[str, ...]:
    """Difference, p, corrected p, effect size, paired difference."""
    difference = "–" if comparison.difference is None else show_value(comparison.difference, metric, "+")
    effect = "–" if comparison.effect_size is None else f"{comparison.effect_size:+.2f}"
    pair, paired = comparison.paired, "–"
    if pair is not None:
        paired = show_value(pair.mean, metric, "+")
        if pair.low is not None and pair.high is not None:
            paired += f" [{show_value(pair.low, metric, '+')}, {show_value(pair.high, metric, '+')}]"
    return difference, show_p(comparison.p), show_p(comparison.holm), effect, paired


def best_table(results: StudyResults) -> Table:
    """The hyperparameters of each arm's best configuration."""
    rows = [
        (f"`{row.arm}`", show_params(row.best.params), f"`{row.best.group_id}`", str(row.best.number))
        for row in results.arms
        if row.best
    ]
    caption = "Swept hyperparameters of each arm's best configuration. `group` is its name in the store and in MLflow."
    return Table(caption, ("arm", "hyperparameters", "group", "proposal"), tuple(rows), 3)


def ended_table(results: StudyResults, status: str) -> Table | None:
    """The failed or pruned trials by name; None without any."""
    rows = []
    for group, trial in all_trials(results):
        if trial.result and trial.result.status == status:
            error = trial.result.error
            epoch = error.epoch if error and error.epoch else trial.result.epochs
            reason = f"{error.kind}: {error.message}" if error else "stopped by the pruner"
            where = (f"`{group.arm}`", show_params(group.params), reason, f"`{trial.trial_id}`")
            rows.append((*where, str(trial.config.seed), str(epoch)))
    if not rows:
        return None
    header = ("arm", "hyperparameters", "reason", "trial", "seed", "epoch")
    return Table(f"{status.capitalize()} trials ({len(rows)}).", header, tuple(rows), 4)


def stages_table(results: StudyResults) -> Table | None:
    """Shared stages: how often each was computed and found ready; None if the study has none."""
    computed, reused, artifacts = Counter[str](), Counter[str](), {}
    for _, trial in all_trials(results):
        for names, counter in (
            (trial.result.stages_computed if trial.result else (), computed),
            (trial.result.stages_reused if trial.result else (), reused),
        ):
            for name in names:
                counter[name.partition("/")[0]] += 1
                artifacts.setdefault(name.partition("/")[0], set()).add(name)
    if not artifacts:
        return None
    rows = tuple((stage, str(len(artifacts[stage])), str(computed[stage]), str(reused[stage])) for stage in artifacts)
    caption = "Stages that trials share. An artifact is computed once and then found ready by every other trial."
    return Table(caption, ("stage", "artifacts", "computed", "reused"), rows)


def settings_table(caption: str, values: dict[str, object]) -> Table:
    """Names and values, as text."""
    rows = tuple(
        (name, show_param(value) if isinstance(value, float) else str(value)) for name, value in values.items()
    )
    return Table(caption, ("setting", "value"), rows, 2)
