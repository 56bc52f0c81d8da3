"""The content of every MLflow run of a study, computed from the store without MLflow.

Everything here is a function of the store alone, timestamps included. So a store gives the same rows at every sync, and
MLflow recognises a row that it already has (its key for a metric row is run, name, step, time and value).

The result of a trial has the name of the metric (`val/accuracy`: value of the selected epoch; for a group the mean over
seeds) and is one value at step 0. The curves have the prefix `epoch/` (`epoch/val/accuracy`). So the column of the runs
table is the number that the report prints, never that of the last epoch.
"""

import hashlib
import json
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from pydantic import JsonValue

from study.analysis.pareto import front_members
from study.config.study_config import Params, StudyConfig
from study.storage.groups import Group, GroupStatus
from study.storage.store import StudyStore, TrialRecord
from study.tracking.tags import front_tag, group_tags, study_tags, trial_tags, value_text
from trainables.common.types import EpochReport
from trainables.config import TrialConfig

NOTE_LIMIT = 20000
"""Most characters of a note that is written to MLflow."""

CURVE = "epoch/"
"""Prefix of the metrics that have one value per epoch."""

RUN_STATUS: dict[GroupStatus, str] = {
    "complete": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
    "skipped": "KILLED",
    "unfinished": "SCHEDULED",
}
"""MLflow's status for each status. A group that waits for seeds is scheduled, not running: the store does not say which
trials run at the moment."""


class Point(NamedTuple):
    """One metric row."""

    name: str
    value: float
    timestamp: int
    """Milliseconds since 1970."""
    step: int


class RunContent(NamedTuple):
    """The content of one MLflow run. The tags `kind` and `id` identify the run."""

    kind: str
    """`study`, `group` or `trial`."""
    id: str
    name: str
    status: str
    """MLflow's status."""
    start: int
    end: int
    tags: dict[str, str]
    params: dict[str, str]
    points: list[Point]
    settled: bool
    """Whether the content is final, as long as the study file stays the same."""

    @property
    def digest(self) -> str:
        """Identity of the content."""
        return text_digest(self)


def group_content(group: Group, study: StudyConfig, store: StudyStore) -> RunContent:
    """The run of a configuration: parameters at once; mean, std, n and mean curves when every seed has ended.

    A mean that is updated after each seed would leave one row for each seed in the metric's history and zigzags in the
    curves. So a group has no metrics before it is settled.
    """
    trials = [trial for trial in group.trials if trial.result]
    config = study.arm(group.arm).trial(group.params, group.seeds[0])
    spans = [trial_span(store, trial) for trial in trials]
    start, end = min(span[0] for span in spans), max(span[1] for span in spans)
    settled = is_settled(group)
    points = []
    if settled:
        points = summary_points(group, study.search.objectives[0].metric, end) + curve_points(
            mean_history(group), start, end
        )
    return RunContent(
        kind="group",
        id=group.group_id,
        name=group_name(group.arm, group.params),
        status=RUN_STATUS[group.status] if settled else RUN_STATUS["unfinished"],
        start=start,
        end=end,
        tags=group_tags(group),
        params=parameters(config, group.arm, study),
        points=points,
        settled=settled,
    )


def trial_content(trial: TrialRecord, group: Group, study: StudyConfig, store: StudyStore) -> RunContent:
    """The run of one seed of a finished trial: its own curves and, if it is complete, its final metrics."""
    assert trial.result is not None
    result = trial.result
    start, end = trial_span(store, trial)
    final = result.metrics if result.status == "complete" else {}
    return RunContent(
        kind="trial",
        id=trial.trial_id,
        name=f"seed {trial.config.seed}: {group_name(group.arm, group.params)}",
        status=RUN_STATUS[result.status],
        start=start,
        end=end,
        tags=trial_tags(trial, group),
        params=parameters(trial.config, group.arm, study) | {"seed": str(trial.config.seed)},
        points=[Point(name, value, end, 0) for name, value in sorted(final.items())]
        + curve_points(trial.history, start, end),
        settled=True,
    )


def study_content(study: StudyConfig, store: StudyStore, groups: list[Group]) -> RunContent:
    """The run named `study` with the report and the manifest. Its tag `files` changes with any of these files."""
    spans = [trial_span(store, trial) for group in groups for trial in group.trials if trial.result]
    wanted = sum(min(study.search.trials, arm.size() or study.search.trials) for arm in study.arms)
    skipped = sum(bool(proposal.skipped) for arm in study.arms for proposal in store.proposals(arm.name))
    finished = sum(is_settled(group) for group in groups) + skipped >= wanted
    files = [[str(path.relative_to(store.directory)), file_digest(path)] for path in artifact_files(store)]
    return RunContent(
        kind="study",
        id="study",
        name="study",
        status=RUN_STATUS["complete" if finished else "unfinished"],
        start=min((span[0] for span in spans), default=0),
        end=max((span[1] for span in spans), default=0),
        tags=study_tags(text_digest(files), front_note(study, groups)),
        params={},
        points=[],
        settled=True,
    )


