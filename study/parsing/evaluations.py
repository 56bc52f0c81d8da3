"""`evaluate:` of a study file: additional data on which every trained student is measured but not trained."""

import os
from pathlib import Path

from study.parsing.check_arm import data_shape, model_fault
from study.parsing.drafts import ArmDraft
from study.parsing.problems import Problems
from study.parsing.sections import build, entries_of, read_tagged, read_value, unknown_key
from study.parsing.yaml_tree import Node, join
from trainables.config import EvaluationConfig, evaluation_fault
from trainables.data.common.base import DataConfig
from trainables.models.base import ModelConfig


def read_evaluations(node: Node | None, folder: Path, problems: Problems) -> list[tuple[EvaluationConfig, Node]]:
    """Every valid entry of the list, with its node.

    Args:
        node: the `evaluate` section, if the file has one.
        folder: the folder that paths in the entries are relative to.
        problems: receives what is wrong.
    """
    if node is None:
        return []
    if not isinstance(node.value, list):
        problems.add(node.place, "evaluate", "must be a list of {name, data}; put [ ] around it")
        return []
    found: list[tuple[EvaluationConfig, Node]] = []
    for index, item in enumerate(node.value):
        evaluation = read_evaluation(item, f"evaluate.{index}", folder, problems)
        if evaluation is None:
            continue
        if evaluation.name in {other.name for other, _ in found}:
            problems.add(item.place, f"evaluate.{index}", f"the name {evaluation.name!r} is used twice; choose another")
        found.append((evaluation, item))
    return found


def read_evaluation(node: Node, path: str, folder: Path, problems: Problems) -> EvaluationConfig | None:
    """One entry, or None with the reasons in `problems`.

    Args:
        node: the entry.
        path: its dotted path.
        folder: the folder that its paths are relative to.
        problems: receives what is wrong.
    """
    entries = entries_of(node, path, problems, "{name: other, data: {dataset: ...}}")
    known = list(EvaluationConfig.model_fields)
    for key in entries:
        if key not in known:
            problems.add(node.keys[key], join(path, key), unknown_key(key, known, path))
    for key in known:
        if key not in entries and node.mapping is not None:
            problems.add(node.place, join(path, key), "is missing; every evaluation has a name and its data")
    if "name" not in entries or "data" not in entries:
        return None
    name = read_value(entries["name"], EvaluationConfig.model_fields["name"], join(path, "name"), problems)
    section = read_tagged(entries["data"], "data", join(path, "data"), problems)
    data: DataConfig | None = build(section, problems) if section else None
    if name is None or data is None:
        return None
    places = {key: os.path.abspath(folder / os.path.expanduser(getattr(data, key))) for key in data.location}
    return EvaluationConfig(name=name.value, data=data.model_copy(update=places))


def check_evaluations(found: list[tuple[EvaluationConfig, Node]], drafts: list[ArmDraft], problems: Problems) -> None:
    """Check that the data exist and fit the students that are measured on them.

    Args:
        found: the valid entries with their nodes.
        drafts: the arms.
        problems: receives what is wrong.
    """
    for index, (evaluation, node) in enumerate(found):
        faults = dict.fromkeys(
            fault
            for draft in drafts
            if (fault := fault_with(evaluation, *(parts_of(draft))))  # the same for most arms
        )
        for fault in faults:
            problems.add(node.place, f"evaluate.{index}", fault)


def parts_of(draft: ArmDraft) -> tuple[DataConfig, ModelConfig]:
    """Data and student of a valid arm."""
    data, student = (draft.sections[part] for part in ("data", "student"))
    return data.config.model_validate(data.values), student.config.model_validate(student.values)  # pyright: ignore[reportReturnType]


def fault_with(evaluation: EvaluationConfig, data: DataConfig, student: ModelConfig) -> str | None:
    """Why a student that is trained on `data` cannot be measured on the evaluation's data, or None.

    Args:
        evaluation: the evaluation.
        data: the data set that the student is trained on.
        student: the student network.
    """
    if fault := evaluation_fault(evaluation, data):
        return fault
    own, shape = data_shape(data), data_shape(evaluation.data)  # pyright: ignore[reportArgumentType] - hashable
    if isinstance(shape, str) or isinstance(own, str):
        return shape if isinstance(shape, str) else None
    if shape.test < 1:
        return "the test split must have at least 1 row, but would have none; change the sizes of its splits"
    if shape.student[-1] > own.student[-1] and student.tasks:
        return (
            f"its captions have {shape.student[-1]} tokens, but the student is trained on {own.student[-1]}; cut them "
            "to as many"
        )
    seen = (shape.teacher, shape.student) if student.sees == "both" else shape.student
    return model_fault(student, seen, shape.num_classes)  # pyright: ignore[reportArgumentType] - hashable
