"""Checks one arm before anything runs: its fixed values, every edge of its space, and edges in pairs."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ValidationError

from search_spaces.domains import Choice, IntRange, Value
from search_spaces.explain import words_for
from study.parsing.drafts import ArmDraft
from study.parsing.problems import Place, Problems
from trainables.config import Incompatibility, TrainingConfig, TrialConfig, incompatibilities
from trainables.data import DATASETS
from trainables.data.common.base import DataConfig, DataShape
from trainables.models import MODELS
from trainables.models.base import InputShape, ModelConfig
from trainables.tasks import TASKS

MAX_PAIRS = 2000
"""Pairs of edges that are tried together in one arm, so that a huge space is still checked quickly."""

NETWORKS = ("teacher", "student")

Point = dict[str, Value]
"""Values of swept hyperparameters by canonical name."""


class Edge(NamedTuple):
    """One endpoint or choice of one hyperparameter."""

    name: str
    value: Value
    place: Place
    path: str


def check_arm(draft: ArmDraft, problems: Problems) -> None:
    """Check the arm at its fixed values, then at each edge of its space, then at every two edges together."""
    start = {name: anchor(draft, name) for name in draft.space}
    base = faults_at(draft, start)
    for fault in base:
        place, path = draft.place_of(fault.path)
        problems.add(place, path, fault.message)
    known = {fault.path for fault in base}
    edges = [Edge(name, *edge, entry.path) for name, entry in draft.space.items() for edge in entry.endpoints()]
    good: list[Edge] = []
    for edge in edges:
        faults = [fault for fault in faults_at(draft, start | {edge.name: edge.value}) if fault.path not in known]
        report_faults(draft, faults, [edge], problems)
        if not faults:
            good.append(edge)
    pairs = [pair for pair in combinations(good, 2) if pair[0].name != pair[1].name]
    for pair in pairs[:MAX_PAIRS]:
        faults = faults_at(draft, start | {edge.name: edge.value for edge in pair})
        report_faults(draft, [fault for fault in faults if fault.path not in known], list(pair), problems)


def anchor(draft: ArmDraft, name: str) -> Value:
    """The value of a swept hyperparameter while others are tried: its fixed value, if that is in its domain."""
    value = draft.fixed_value(draft.trial_path(name))
    domain = draft.space[name].domain
    if isinstance(value, bool | int | float | str) and domain.contains(value):
        return value
    return domain.options[0] if isinstance(domain, Choice) else domain.low


def report_faults(draft: ArmDraft, faults: Iterable[Incompatibility], edges: list[Edge], problems: Problems) -> None:
    """Report the faults of a trial, each at the edge that it is about, or at the first edge.

    Args:
        draft: The arm.
        faults: The faults of the trial.
        edges: The edges that the trial was tried at.
        problems: Receives the faults.
    """
    for fault in faults:
        own = [edge for edge in edges if draft.trial_path(edge.name) == fault.path]
        edge = (own or edges)[0]
        context = "" if own else f"with {edge.value!r} here, {fault.path.removeprefix('method.')}: "
        problems.add(edge.place, edge.path, context + fault.message)


def faults_at(draft: ArmDraft, point: Point) -> list[Incompatibility]:
    """Everything wrong with the trial at one point of the arm's space."""
    values = {part: dict(section.values) for part, section in draft.sections.items()}
    for name, value in point.items():
        part, key = draft.trial_path(name).split(".")
        values[part][key] = value
    parts: dict[str, Any] = {}
    for part, section in draft.sections.items():
        try:
            parts[part] = section.config.model_validate(values[part])
        except ValidationError as error:
            return [fault_in(part, detail["loc"], words_for(detail)) for detail in error.errors(include_url=False)]
    config = TrialConfig.model_construct(seed=0, **parts)
    return incompatibilities(config) + data_faults(config) + monitor_faults(config)


def fault_in(part: str, location: tuple[str | int, ...], message: str) -> Incompatibility:
    """A fault inside one part of a trial.

    Args:
        part: The part, such as `training`.
        location: Path of the field inside the part; empty for the whole part.
        message: Rule, value and remedy.
    """
    return Incompatibility(path=f"{part}.{location[0]}" if location else part, message=message)


def monitor_faults(config: TrialConfig) -> list[Incompatibility]:
    """`monitor` must be a validation metric."""
    keys = [f"val/{name}" for name in TASKS[config.data.task].metrics]
    return [
        fault_in(
            part,
            ("monitor",),
            f"must be one of {', '.join(keys)}, but got {training.monitor!r}",
        )
        for part, training in (("training", config.training), ("pretraining", config.pretraining))
        if training.monitor not in keys
    ]


