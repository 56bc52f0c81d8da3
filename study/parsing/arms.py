"""Reads the arms of a study file: the method of each, what it changes of the study, and what it sweeps."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from search_spaces.explain import nearest, not_a_choice
from search_spaces.space import names_of
from study.config.study_file import ARM_SECTIONS
from study.parsing.drafts import ArmDraft, find_hyperparameter
from study.parsing.names import absolute, check_name
from study.parsing.pairs import ArmNode, expand_pairs, read_pairs
from study.parsing.problems import Problems
from study.parsing.sections import GivenValue, Section, entries_of, read_fields, read_tagged
from study.parsing.spaces import add_shared_space, check_shared_names, read_space
from study.parsing.yaml_tree import Node, join
from trainables.config import CHOICES, TrainingConfig
from trainables.data.common.base import DataConfig
from trainables.methods import METHODS
from trainables.tasks import TASKS

VALIDATION_METRICS = {f"val/{name}" for task in TASKS.values() for name in task.metrics}
"""Values that `monitor` may have."""

Sections = dict[str, Section | None]
"""The study's sections by name; None for one that could not be read."""


def read_arms(root: Node, metric: str, folder: Path, problems: Problems) -> list[ArmDraft]:
    """The arms whose method is known, in the order of the file.

    Args:
        root: The whole file.
        metric: Metric of the first objective, which `training.monitor` follows.
        folder: Folder of the file, where relative paths of data start.
        problems: Receives what is wrong.
    """
    study = read_study_sections(root, metric, problems)
    shared = root.entry("space")
    nodes = arm_nodes(root, study["data"], problems)
    drafts: list[ArmDraft] = []
    for name, arm in nodes.items():
        if draft := read_arm(name, arm, study, shared, problems):
            drafts.append(with_absolute_paths(draft, folder))
    if shared is not None and len(drafts) == len(nodes):
        check_shared_names(shared, drafts, problems)
    return drafts


def read_study_sections(root: Node, metric: str, problems: Problems) -> Sections:
    """The study's own `data`, `teacher`, `student`, `training` and `pretraining`, which arms may change."""
    study: Sections = {}
    for part in ARM_SECTIONS:
        node = root.entry(part)
        if node is not None:
            study[part] = read_part(node, part, part, None, problems)
        else:
            study[part] = None if part in CHOICES else Section(TrainingConfig, {}, root.place, part)
    training, pretraining = study["training"], study["pretraining"]
    assert training is not None and pretraining is not None
    if "monitor" not in training.fields and metric in VALIDATION_METRICS:
        training.fields["monitor"] = GivenValue(metric, training.place, "training.monitor")
    study["pretraining"] = training.changed_by(pretraining)
    return study


def arm_nodes(root: Node, data: Section | None, problems: Problems) -> dict[str, ArmNode]:
    """The arms by name, each once for every combination of `pairs`."""
    arms = with_baseline(root, problems)
    pairs_node = root.entry("pairs")
    config = data.config if data and issubclass(data.config, DataConfig) else None
    pairs = read_pairs(pairs_node, config, problems) if pairs_node else {}
    if config is None or not pairs:
        return {name: ArmNode(name, arm) for name, arm in arms.items()}
    model = root.section("student").entry("model")
    return expand_pairs(arms, pairs, config, model.plain if model else None, problems)


def with_baseline(root: Node, problems: Problems) -> dict[str, Node]:
    """The arms as written. An arm `none` comes first if none has that method and `report.baseline` names no other."""
    node = root.entry("arms")
    if node is None:
        return {}
    entries = entries_of(node, "arms", problems)
    if node.mapping == {}:
        problems.add(node.place, "arms", "must have at least one arm; add for example `none: {method: none}`")
    for name in entries:
        check_name(name, node.keys[name], join("arms", name), problems)
    methods = [method_name(name, arm) for name, arm in entries.items()]
    baseline = root.section("report").entry("baseline")
    implied = baseline is None or baseline.plain in (None, "none")
    if entries and implied and "none" not in methods and "none" not in entries:
        return {"none": Node({}, node.place), **entries}
    return entries


