"""The tables as CSV: raw values, shortest exact floats, an empty cell for a missing value."""

import csv
import io
from collections.abc import Sequence

from study.analysis.comparison import Comparison
from study.analysis.study_results import ArmResult, StudyResults, values_by_seed
from study.config.study_config import StudyConfig
from study.storage.groups import Group
from study.storage.store import TrialRecord

Row = list[object]


def csv_files(study: StudyConfig, results: StudyResults) -> dict[str, bytes]:
    """arms.csv, groups.csv and trials.csv."""
    return {
        "arms.csv": to_csv(ARM_COLUMNS, [arm_values(row, results) for row in results.arms]),
        "groups.csv": groups_csv(study, results),
        "trials.csv": trials_csv(results),
    }


ARM_COLUMNS = tuple(
    "arm group_id configurations objective objective_mean objective_std test_metric test_mean test_std n difference "
    "welch_p holm_p hedges_g paired_difference paired_low paired_high paired_n no_p_because".split()
)


def arm_values(row: ArmResult, results: StudyResults) -> Row:
    """One line of arms.csv."""
    objective, test = row.objective or (None, None, None), row.test or (None, None, None)
    comparison = row.comparison or Comparison(None, None, None, None, None)
    complete = sum(group.status == "complete" for group in row.groups)
    return [
        row.arm,
        row.best.group_id if row.best else None,
        complete,
        results.metric,
        *objective[:2],
        results.test_metric,
        *test[:2],
        test[2] or objective[2],
        *comparison[:4],
        *(comparison.paired or (None, None, None, None)),
        comparison.reason,
    ]


def groups_csv(study: StudyConfig, results: StudyResults) -> bytes:
    """Every configuration: its hyperparameters, and its objective and test metric for each seed."""
    names = list(dict.fromkeys(name for arm in study.arms for name in arm.space))
    metrics = (results.metric, results.test_metric)
    header = ["arm", "number", "group_id", "status", "chosen", *names]
    for metric in metrics:
        header += [f"{metric} mean", f"{metric} std", *(f"{metric} seed {seed}" for seed in study.search.seeds)]
    rows = []
    for row in results.arms:
        for group in row.groups:
            chosen = row.best is not None and group.group_id == row.best.group_id
            line: Row = [group.arm, group.number, group.group_id, group.status, "yes" if chosen else ""]
            line += [group.params.get(name) for name in names]
            for metric in metrics:
                values = values_by_seed(group, metric)
                line += [group.mean(metric), group.std(metric), *(values.get(seed) for seed in study.search.seeds)]
            rows.append(line)
    return to_csv(header, rows)


def trials_csv(results: StudyResults) -> bytes:
    """Every trial that began, with all its final metrics."""
    trials = all_trials(results)
    metrics = sorted({name for _, trial in trials if trial.result for name in trial.result.metrics})
    header = ["arm", "number", "group_id", "trial_id", "seed", "status", "epochs", "selected_epoch", "seconds"]
    rows = []
    for group, trial in trials:
        line: Row = [group.arm, group.number, group.group_id, trial.trial_id, trial.config.seed]
        result = trial.result
        if result is None:
            line += ["unfinished", len(trial.history), None, None, *(None for _ in metrics), ""]
        else:
            error = f"{result.error.kind}: {result.error.message}" if result.error else ""
            line += [result.status, result.epochs, result.selected_epoch, result.seconds]
            line += [*(result.metrics.get(name) for name in metrics), error]
        rows.append(line)
    return to_csv([*header, *metrics, "error"], rows)


def to_csv(header: Sequence[str], rows: list[Row]) -> bytes:
    """The file."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return buffer.getvalue().encode()


def all_trials(results: StudyResults) -> list[tuple[Group, TrialRecord]]:
    """Every trial that began, with its group."""
    return [(group, trial) for row in results.arms for group in row.groups for trial in group.trials]