def data_faults(config: TrialConfig) -> list[Incompatibility]:
    """Missing files, empty splits, batches larger than the data, and networks that do not fit its shape."""
    shape = data_shape(config.data)  # pyright: ignore[reportArgumentType] - frozen, so hashable
    if isinstance(shape, str):
        return [fault_in("data", (), shape)]
    found = [
        fault_in(
            "data",
            (split,),
            f"the {split} split must have at least 1 pair, but would have {size}; change the split sizes",
        )
        for split, size in (("train", shape.train), ("val", shape.val), ("test", shape.test))
        if size < 1
    ]
    for part in ("training", "pretraining"):
        training: TrainingConfig = getattr(config, part)
        if training.batch_size > shape.train:
            message = f"{training.batch_size} is larger than the {shape.train} training pairs; choose a smaller batch"
            found.append(fault_in(part, ("batch_size",), message))
    for part, model, inputs in (("teacher", config.teacher, shape.teacher), ("student", config.student, shape.student)):
        seen = (shape.teacher, shape.student) if model.sees == "both" else inputs
        message = model_fault(model, seen, shape.num_classes)  # pyright: ignore[reportArgumentType]
        if message:
            found.append(fault_in(part, (), message))
    return found


@lru_cache(maxsize=256)
def data_shape(data: DataConfig) -> DataShape | str:
    """Sizes and shapes of the data set, or why it cannot be read."""
    try:
        return DATASETS[data.kind].shape(data)
    except (ValueError, OSError) as error:
        return str(error)


@lru_cache(maxsize=256)
def model_fault(model: ModelConfig, inputs: InputShape, num_classes: int) -> str | None:
    """Why a network cannot be built for these inputs, or None. No memory is allocated for the check.

    Args:
        model: The network.
        inputs: Shape of its inputs.
        num_classes: Number of classes.
    """
    try:
        with torch.device("meta"):
            MODELS[model.kind].build(model, inputs, num_classes)
    except ValueError as error:
        return str(error)
    return None


def check_equal_architectures(drafts: list[ArmDraft], problems: Problems) -> None:
    """Teacher and student must be the same network. A student that sees both modalities is not checked."""
    for draft in drafts:
        teacher, student = (draft.sections[part] for part in NETWORKS)
        if issubclass(student.config, ModelConfig) and student.config.sees == "both":
            continue
        swept = [entry for name, entry in draft.space.items() if draft.trial_path(name).split(".")[0] in NETWORKS]
        for entry in swept:
            message = "equal_architectures: cannot be swept for one network only; make an arm for each value"
            problems.add(entry.node.place, entry.path, message)
        teacher, student = (part.config.model_validate(part.values) for part in (teacher, student))
        if not swept and (fault := difference(teacher, student)):
            problems.add(*draft.place_of(fault.path), fault.message)


def difference(teacher: BaseModel, student: BaseModel) -> Incompatibility | None:
    """The first field in which two networks differ."""
    expected, values = teacher.model_dump(mode="json"), student.model_dump(mode="json")
    for name in sorted(values, key=lambda name: name != "model"):
        if expected.get(name) != values[name]:
            rule = f"must equal the teacher's {expected.get(name)!r}, but got {values[name]!r}"
            return fault_in("student", (name,), f"equal_architectures: {rule}; change one of the two networks")
    return None


def check_divisible(workers: int, drafts: list[ArmDraft], problems: Problems) -> None:
    """Check that every batch size is a multiple of the number of workers.

    Args:
        workers: Number of workers of a trial.
        drafts: The arms.
        problems: Receives what is wrong.
    """
    if workers <= 1:
        return
    for draft in drafts:
        for part in ("training", "pretraining"):
            for size, place, path in batch_sizes(draft, f"{part}.batch_size", workers, problems):
                if size % workers:
                    rule = f"must be a multiple of the {workers} workers, but got {size}"
                    fix = f"use {size - size % workers + workers}, because workers share each batch evenly"
                    problems.add(place, path, f"{rule}; {fix}")


def batch_sizes(draft: ArmDraft, path: str, workers: int, problems: Problems) -> Iterator[tuple[int, Place, str]]:
    """The batch size at `path` of a trial, or those at the edges of its domain, each with its place and path.

    Args:
        draft: The arm.
        path: `training.batch_size` or `pretraining.batch_size`.
        workers: Number of workers. A range with sizes between its ends that they cannot share is reported.
        problems: Receives what is wrong.
    """
    entry = next((entry for name, entry in draft.space.items() if draft.trial_path(name) == path), None)
    if entry is None:
        yield int(str(draft.fixed_value(path))), *draft.place_of(path)
        return
    domain = entry.domain
    if isinstance(domain, IntRange) and domain.step % workers and domain.low < domain.high:
        message = f"must contain only multiples of the {workers} workers; list them, or set step: {workers}"
        problems.add(entry.node.place, entry.path, message)
    for size, place in entry.endpoints():
        yield int(size), place, entry.path
