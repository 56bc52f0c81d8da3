"""Every tag that this project sets on MLflow runs and experiments. A new tag of a run is entered here.

`study.tracking.run_content` adds the tags to the content of a run, `study.tracking.writer` writes them, and
`study.tracking.ui_view` has the values of the experiment's tags for MLflow's UI.
"""

import json

from pydantic import JsonValue

from study.analysis.pareto import FrontMember, front_members
from study.config.study_config import StudyConfig
from study.storage.groups import Group
from study.storage.store import StudyStore, TrialRecord
from trainables.common.atomic_files import read_json

KIND = "kind"
"""Tag of a run: `study`, `group` or `trial`."""

STUDY_KEY = "study_key"
"""Tag of a run: the key of the store. It tells studies in one experiment apart."""

SYNCED = "synced"
"""Tag of a run: how far it is logged. `study.tracking.writer` has its values."""

PARETO_FRONT = "pareto_front"
"""Tag of a group's run: `overall` on the front over all arms, `arm` on the front of its arm only."""

PARENT = "mlflow.parentRunId"
"""MLflow's tag of a run: the id of its parent run."""

NOTE = "mlflow.note.content"
"""MLflow's tag of a run or an experiment: its note, in Markdown."""

VIEW_PREFIX = "mlflow.sharedViewState."
"""Private to MLflow's UI: prefix of the experiment tags with shared views."""

EXPERIMENT_KIND = "mlflow.experimentKind"
"""Private to MLflow's UI: what its page of the experiment shows."""

PRIMARY_METRIC = "mlflow.experiment.primaryMetric.name"
"""Private to MLflow's UI: the metric that it puts first."""


def identity_tags(study: StudyConfig, study_key: str, kind: str, parent: str) -> dict[str, str]:
    """The tags by which a run is found again, and its source.

    Args:
        study: The study.
        study_key: The key of its store.
        kind: `study`, `group` or `trial`.
        parent: Id of the parent run, or empty.
    """
    tags = {"study": study.study, STUDY_KEY: study_key, KIND: kind}
    tags |= {"mlflow.source.name": f"study {study.study}", "mlflow.source.type": "PROJECT"}
    return tags | ({PARENT: parent} if parent else {})


def group_tags(group: Group) -> dict[str, str]:
    """The tags of a configuration's run, without `pareto_front`."""
    return {"arm": group.arm, "group_id": group.group_id, "status": group.status, "number": str(group.number)}


def trial_tags(trial: TrialRecord, group: Group) -> dict[str, str]:
    """The tags of a finished trial's run."""
    assert trial.result is not None
    result = trial.result
    tags = {
        "arm": group.arm,
        "group_id": group.group_id,
        "trial_id": trial.trial_id,
        "status": result.status,
        "seed": str(trial.config.seed),
        "epochs": str(result.epochs),
        "selected_epoch": str(result.selected_epoch),
    }
    if result.error:
        where = f" (epoch {result.error.epoch}, step {result.error.step})" if result.error.epoch else ""
        tags["error"] = f"{result.error.kind}: {result.error.message}{where}"
    return tags


def study_tags(files: str, note: str) -> dict[str, str]:
    """The tags of the run named `study`: the digest of its files, and its note if there is one."""
    return {"files": files} | ({NOTE: note} if note else {})


def front_tags(study: StudyConfig, groups: list[Group]) -> dict[str, str]:
    """By group id, the tag `pareto_front` of the configurations on the front."""
    return {member.group.group_id: front_tag(member) for member in front_members(study, groups)}


def front_tag(member: FrontMember) -> str:
    """`overall` on the front over all arms, else `arm`."""
    return "overall" if member.overall else "arm"


def environment_tags(store: StudyStore) -> dict[str, str]:
    """The manifest's commit, versions and data fingerprints as tags `git.commit`, `versions.torch`, ..."""
    path = store.directory / "manifest.json"
    manifest = read_json(path) if path.exists() else {}
    return flatten({name: manifest[name] for name in ("git", "versions", "data", "platform") if name in manifest})


def flatten(values: dict[str, JsonValue], prefix: str = "") -> dict[str, str]:
    """Nested mappings as one, with keys joined by dots and values as text."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        elif value is not None:
            flat[f"{prefix}{name}"] = value_text(value)
    return flat


def value_text(value: JsonValue) -> str:
    """A parameter or tag as MLflow shows it: text unchanged, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