def front_note(study: StudyConfig, groups: list[Group]) -> str:
    """The note of the run named `study`: the Pareto front as a table; empty for a study with one objective."""
    members = front_members(study, groups)
    if not members:
        return ""
    metrics = [objective.metric for objective in study.search.objectives]
    lines = [
        "**Pareto front** of each arm, mean over seeds. The tag `pareto_front` of a run is `arm`, or `overall` if its "
        "configuration is also on the front over all arms.",
        "",
        f"| arm | configuration | {' | '.join(metrics)} | n | front |",
        "|---|---|" + "---|" * len(metrics) + "---|---|",
    ]
    for member in members:
        name = group_name(member.group.arm, member.group.params).removeprefix(member.group.arm).strip()
        values = " | ".join(f"{value.mean:.4g}" for value in member.values)
        lines.append(f"| {member.group.arm} | {name} | {values} | {member.values[0].n} | {front_tag(member)} |")
    return "\n".join(lines)[:NOTE_LIMIT]


def is_settled(group: Group) -> bool:
    """Whether every seed that will be run has ended. If the first seed was pruned, the others are not run."""
    return group.status == "pruned" or sum(1 for trial in group.trials if trial.result) == len(group.seeds)


def summary_points(group: Group, objective: str, timestamp: int) -> list[Point]:
    """Mean, sample standard deviation and number of the complete seeds, for each final metric, the objective first."""
    complete = [trial.result for trial in group.trials if trial.result and trial.result.status == "complete"]
    points = []
    for name in sorted(
        {name for result in complete for name in result.metrics}, key=lambda name: (name != objective, name)
    ):
        mean, std = group.mean(name), group.std(name)
        points += [Point(name, mean, timestamp, 0)] if mean is not None else []
        points += [Point(f"{name}_std", std, timestamp, 0)] if std is not None else []
    return points + ([Point("n_seeds", float(len(complete)), timestamp, 0)] if complete else [])


def mean_history(group: Group) -> list[EpochReport]:
    """Mean of each metric at each epoch over the complete seeds (of a pruned group: over the pruned ones)."""
    wanted = "pruned" if group.status == "pruned" else "complete"
    rows: dict[int, dict[str, list[float]]] = {}
    for trial in group.trials:
        if trial.result and trial.result.status == wanted:
            for report in trial.history:
                for name, value in report.metrics.items():
                    rows.setdefault(report.epoch, {}).setdefault(name, []).append(value)
    return [EpochReport(epoch, {name: fmean(row[name]) for name in row}) for epoch, row in sorted(rows.items())]


def curve_points(history: list[EpochReport], start: int, end: int) -> list[Point]:
    """One point per metric and epoch, the epochs spread evenly over the time from `start` to `end`."""
    last = history[-1].epoch if history else 1
    return [
        Point(f"{CURVE}{name}", value, start + (end - start) * report.epoch // last, report.epoch)
        for report in history
        for name, value in sorted(report.metrics.items())
    ]


def trial_span(store: StudyStore, trial: TrialRecord) -> tuple[int, int]:
    """Start and end of the trial in milliseconds.

    The end is the start of the last attempt plus its share of the training time.
    """
    assert trial.result is not None
    attempts = store.trial(trial.trial_id).attempts()
    last = attempts[-1]
    share = 1 - last["from_epoch"] / max(trial.result.epochs, last["from_epoch"], 1)
    return int(1000 * attempts[0]["time"]), int(1000 * (last["time"] + share * trial.result.seconds))


def group_name(arm: str, params: Params) -> str:
    """The arm and its swept values: `ciba bottleneck_dim=8 lambda_kd=0.31`."""
    values = (
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()
    )
    return " ".join([arm, *values])


def parameters(config: TrialConfig, arm: str, study: StudyConfig) -> dict[str, str]:
    """The parameters of a run: everything that determines the result except the seed.

    Hyperparameters that any arm sweeps have their canonical names, in every arm, and come first. All others have their
    path as name (`training.epochs`). MLflow's comparison preselects the first parameters that differ, so it opens on
    the arm and the swept values.
    """
    names = {study.arm(arm).path(name): name for name in swept_names(study)}
    paths: dict[str, JsonValue] = {}
    for section, values in config.canonical().items():
        if isinstance(values, dict):
            paths |= {f"{section}.{name}": value for name, value in values.items()}
    first = {name: paths[path] for path, name in names.items() if path in paths}
    rest = {path: value for path, value in paths.items() if path not in names and path != "method.method"}
    flat = {"arm": arm, **first, "method": paths["method.method"], **rest}
    return {name: value_text(value) for name, value in flat.items() if value is not None}


def swept_names(study: StudyConfig) -> list[str]:
    """Every hyperparameter that any arm sweeps, once, in the order of the study file."""
    return list(dict.fromkeys(name for arm in study.arms for name in arm.space))


def artifact_files(store: StudyStore) -> list[Path]:
    """The report's files, the study file and the manifest, as far as they exist."""
    report = sorted(path for path in (store.directory / "report").rglob("*") if path.is_file())
    single = [store.directory / name for name in ("study.yaml", "study.json", "manifest.json")]
    return report + [path for path in single if path.exists()]


def text_digest(value: object) -> str:
    """Digest of anything that JSON can write."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
