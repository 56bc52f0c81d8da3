"""From a YAML file to a StudyConfig, or to every problem of the file, one line each.

Nothing here imports Ray, Optuna or MLflow: a wrong file is answered before any of them starts.
"""

import os
import re
from pathlib import Path
from typing import Any

from search_spaces.explain import nearest, shown
from study.config.criterion import CriterionConfig
from study.config.study_config import (
    Arm,
    Objective,
    ReportConfig,
    ResourcesConfig,
    SearchConfig,
    StudyConfig,
    TrackingConfig,
)
from study.config.study_file import ARM_SECTIONS, OBJECTIVE_KEYS, RESERVED_STUDY_NAMES, StudyFile
from study.parsing.arms import Draft, check_shared_names, read_arm, read_part, target
from study.parsing.check_arm import anchor, check_arm, check_divisible, check_equal_architectures
from study.parsing.check_study import check_criterion, check_objectives, check_resources, check_search
from study.parsing.evaluations import check_evaluations, read_evaluations
from study.parsing.pairs import Member, expand, read_pairs
from study.parsing.problems import Place, Problems, StudyFileError
from study.parsing.published_tables import published_fault
from study.parsing.sections import GivenValue, Section, build, entries_of, read_fields, read_value, unknown_key
from study.parsing.yaml_tree import Node, join, parse, read_text
from trainables.config import EvaluationConfig, TrainingConfig, TrialConfig
from trainables.data.common.base import DataConfig
from trainables.tasks import TASKS, metric_direction

AMBIGUOUS = ("on", "off", "yes", "no", "true", "false", "null", "y", "n")
"""Words that some YAML readers take for true, false or nothing: no names for people who use several tools."""

VALIDATION_METRICS = {f"val/{name}" for task in TASKS.values() for name in task.metrics}
"""What `monitor` may be."""

TRACKING_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")


def load(path: Path) -> StudyConfig:
    """The study that a YAML file describes.

    Raises:
        StudyFileError: with all problems of the file, in its order.
    """
    text = read_text(path)
    return Loader(path, text, parse(text, path)).load()


