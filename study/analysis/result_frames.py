"""A study's results as pandas DataFrames: one row a trial, a configuration, or an epoch of a trial."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has types, but does not declare it

from study.analysis.pareto import pareto_front
from study.config.study_config import StudyConfig
from study.storage.groups import Group, best_group
from study.storage.store import TrialRecord
from trainables.common.results import EpochReport

TRIAL_COLUMNS = (
    "arm",
    "number",
    "seed",
    "group_id",
    "trial_id",
    "status",
    "trained_epochs",
    "selected_epoch",
    "seconds",
)
"""Columns of `trials_frame` before the hyperparameters."""

CONFIGURATION_COLUMNS = ("arm", "number", "group_id", "status", "best", "n")
"""Columns of `configurations_frame` before the hyperparameters."""


def trials_frame(study: StudyConfig, groups: Sequence[Group]) -> pd.DataFrame:
    """Every trial that has started, one row each.

    Args:
        study: the study.
        groups: its configurations with their trials.

    Returns:
        The columns that `study.api.Study.trials` documents.
    """
    pairs = [(group, trial) for group in groups for trial in group.trials]
    metrics = {name for _, trial in pairs if trial.result for name in trial.result.metrics}
    columns = [*TRIAL_COLUMNS, *swept(study), *sorted(metrics | objective_metrics(study)), "error"]
    return data_frame(columns, [trial_row(group, trial) for group, trial in pairs])


def trial_row(group: Group, trial: TrialRecord) -> dict[str, object]:
    """One row of `trials_frame` by column; a missing value has no entry."""
    row: dict[str, object] = {
        "arm": group.arm,
        "number": group.number,
        "seed": trial.config.seed,
        "group_id": group.group_id,
        "trial_id": trial.trial_id,
        **group.params,
    }
    if trial.result is None:
        return {**row, "status": "unfinished", "trained_epochs": len(trial.history)}
    error = trial.result.error
    return {
        **row,
        "status": trial.result.status,
        "trained_epochs": trial.result.epochs,
        "selected_epoch": trial.result.selected_epoch if trial.result.status == "complete" else None,
        "seconds": trial.result.seconds,
        **trial.result.metrics,
        "error": f"{error.kind}: {error.message}" if error else None,
    }


def configurations_frame(study: StudyConfig, groups: Sequence[Group]) -> pd.DataFrame:
    """Every proposed configuration, one row each.

    Args:
        study: the study.
        groups: its configurations with their trials.

    Returns:
        The columns that `study.api.Study.configurations` documents.
    """
    objectives = study.search.objectives
    metrics = sorted({name for group in groups for name in complete_metrics(group)} | objective_metrics(study))
    best = {(group.arm, group.number) for group in best_groups(study, groups)}
    front = {(group.arm, group.number) for group in pareto_front(groups, objectives)}
    rows = [
        {
            "arm": group.arm,
            "number": group.number,
            "group_id": group.group_id,
            "status": group.status,
            "best": (group.arm, group.number) in best,
            "n": sum(trial.result is not None and trial.result.status == "complete" for trial in group.trials),
            "pareto_front": (group.arm, group.number) in front,
            **group.params,
            **{f"{metric} mean": group.mean(metric) for metric in metrics},
            **{f"{metric} std": group.std(metric) for metric in metrics},
        }
        for group in groups
    ]
    statistics = [f"{metric} {statistic}" for metric in metrics for statistic in ("mean", "std")]
    several = ["pareto_front"] if len(objectives) > 1 else []
    return data_frame([*CONFIGURATION_COLUMNS, *several, *swept(study), *statistics], rows)


def best_groups(study: StudyConfig, groups: Sequence[Group]) -> list[Group]:
    """The best configuration of each arm by the first objective; arms without a complete one are left out."""
    objective = study.search.objectives[0]
    arms = [[group for group in groups if group.arm == arm.name] for arm in study.arms]
    found = [best_group(arm, objective.metric, objective.direction) for arm in arms]
    return [group for group in found if group]


def complete_metrics(group: Group) -> set[str]:
    """The metrics that any complete trial of the group has."""
    results = [trial.result for trial in group.trials if trial.result and trial.result.status == "complete"]
    return {metric for result in results for metric in result.metrics}


def history_frame(history: Sequence[EpochReport]) -> pd.DataFrame:
    """The metrics of one trial after each epoch.

    Args:
        history: the epochs, in order.

    Returns:
        One row an epoch, indexed by `epoch` (from 1), one column a metric.
    """
    metrics = list(dict.fromkeys(metric for report in history for metric in report.metrics))
    frame = data_frame(metrics, [report.metrics for report in history])
    frame.index = pd.Index([report.epoch for report in history], name="epoch")
    return frame


def swept(study: StudyConfig) -> list[str]:
    """Names of the hyperparameters that any arm sweeps, in the order of the file."""
    return list(dict.fromkeys(name for arm in study.arms for name in arm.space))


def objective_metrics(study: StudyConfig) -> set[str]:
    """The metrics that the study optimises: columns of every table, also before the first result."""
    return {objective.metric for objective in study.search.objectives}


def data_frame(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """A DataFrame of `rows` with exactly `columns`, in this order.

    Args:
        columns: names of the columns.
        rows: for each row, its values by column. Keys that are no columns are ignored.

    Returns:
        Whole numbers stay whole numbers (nullable `Int64` where values are missing), truth values stay truth values.
    """
    return pd.DataFrame({name: column([row.get(name) for row in rows]) for name in columns})


def column(values: Iterable[object]) -> pd.Series:
    """One column with the narrowest type that fits every value; None is a missing value."""
    given = list(values)
    kinds = {type(value) for value in given if value is not None}
    missing = None in given
    if kinds == {bool}:
        return pd.Series(given, dtype="boolean" if missing else "bool")
    if kinds == {int}:
        return pd.Series(given, dtype="Int64" if missing else "int64")
    if kinds and kinds <= {int, float}:
        return pd.Series(given, dtype="float64")
    return pd.Series(given, dtype="object")
