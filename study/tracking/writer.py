"""Writes the runs of one study to MLflow. `study.tracking.tracker` uses it and explains how no run is made twice."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from study.config.resolved_study import ResolvedStudy
from study.storage.groups import Group, best_group, collect_arm
from study.storage.store import StudyStore
from study.tracking.note import note
from study.tracking.run_content import (
    NOTE_LIMIT,
    RunContent,
    artifact_files,
    group_content,
    is_settled,
    study_content,
    trial_content,
)
from study.tracking.tags import (
    KIND,
    NOTE,
    PARENT,
    PARETO_FRONT,
    STUDY_KEY,
    SYNCED,
    environment_tags,
    front_tags,
    identity_tags,
)
from study.tracking.ui_view import view_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

ENTITIES_PER_BATCH = 1000
"""Most metrics, parameters and tags together that MLflow takes in one call."""


class Logged(NamedTuple):
    """A run that MLflow has."""

    run_id: str
    synced: str
    """How far it is logged: `created`, `waiting` (parameters only), `started <digest>`, or `<digest>` (complete)."""
    parent: str
    pareto_front: str = ""
    """The tag of that name."""


class Writer:
    """One connection and the runs that MLflow already has. Created by `Tracker.open`."""

    def __init__(self, study: ResolvedStudy, store: StudyStore, client: "MlflowClient", study_key: str) -> None:
        self.study = study
        self.store = store
        self.client = client
        self.study_key = study_key
        self.experiment_id = open_experiment(client, study)
        self.runs = find_runs(client, self.experiment_id, self.study_key)
        self.done: set[tuple[str, ...]] = set()
        """Groups (with their finished trials) that this writer has logged. The next sync skips them."""
        self.settled: dict[str, set[int]] = {arm.name: set() for arm in study.arms}
        """By arm, the numbers of the groups that are final. A sync that is not final does not read them."""
        self.leading: dict[str, Group] = {}
        """By arm, the best settled group."""

    def sync(self, final: bool) -> str:
        """Update every run; if `final`, also the report and the Pareto front, and delete the runs of removed arms.

        The work of a sync that is not final grows with the new results, not with the size of the store.

        Returns:
            The id of the run named `study`, empty unless `final`.
        """
        arms = [collect_arm(a, self.study, self.store, () if final else self.settled[a.name]) for a in self.study.arms]
        groups = [group for of_arm in arms for group in of_arm if any(trial.result for trial in group.trials)]
        for group in groups:
            self.sync_group(group)
        run_id = ""
        if final:
            run_id = self.sync_study(groups)
            self.sync_front(groups)
            self.remove_stale(groups)
        self.sync_experiment(groups)
        return run_id

    def settle(self, group: Group) -> None:
        """Remember that the group is final and, if so, that it is the best of its arm."""
        self.settled[group.arm].add(group.number)
        objective = self.study.search.objectives[0]
        both = sorted([group, *filter(None, [self.leading.get(group.arm)])], key=lambda one: one.number)
        best = best_group(both, objective.metric, objective.direction)
        if best:
            self.leading[group.arm] = best

    def sync_group(self, group: Group) -> None:
        """The group's run and those of its finished trials."""
        finished = [trial for trial in group.trials if trial.result]
        key = (group.group_id, str(len(group.seeds)), *(trial.trial_id for trial in finished))
        if key in self.done:
            return
        parent = self.log(group_content(group, self.study, self.store))
        for trial in finished:
            self.log(trial_content(trial, group, self.study, self.store), parent)
        self.done.add(key)
        if is_settled(group):
            self.settle(group)

    def sync_study(self, groups: list[Group]) -> str:
        """The run named `study`. Its files are uploaded again when one of them changed."""
        content = study_content(self.study, self.store, groups)
        logged = self.runs.get(("study", "study"))
        if logged and logged.synced == content.digest:
            return logged.run_id
        run_id = logged.run_id if logged else self.create(content, "")
        for path in artifact_files(self.store):
            folder = path.relative_to(self.store.directory).parent
            self.client.log_artifact(run_id, str(path), None if str(folder) == "." else folder.as_posix())
        self.write(run_id, content, is_new=logged is None)
        return run_id

    def sync_front(self, groups: list[Group]) -> None:
        """The tag `pareto_front` of the configurations on the front, and of no others.

        The tag is not part of a run's content, because a later configuration can take a run off the front.
        """
        wanted = front_tags(self.study, groups)
        for group in groups:
            logged, value = self.runs["group", group.group_id], wanted.get(group.group_id, "")
            if logged.pareto_front == value:
                continue
            if value:
                self.client.set_tag(logged.run_id, PARETO_FRONT, value)
            else:
                self.client.delete_tag(logged.run_id, PARETO_FRONT)
            self.runs["group", group.group_id] = logged._replace(pareto_front=value)

    def sync_experiment(self, groups: list[Group]) -> None:
        """The experiment's note and the prepared view of its runs table, from these groups and the leading ones."""
        known = {group.group_id: group for group in (*groups, *self.leading.values())}
        groups = sorted(known.values(), key=lambda group: group.number)
        runs = {run_id: logged.run_id for (kind, run_id), logged in self.runs.items() if kind == "group"}
        text = note(self.study, self.store, groups, self.study_key, self.experiment_id, runs)
        self.set_experiment_tags({NOTE: text[:NOTE_LIMIT]})
        self.prepare_page()

    def prepare_page(self) -> None:
        """The experiment's page in the UI. It uses private interfaces, so what MLflow refuses is only logged."""
        from mlflow.exceptions import MlflowException

        try:
            self.set_experiment_tags(view_tags(self.study, self.study_key))
        except MlflowException as error:
            logger.warning("MLflow refused the prepared view of its UI: %s", error)

    def set_experiment_tags(self, tags: dict[str, str]) -> None:
        """Write the tags of the experiment that it does not have yet."""
        present = self.client.get_experiment(self.experiment_id).tags
        for name, value in tags.items():
            if present.get(name) != value:
                self.client.set_experiment_tag(self.experiment_id, name, value)

    def remove_stale(self, groups: list[Group]) -> None:
        """Delete the runs that the study file no longer describes. MLflow keeps them as deleted runs."""
        wanted = {("study", "study")} | {("group", group.group_id) for group in groups}
        wanted |= {("trial", trial.trial_id) for group in groups for trial in group.trials}
        for key in self.runs.keys() - wanted:
            self.client.delete_run(self.runs.pop(key).run_id)

    def log(self, content: RunContent, parent: str = "") -> str:
        """Create, complete or replace the run of `content`, or leave it if it is complete; its run id."""
        key = (content.kind, content.id)
        logged = self.runs.get(key)
        if logged and logged.synced.removeprefix("started ") not in ("created", "waiting", content.digest):
            self.client.delete_run(logged.run_id)
            logged = None
        run_id = logged.run_id if logged else self.create(content, parent)
        if logged and logged.parent != parent:
            self.client.set_tag(run_id, PARENT, parent)
        state = content.digest if content.settled else "waiting"
        if not logged or logged.synced != state:
            self.write(run_id, content, is_new=logged is None)
        self.runs[key] = Logged(run_id, state, parent, logged.pareto_front if logged else "")
        return run_id

    def create(self, content: RunContent, parent: str) -> str:
        """A run with its name, tags and start time, made in one transaction."""
        tags = environment_tags(self.store) | content.tags | {SYNCED: started(content)}
        tags |= identity_tags(self.study, self.study_key, content.kind, parent)
        run_id = self.client.create_run(self.experiment_id, content.start or None, tags, content.name).info.run_id
        self.runs[content.kind, content.id] = Logged(run_id, started(content), parent)
        return run_id

    def write(self, run_id: str, content: RunContent, is_new: bool) -> None:
        """Log everything of `content`; rows that are already there stay unchanged.

        The tag `synced` records start and end. log_batch writes tags last, so the last batch contains the tag. Every
        call is a transaction, and transactions take most of the time of a sync.
        """
        from mlflow.entities import Metric, Param, RunTag

        if self.runs[content.kind, content.id].synced != started(content):
            self.client.set_tag(run_id, SYNCED, started(content))
        if content.settled:
            self.client.set_terminated(run_id, content.status, content.end or None)
        else:
            self.client.update_run(run_id, content.status)
        params = [Param(*item) for item in content.params.items()]
        synced = content.digest if content.settled else "waiting"
        tags = [RunTag(*item) for item in {**({} if is_new else content.tags), SYNCED: synced}.items()]
        metrics = [Metric(*point) for point in content.points]
        last = ENTITIES_PER_BATCH - len(params) - len(tags)
        while len(metrics) > last:
            self.client.log_batch(run_id, metrics=metrics[:ENTITIES_PER_BATCH])
            metrics = metrics[ENTITIES_PER_BATCH:]
        self.client.log_batch(run_id, metrics=metrics, params=params, tags=tags)


