"""`study status`: the state of a study, read from its directory while it runs or afterwards. Changes nothing."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.analysis.notation import show_params, show_summary, show_value
from study.analysis.study_results import summarise, values_by_seed
from study.config.resolved_study import ResolvedStudy
from study.config.study_config import Arm
from study.config.trial_ref import trial_name
from study.console.live_table import metric_header
from study.formatting import clock, plural
from study.storage.groups import Group, best_group, collect_groups
from study.storage.lock import is_locked, read_driver
from study.storage.store import StudyStore, TrialRecord


def print_status(study: ResolvedStudy, console: Console | None = None) -> None:
    """Print which process runs the study, counts and best configuration of each arm, and the unfinished trials."""
    console = console or Console()
    groups = collect_groups(study, StudyStore(study.directory))
    for line in headlines(study):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(arms_table(study, groups))
    for line in unfinished(study, groups):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def headlines(study: ResolvedStudy) -> Iterator[str]:
    """Name, directory, the process that runs it, and the time of the last change."""
    yield f"Study {study.study} in {study.directory}"
    driver = read_driver(study.directory)
    if driver is None:
        yield "It has not been run yet"
        return
    since = clock(time.time() - driver.started)
    if is_locked(study.directory):
        yield f"Process {driver.pid} on {driver.host} has been running it for {since}"
    else:
        yield f"No process runs it now; process {driver.pid} on {driver.host} began its last run {since} ago"
    written = last_activity(study.directory)
    if written is not None:
        yield f"A trial last wrote {clock(time.time() - written)} ago"


def last_activity(directory: Path) -> float | None:
    """When a trial last wrote to its history or result, in seconds since the epoch; None before the first."""
    files = [*directory.glob("trials/*/history.jsonl"), *directory.glob("trials/*/result.json")]
    return max((file.stat().st_mtime for file in files), default=None)


def arms_table(study: ResolvedStudy, groups: list[Group]) -> Table:
    """One row per arm: configurations, trials by status, and the best configuration so far."""
    objective = study.search.objectives[0]
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("arm", "configurations", "trials", f"best {metric_header(objective.metric)}", "n", "hyperparameters"):
        table.add_column(name)
    for arm in study.arms:
        own = [group for group in groups if group.arm == arm.name]
        best = best_group(own, objective.metric, objective.direction)
        cells = ("", "", "")
        if best:
            summary = summarise(values_by_seed(best, objective.metric))
            cells = (
                show_summary(summary, objective.metric),
                str(summary.n if summary else 0),
                show_params(best.params),
            )
        table.add_row(*map(escape, (arm.name, configurations(study, arm, own), trial_counts(own), *cells)))
    return table


def configurations(study: ResolvedStudy, arm: Arm, groups: list[Group]) -> str:
    """`5 of 12` proposed."""
    skipped = sum(group.status == "skipped" for group in groups)
    return f"{len(groups)} of {study.planned_groups(arm)}" + (f", {skipped} skipped" if skipped else "")


def trial_counts(groups: list[Group]) -> str:
    """Trials by status: `12 complete, 1 pruned, 2 unfinished`."""
    trials = [trial for group in groups for trial in group.trials]
    counts = Counter(trial.result.status if trial.result else "unfinished" for trial in trials)
    order = ("complete", "pruned", "failed", "unfinished")
    return ", ".join(f"{counts[status]} {status}" for status in order if counts[status]) or "none"


def unfinished(study: ResolvedStudy, groups: list[Group]) -> Iterator[str]:
    """Trials that have started and have no result, skipped configurations, and the errors of failed trials."""
    metric = study.search.objectives[0].metric
    for group in groups:
        if group.skipped:
            yield f"{group.arm} #{group.number}: skipped, {group.skipped}; {show_params(group.params)}"
        for trial in group.trials:
            name = trial_name(group.arm, group.number, trial.config.seed)
            if trial.result is None:
                yield f"{name}: {reached(trial, metric)}; {show_params(group.params)}"
            elif trial.result.error is not None:
                error = trial.result.error
                yield f"{name}: failed, {error.kind}: {' '.join(error.message.split())}"


def reached(trial: TrialRecord, metric: str) -> str:
    """Progress of an unfinished trial."""
    history = trial.history
    done = history[-1] if history else None
    if done is None:
        return "started, no epoch finished"
    value = f", {metric_header(metric)} {show_value(done.metrics[metric], metric)}" if metric in done.metrics else ""
    return f"{done.epoch} of {plural(trial.config.training.epochs, 'epoch')}{value}"