class Loader:
    """Reads one file; every step adds what it finds wrong to `problems` and goes on with the rest."""

    def __init__(self, path: Path, text: str, root: Node) -> None:
        self.path = path
        self.text = text
        self.root = root
        self.problems = Problems()
        self.folder = Path(os.path.abspath(path.parent))

    def load(self) -> StudyConfig:
        """The study, or StudyFileError."""
        self._check_keys()
        name = self._study_name()
        studies = self._studies()
        search = self._search()
        resources = self._built("resources", ResourcesConfig)
        criterion: CriterionConfig | None = (
            self._built("criterion", CriterionConfig) if "criterion" in (self.root.mapping or {}) else None
        )
        drafts = self._arms(search)
        evaluations = read_evaluations((self.root.mapping or {}).get("evaluate"), self.folder, self.problems)
        tracking = self._tracking(name, studies)
        report = self._report(drafts)
        self._check_together(search, resources, drafts)
        if criterion:
            check_criterion(criterion, self.place, drafts, self.problems)
        if self.problems.found:
            raise StudyFileError(self.path, self.problems.found)
        check_evaluations(evaluations, drafts, self.problems)
        if self.problems.found:
            raise StudyFileError(self.path, self.problems.found)
        arms = tuple(resolved(draft, tuple(evaluation for evaluation, _ in evaluations)) for draft in drafts)
        return StudyConfig(
            study=name,
            arms=arms,
            search=search,
            resources=resources,
            tracking=tracking,
            report=report,
            studies=studies,
            source=self.text,
            criterion=criterion,
        )

    def place(self, path: str) -> Place:
        """Where the value at a dotted path stands, or the nearest that the file has."""
        return self.root.at(tuple(int(step) if step.isdigit() else step for step in path.split(".")))

    def _node(self, name: str) -> Node:
        """A top-level value; an empty mapping at the top of the file if it is absent."""
        return (self.root.mapping or {}).get(name) or Node({}, self.root.place)

    def _check_keys(self) -> None:
        known = list(StudyFile.model_fields)
        for name in self.root.mapping or {}:
            if name not in known:
                self.problems.add(self.root.keys[name], name, unknown_key(name, known, ""))
        for name in ("study", "data", "teacher", "student", "arms"):
            if name not in (self.root.mapping or {}):
                self.problems.add(self.root.place, name, f"is missing; add `{name}:`, as in sweep.yaml")

    def _study_name(self) -> str:
        node = (self.root.mapping or {}).get("study")
        if node is not None:
            self._check_name(node.plain, node.place, "study")
            if node.value in RESERVED_STUDY_NAMES:
                self.problems.add(node.place, "study", f"{node.value!r} is the folder of shared stages; choose another")
        return str(node.plain) if node else ""

    def _check_name(self, name: object, place: Place, path: str) -> None:
        """Names become folders and words in tables."""
        if isinstance(name, bool) or (isinstance(name, str) and name.lower() in AMBIGUOUS):
            said = f"must be a name, but {shown(name)} is a word that YAML readers take for true, false or null"
            self.problems.add(place, path, f"{said}; choose another")
        elif not isinstance(name, str):
            self.problems.add(
                place, path, f"must be a name, but got {shown(name)}; begin with a letter or put it in quotes"
            )
        elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            said = f"must be 1 to 64 letters, digits, _, - or . and begin with a letter or digit, but got {shown(name)}"
            self.problems.add(place, path, f"{said}; it names a folder")

    def _studies(self) -> Path:
        field = StudyFile.model_fields["studies"]
        node = (self.root.mapping or {}).get("studies")
        given = read_value(node, field, "studies", self.problems) if node else None
        name = given.value if given else field.default
        folder = Path(os.path.abspath(self.folder / os.path.expanduser(name)))
        try:
            usable = name.isprintable() and (folder.is_dir() or not folder.exists())
        except OSError:  # too long for the system
            usable = False
        if not usable:
            said = f"must be a folder, or the name of a new one, but {shown(name)} is neither; choose another"
            self.problems.add(self.place("studies"), "studies", said)
        return folder

    def _wants_equal_architectures(self) -> bool:
        name = "equal_architectures"
        node = (self.root.mapping or {}).get(name)
        given = read_value(node, StudyFile.model_fields[name], name, self.problems) if node else None
        return bool(given and given.value)

    def _built(self, name: str, config: type, given: dict[str, Any] | None = None) -> Any:
        """A section of fixed keys; its defaults where it is wrong, so that checking can go on."""
        section = read_fields(self._node(name), config, name, self.problems)
        values = {**(given or {}), **section.values}
        return config.model_validate(values)

    def _search(self) -> SearchConfig:
        node = self._node("search")
        section = read_fields(node, SearchConfig, "search", self.problems, (*OBJECTIVE_KEYS, "objectives"))
        values = section.values
        objectives = self._objectives(node)
        if objectives:
            values["objectives"] = objectives
            if len(objectives) > 1:
                values.setdefault("pruner", "none")
        return SearchConfig.model_validate(values)

    def _objectives(self, node: Node) -> tuple[Objective, ...]:
        """The objectives; a single one may stand as `metric` and `direction` in `search` itself."""
        entries = node.mapping or {}
        listed = entries.get("objectives")
        alone = {key: entries[key] for key in OBJECTIVE_KEYS if key in entries}
        if listed is None:
            only = Node(alone, node.place, {key: node.keys[key] for key in alone})
            return self._objective(only, "search") if alone else ()
        if alone:
            key = next(iter(alone))
            message = f"{key!r} and 'objectives' say the same thing; keep one of them"
            self.problems.add(node.keys[key], join("search", key), message)
        if not isinstance(listed.value, list) or not listed.value:
            message = f"must be a list of {{metric, direction}}, but got {shown(listed.plain)}; put [ ] around it"
            self.problems.add(listed.place, "search.objectives", message)
            return ()
        found = [self._objective(item, f"search.objectives.{index}") for index, item in enumerate(listed.value)]
        return tuple(objective for one in found for objective in one)

    def _objective(self, node: Node, path: str) -> tuple[Objective, ...]:
        if isinstance(node.value, str):  # a bare metric
            node = Node({"metric": node}, node.place, {"metric": node.place})
        values = read_fields(node, Objective, path, self.problems).values
        if "direction" not in values:
            try:
                values["direction"] = metric_direction(values.get("metric", Objective().metric))
            except ValueError:
                pass  # `check_objectives` says so
        return (Objective(**values),)

    def _arms(self, search: SearchConfig) -> list[Draft]:
        """The arms that can be made sense of."""
        study: dict[str, Section | None] = {}
        for part in ARM_SECTIONS:
            node = (self.root.mapping or {}).get(part)
            fixed = part in ("training", "pretraining")
            if node is None and fixed:
                study[part] = Section(TrainingConfig, {}, self.root.place, part)
            else:
                study[part] = read_part(node, part, part, None, self.problems) if node else None
        training, pretraining = study["training"], study["pretraining"]
        assert training is not None and pretraining is not None
        metric = search.objectives[0].metric
        if "monitor" not in training.given and metric in VALIDATION_METRICS:
            training.given["monitor"] = GivenValue(metric, training.place, "training.monitor")
        study["pretraining"] = training.changed_by(pretraining)
        shared = (self.root.mapping or {}).get("space")
        drafts: list[Draft] = []
        members = self._members(study["data"])
        for name, member in members.items():
            draft = read_arm(name, member, study, shared, self.problems)
            drafts += [self._with_places_of_files(draft)] if draft else []
        if shared is not None and len(drafts) == len(members):
            check_shared_names(shared, drafts, self.problems)
        return drafts

    def _members(self, data: Section | None) -> dict[str, Member]:
        """The arms, each as often as `pairs` says."""
        arms, node = self._arm_nodes(), (self.root.mapping or {}).get("pairs")
        config = data.config if data and issubclass(data.config, DataConfig) else None
        pairs = read_pairs(node, config, self.problems) if node else {}
        if config is None or not pairs:
            return {name: Member(name, arm) for name, arm in arms.items()}
        model = (self._node("student").mapping or {}).get("model")
        return expand(arms, pairs, config, model.plain if model else None, self.problems)

    def _with_places_of_files(self, draft: Draft) -> Draft:
        """The draft with every relative place of raw files taken from the file's folder."""
        data = draft.sections.get("data")
        if data is None or not issubclass(data.config, DataConfig):
            return draft
        given = {
            name: one._replace(value=os.path.abspath(self.folder / os.path.expanduser(one.value)))
            for name in data.config.location
            if (one := data.given.get(name)) and isinstance(one.value, str)
        }
        sections = {**draft.sections, "data": data._replace(given={**data.given, **given})}
        return draft._replace(sections=sections)

    def _arm_nodes(self) -> dict[str, Node]:
        """The arms as written, and before them the arm `none` where the file leaves room for it."""
        node = (self.root.mapping or {}).get("arms")
        entries = entries_of(node, "arms", self.problems) if node else {}
        if node and node.mapping == {}:
            self.problems.add(node.place, "arms", "must hold one arm or more; add for example `none: {method: none}`")
        for name in entries:
            self._check_name(name, node.keys[name] if node else self.root.place, join("arms", name))
        methods = {name: arm.plain.get("method", name) if arm.mapping else name for name, arm in entries.items()}
        baseline = self._node("report").plain.get("baseline") if self._node("report").mapping else None
        if entries and "none" not in methods.values() and "none" not in entries and baseline in (None, "none"):
            return {"none": Node({}, node.place if node else self.root.place), **entries}
        return entries

    def _tracking(self, name: str, studies: Path) -> TrackingConfig:
        defaults = {"uri": f"sqlite:///{studies}/mlflow.db", "experiment": name or "study"}
        tracking: TrackingConfig = self._built("tracking", TrackingConfig, defaults)
        scheme, _, rest = tracking.uri.partition(":")
        if scheme.split("+")[0] not in TRACKING_SCHEMES:
            said = f"must be an address or a database, but got {tracking.uri!r}, and MLflow gives up its file store"
            remedy = "write for example sqlite:///mlflow.db or http://host:5000"
            self.problems.add(self.place("tracking.uri"), "tracking.uri", f"{said}; {remedy}")
        if scheme == "sqlite" and rest.startswith("///") and not rest.startswith("////"):
            path = os.path.abspath(self.folder / rest.removeprefix("///"))
            return tracking.model_copy(update={"uri": f"sqlite:///{path}"})
        return tracking

    def _report(self, drafts: list[Draft]) -> ReportConfig:
        arms = [draft.name for draft in drafts]
        without = [draft.name for draft in drafts if draft.sections["method"].values["method"] == "none"]
        default = (without or arms or ["none"])[0]
        report: ReportConfig = self._built("report", ReportConfig, {"baseline": default})
        first = next((draft.name for draft in drafts if draft.written == report.baseline), report.baseline)
        report = report.model_copy(update={"baseline": first})
        known = [*arms, *(self._node("arms").mapping or {})]
        if known and report.baseline not in known:
            found = nearest(report.baseline, known)
            message = f"must be an arm ({', '.join(dict.fromkeys(known))}), but got {report.baseline!r}"
            place = self.place("report.baseline")
            self.problems.add(place, "report.baseline", f"{message}; did you mean {found}?" if found else message)
        if report.published is not None and (message := published_fault(report.published, arms)):
            self.problems.add(self.place("report.published"), "report.published", message)
        return report

    def _check_together(self, search: SearchConfig, resources: ResourcesConfig, drafts: list[Draft]) -> None:
        """What has to fit together."""
        built = [
            draft for draft in drafts if all([build(section, self.problems) for section in draft.sections.values()])
        ]
        whole = [draft for draft in built if draft.whole]
        for draft in whole:
            check_arm(draft, self.problems)
        if self._wants_equal_architectures():
            check_equal_architectures([draft for draft in whole if draft in built], self.problems)
        check_divisible(resources.workers, whole, self.problems)
        check_objectives(search, self.place, drafts, self.problems)
        check_search(search, self.place, drafts, self.problems)
        check_resources(resources, self.place, self.problems)


def resolved(draft: Draft, evaluate: tuple[EvaluationConfig, ...] = ()) -> Arm:
    """The arm that a draft without problems describes."""
    values = {part: section.values for part, section in draft.sections.items()}
    for name in draft.space:
        part, key = target(draft, name).split(".")
        values[part][key] = anchor(draft, name)
    space = {name: swept.domain for name, swept in draft.space.items()}
    spectrum = next((swept.rule for swept in draft.space.values() if swept.rule), None)
    base = TrialConfig.model_validate({**values, "evaluate": evaluate})
    return Arm(name=draft.name, base=base, space=space, spectrum=spectrum, written=draft.written)