def method_name(arm: str, node: Node) -> object:
    """What the file says about an arm's method, which is the arm's name by default."""
    method = node.entry("method")
    return method.plain if method else arm


def read_arm(name: str, arm: ArmNode, study: Sections, shared: Node | None, problems: Problems) -> ArmDraft | None:
    """One arm, or None (with the reason in `problems`) if its method is not known.

    Args:
        name: Name of the arm.
        arm: What the file says about it.
        study: The study's sections, which the arm may change.
        shared: The shared space, if there is one.
        problems: Receives what is wrong.
    """
    path = join("arms", arm.written)
    entries = entries_of(arm.node, path, problems, f"{{method: {arm.node.plain}}}")
    if arm.node.mapping is None:
        return None
    method = read_method(arm.written, arm.node, path, problems)
    if method is None:
        return None
    sections: dict[str, Section] = {"method": method}
    for part in ARM_SECTIONS:
        own = entries.get(part)
        change = None if own is None else read_part(own, part, join(path, part), study.get(part), problems)
        base = study.get(part)
        if merged := base.changed_by(change) if base else change:
            sections[part] = merged
    draft = ArmDraft(name, arm.node.place, sections, {}, arm.written if arm.written != name else "")
    fixed = set(fixed_names(draft, entries))
    if "space" in entries:
        read_space(draft, entries["space"], join(path, "space"), fixed, problems)
    if shared is not None:
        add_shared_space(draft, shared, fixed, problems)
    return draft


def read_method(arm: str, node: Node, path: str, problems: Problems) -> Section | None:
    """The arm's method and its fixed hyperparameters; None if the method is not known."""
    name, own = method_name(arm, node), node.entry("method")
    if not isinstance(name, str) or name not in METHODS:
        start = "" if own else "is missing, and the arm's name is no method: "
        slip = None if own else next((key for key in node.keys if nearest(key, ["method"])), None)
        if slip:
            problems.add(node.keys[slip], join(path, slip), f"unknown key {slip!r}; did you mean method?")
        else:
            place = own.place if own else node.place
            problems.add(place, join(path, "method"), start + not_a_choice(name, list(METHODS)))
        return None
    if arm == "none" and name != "none":
        problems.add(node.place, path, f"the arm `none` must have the method none, but got {name!r}; rename the arm")
    section = read_fields(node, METHODS[name].config, path, problems, (*ARM_SECTIONS, "space"))
    section.fields["method"] = GivenValue(name, node.place, join(path, "method"))
    return section


def read_part(node: Node, part: str, path: str, inherited: Section | None, problems: Problems) -> Section | None:
    """One of `ARM_SECTIONS`.

    Args:
        node: The section in the file.
        part: Name of the section.
        path: Dotted path of `node`.
        inherited: The study's section that an arm changes; it decides the fields if the arm names no other kind.
        problems: Receives what is wrong.
    """
    if part in CHOICES:
        return read_tagged(node, part, path, problems, inherited)
    return read_fields(node, TrainingConfig, path, problems)


def fixed_names(draft: ArmDraft, entries: dict[str, Node]) -> Iterator[str]:
    """Canonical names of the hyperparameters that the arm itself gives a fixed value."""
    for part, section in draft.sections.items():
        config: type[BaseModel] = section.config
        written = entries if part == "method" else (entries[part].mapping or {}) if part in entries else {}
        for key in written:
            if key in names_of(config) and (found := find_hyperparameter(draft.sections, f"{part}.{key}")):
                yield found.name


def with_absolute_paths(draft: ArmDraft, folder: Path) -> ArmDraft:
    """The draft with the locations of raw data files as absolute paths; relative ones start at `folder`."""
    data = draft.sections.get("data")
    if data is None or not issubclass(data.config, DataConfig):
        return draft
    fields = {
        name: given._replace(value=str(absolute(folder, given.value)))
        for name in data.config.location
        if (given := data.fields.get(name)) and isinstance(given.value, str)
    }
    return draft._replace(sections={**draft.sections, "data": data._replace(fields={**data.fields, **fields})})
