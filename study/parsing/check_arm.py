"""Checks of one arm: it is tried as it stands, and at every edge of its space, before anything runs."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import torch
from pydantic import BaseModel, ValidationError

from search_spaces.domains import Choice, IntRange, Value
from search_spaces.explain import words_for
from study.parsing.arms import Draft, resolve, target
from study.parsing.problems import Place, Problems
from trainables.config import Incompatibility, TrainingConfig, TrialConfig, incompatibilities
from trainables.data import DATASETS
from trainables.data.common.base import DataConfig, DataShape
from trainables.models import MODELS
from trainables.models.base import InputShape, ModelConfig
from trainables.tasks import TASKS

MAX_PAIRS = 2000
"""Pairs of endpoints that are tried together in one arm, so that a huge space is still checked quickly."""

NETWORKS = ("teacher", "student")

Point = dict[str, Value]


class Edge(NamedTuple):
    """One endpoint or choice of one hyperparameter."""

    name: str
    value: Value
    place: Place
    path: str


def check_arm(draft: Draft, problems: Problems) -> None:
    """Try the arm as it stands, then each edge of its space, then every two edges together."""
    start = {name: anchor(draft, name) for name in draft.space}
    base = faults_at(draft, start)
    for fault in base:
        place, path = where(draft, fault.path)
        problems.add(place, path, fault.message)
    known = {fault.path for fault in base}
    edges = [Edge(name, *edge, swept.path) for name, swept in draft.space.items() for edge in swept.endpoints()]
    good: list[Edge] = []
    for edge in edges:
        faults = [fault for fault in faults_at(draft, start | {edge.name: edge.value}) if fault.path not in known]
        note(draft, faults, [edge], problems)
        if not faults:
            good.append(edge)
    pairs = [pair for pair in combinations(good, 2) if pair[0].name != pair[1].name]
    for pair in pairs[:MAX_PAIRS]:
        faults = faults_at(draft, start | {edge.name: edge.value for edge in pair})
        note(draft, [fault for fault in faults if fault.path not in known], list(pair), problems)


def anchor(draft: Draft, name: str) -> Value:
    """The value at which a swept hyperparameter stands while others are tried: its fixed one, if that is in reach."""
    found = resolve(draft.sections, name)
    assert found is not None
    _, field, path = found
    part, key = path.split(".")
    given = draft.sections[part].given.get(key)
    value = given.value if given else field.default
    domain = draft.space[name].domain
    if isinstance(value, bool | int | float | str) and domain.contains(value):
        return value
    return domain.options[0] if isinstance(domain, Choice) else domain.low


def note(draft: Draft, faults: Iterable[Incompatibility], edges: list[Edge], problems: Problems) -> None:
    """Report what is wrong at some edges, at the edge that the fault is about, else at the first."""
    for fault in faults:
        own = [edge for edge in edges if target(draft, edge.name) == fault.path]
        edge = (own or edges)[0]
        message = (
            fault.message if own else f"with {edge.value!r} here, {fault.path.removeprefix('method.')}: {fault.message}"
        )
        problems.add(edge.place, edge.path, message)


def where(draft: Draft, path: str) -> tuple[Place, str]:
    """Where a user can change the value at `path` of a trial."""
    part, _, key = path.partition(".")
    for swept_name, swept in draft.space.items():
        if target(draft, swept_name) == path:
            return swept.node.place, swept.path
    section = draft.sections[part]
    given = section.given.get(key)
    if given:
        return given.place, given.path
    return section.place, f"{section.path}.{key}" if key else section.path


def faults_at(draft: Draft, point: Point) -> list[Incompatibility]:
    """Everything wrong with the trial at one point of the arm's space."""
    values = {part: dict(section.values) for part, section in draft.sections.items()}
    for name, value in point.items():
        part, key = target(draft, name).split(".")
        values[part][key] = value
    parts = {}
    for part, section in draft.sections.items():
        try:
            parts[part] = section.config.model_validate(values[part])
        except ValidationError as error:
            return [faulty(part, detail["loc"], words_for(detail)) for detail in error.errors(include_url=False)]
    config = TrialConfig.model_construct(seed=0, **parts)
    return incompatibilities(config) + data_faults(config) + monitor_faults(config)


def faulty(part: str, location: tuple[str | int, ...], message: str) -> Incompatibility:
    """A fault inside one part of a trial."""
    return Incompatibility(path=f"{part}.{location[0]}" if location else part, message=message)


def monitor_faults(config: TrialConfig) -> list[Incompatibility]:
    """`monitor` must be a validation metric."""
    keys = [f"val/{name}" for name in TASKS[config.data.task].metrics]
    return [
        faulty(
            part,
            ("monitor",),
            f"must be one of {', '.join(keys)}, but got {training.monitor!r}",
        )
        for part, training in (("training", config.training), ("pretraining", config.pretraining))
        if training.monitor not in keys
    ]


def data_faults(config: TrialConfig) -> list[Incompatibility]:
    """What does not fit the data: missing files, empty splits, batches beyond the data, networks of another shape."""
    shape = data_shape(config.data)  # pyright: ignore[reportArgumentType] - frozen, so hashable
    if isinstance(shape, str):
        return [faulty("data", (), shape)]
    found = [
        faulty("data", (split,), f"the {split} split would hold {size} pairs; it needs at least 1")
        for split, size in (("train", shape.train), ("val", shape.val), ("test", shape.test))
        if size < 1
    ]
    for part in ("training", "pretraining"):
        training: TrainingConfig = getattr(config, part)
        if training.batch_size > shape.train:
            message = f"{training.batch_size} is larger than the {shape.train} training pairs; choose a smaller batch"
            found.append(faulty(part, ("batch_size",), message))
    for part, model, inputs in (("teacher", config.teacher, shape.teacher), ("student", config.student, shape.student)):
        seen = (shape.teacher, shape.student) if model.sees == "both" else inputs
        message = model_fault(model, seen, shape.num_classes)  # pyright: ignore[reportArgumentType]
        if message:
            found.append(faulty(part, (), message))
    return found


@lru_cache(maxsize=256)
def data_shape(data: DataConfig) -> DataShape | str:
    """What the data set will deliver, or why it will not."""
    try:
        return DATASETS[data.kind].shape(data)
    except (ValueError, OSError) as error:
        return str(error)


@lru_cache(maxsize=256)
def model_fault(model: ModelConfig, inputs: InputShape, num_classes: int) -> str | None:
    """Why a network cannot be built for these inputs, or None. Nothing is allocated to find out."""
    try:
        with torch.device("meta"):
            MODELS[model.kind].build(model, inputs, num_classes)
    except ValueError as error:
        return str(error)
    return None


def check_equal_architectures(drafts: list[Draft], problems: Problems) -> None:
    """Teacher and student must be the same network; a student that sees both modalities has no counterpart."""
    for draft in drafts:
        teacher, student = (draft.sections[part] for part in NETWORKS)
        if issubclass(student.config, ModelConfig) and student.config.sees == "both":
            continue
        alone = [swept for name, swept in draft.space.items() if target(draft, name).split(".")[0] in NETWORKS]
        for swept in alone:
            message = "equal_architectures: cannot be swept for one of the networks alone; make an arm for each value"
            problems.add(swept.node.place, swept.path, message)
        teacher, student = (part.config.model_validate(part.values) for part in (teacher, student))
        if not alone and (fault := difference(teacher, student)):
            problems.add(*where(draft, fault.path), fault.message)


def difference(teacher: BaseModel, student: BaseModel) -> Incompatibility | None:
    """The first field in which two networks differ."""
    theirs, own = teacher.model_dump(mode="json"), student.model_dump(mode="json")
    for name in sorted(own, key=lambda name: name != "model"):
        if theirs.get(name) != own[name]:
            given = f"must be the teacher's, {theirs.get(name)!r}, but got {own[name]!r}"
            return faulty("student", (name,), f"equal_architectures: {given}; change one of the two networks")
    return None


def check_divisible(workers: int, drafts: list[Draft], problems: Problems) -> None:
    """Workers share each batch evenly."""
    if workers <= 1:
        return
    for draft in drafts:
        for part in ("training", "pretraining"):
            name = next((name for name in draft.space if target(draft, name) == f"{part}.batch_size"), None)
            if name is None:
                given = draft.sections[part].given.get("batch_size")
                size = given.value if given else TrainingConfig.model_fields["batch_size"].default
                wrong = [(size, *where(draft, f"{part}.batch_size"))]
            else:
                swept = draft.space[name]
                wrong = [(value, place, swept.path) for value, place in swept.endpoints()]
                if (
                    isinstance(swept.domain, IntRange)
                    and swept.domain.step % workers
                    and swept.domain.low < swept.domain.high
                ):
                    path = swept.path
                    problems.add(
                        swept.node.place,
                        path,
                        f"must hold only multiples of the {workers} workers; list them, or set step: {workers}",
                    )
            for value, place, path in wrong:
                if value % workers:
                    message = (
                        f"must be a multiple of the {workers} workers, but got {value}; workers share each batch evenly"
                    )
                    problems.add(place, path, message)