def started(content: RunContent) -> str:
    """The tag `synced` of a run that is being logged."""
    return f"started {content.digest}" if content.settled else "created"


def connect(uri: str) -> "MlflowClient":
    """A client of a backend that can be reached."""
    if not is_server(uri):
        prepare_database(uri)
    from mlflow import MlflowClient

    return MlflowClient(uri)


def prepare_database(uri: str) -> None:
    """Fail at once if the database cannot be opened; MLflow itself would try for more than a minute."""
    import sqlalchemy

    url = sqlalchemy.make_url(uri)
    if url.drivername.startswith("sqlite") and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(url)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def open_experiment(client: "MlflowClient", study: ResolvedStudy) -> str:
    """The id of the study's experiment, which is created or restored if necessary."""
    name = study.tracking.experiment
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        folder = (study.studies / "mlflow-artifacts" / name).absolute()
        location = None if is_server(study.tracking.uri) else folder.as_uri()
        return client.create_experiment(name, artifact_location=location)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


def find_runs(client: "MlflowClient", experiment_id: str, key: str) -> dict[tuple[str, str], Logged]:
    """Every run of this study, by kind and id."""
    runs: dict[tuple[str, str], Logged] = {}
    token = None
    while True:
        page = client.search_runs([experiment_id], f"tags.{STUDY_KEY} = '{key}'", max_results=1000, page_token=token)
        for run in page:
            tags = run.data.tags
            kind = tags[KIND]
            runs[kind, "study" if kind == "study" else tags[f"{kind}_id"]] = Logged(
                run.info.run_id, tags.get(SYNCED, ""), tags.get(PARENT, ""), tags.get(PARETO_FRONT, "")
            )
        token = page.token
        if not token:
            return runs


def is_server(uri: str) -> bool:
    """Whether the URI is that of an MLflow server, and not of a database."""
    return uri.startswith(("http:", "https:"))


def backend_errors() -> tuple[type[Exception], ...]:
    """The exceptions of connecting, reading and writing when the backend cannot be reached or refuses."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError
