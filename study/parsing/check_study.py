"""Checks of a whole study: objectives, sampler and pruner, criterion, resources."""

import os
import re

import torch

from search_spaces.domains import Choice
from search_spaces.explain import nearest
from study.config.criterion import CriterionConfig
from study.config.study_config import Objective, ResourcesConfig, SearchConfig
from study.parsing.drafts import ArmDraft
from study.parsing.problems import Problems
from study.parsing.yaml_tree import Node, join
from trainables.data.common.base import DataConfig
from trainables.methods import METHODS
from trainables.mi import ESTIMATORS
from trainables.stages.criterion import has_classes
from trainables.tasks import TASKS, Task, epoch_keys, metric_direction

LARGEST_GRID = 100_000
"""Largest number of configurations in the grid of one arm."""


def check_objectives(search: SearchConfig, root: Node, drafts: list[ArmDraft], problems: Problems) -> None:
    """Check every objective (see `check_objective`).

    Args:
        search: The search section.
        root: The whole file.
        drafts: The arms.
        problems: Receives what is wrong.
    """
    single = root.section("search").entry("metric") is not None
    for index, objective in enumerate(search.objectives):
        check_objective(objective, "search" if single else f"search.objectives.{index}", root, drafts, problems)


def check_objective(objective: Objective, path: str, root: Node, drafts: list[ArmDraft], problems: Problems) -> None:
    """Check that every arm reports the metric, that it is no test metric, and that the direction is right.

    Args:
        objective: The objective as it was read.
        path: Dotted path of the mapping that contains its `metric` and `direction`.
        root: The whole file.
        drafts: The arms, each of which must report the metric.
        problems: Receives what is wrong.
    """
    metric, metric_path = objective.metric, join(path, "metric")
    place = root.place_of(metric_path)
    if metric.startswith("test/"):
        rule = f"must not be a test metric, because those are measured after the choice, but got {metric!r}"
        problems.add(place, metric_path, f"{rule}; use val/{metric.removeprefix('test/')}")
        return
    try:
        direction = metric_direction(metric)
    except ValueError:
        problems.add(place, metric_path, no_objective(metric, drafts))
        return
    silent = [draft.name for draft in drafts if metric not in reported(draft)]
    if silent:
        missing = f"every arm must report the metric, but {' and '.join(map(repr, silent))} does not report"
        start = "no arm reports" if len(silent) == len(drafts) else missing
        problems.add(place, metric_path, f"{start} {metric!r}; use for example {usual_metric(drafts)}")
    if objective.direction != direction:
        message = f"must be {direction} for {metric}, but got {objective.direction}; remove it, or write {direction}"
        problems.add(root.place_of(join(path, "direction")), join(path, "direction"), message)


def no_objective(metric: str, drafts: list[ArmDraft]) -> str:
    """The message about a metric that has no better direction: it measures no quality, or no arm reports it."""
    known = all_metrics(drafts)
    if metric in known:
        return f"must be a metric of quality, but got {metric!r}; use for example {usual_metric(drafts)}"
    guess = nearest(metric, known)
    remedy = f"did you mean {guess}?" if guess else f"use for example {usual_metric(drafts)}"
    return f"no arm reports {metric!r}; {remedy}"


def reported(draft: ArmDraft) -> set[str]:
    """Metrics that an arm reports after every epoch."""
    values = draft.sections["method"].values
    return epoch_keys(task_of(draft), METHODS[str(values["method"])].config.terms_of(values))


def task_of(draft: ArmDraft) -> Task:
    """The task of an arm's data; classification if the data are not valid."""
    return TASKS[task_name(draft) or "classification"]


def task_name(draft: ArmDraft) -> str | None:
    """The name of the task of an arm's data; None if the data are not valid."""
    data = draft.sections.get("data")
    if data is None or not issubclass(data.config, DataConfig):
        return None
    return data.config.task_of({name: given.value for name, given in data.fields.items()})


def usual_metric(drafts: list[ArmDraft]) -> str:
    """The first validation metric that the arms report."""
    return f"val/{next(iter(task_of(drafts[0]).metrics))}" if drafts else "val/accuracy"


def all_metrics(drafts: list[ArmDraft]) -> list[str]:
    """Every metric that some arm reports."""
    return sorted(
        {key for draft in drafts for key in reported(draft)}
        or {f"val/{name}" for name in TASKS["classification"].metrics}
    )


def check_search(search: SearchConfig, root: Node, drafts: list[ArmDraft], problems: Problems) -> None:
    """Check that sampler and pruner support the objectives and the spaces.

    Args:
        search: The search section.
        root: The whole file.
        drafts: The arms.
        problems: Receives what is wrong.
    """
    several = len(search.objectives) > 1
    metrics = [objective.metric for objective in search.objectives]
    if len(set(metrics)) < len(metrics):
        problems.add(
            root.place_of("search.objectives"),
            "search.objectives",
            f"each metric may be listed once, but got {metrics!r}; remove one",
        )
    if several and search.pruner != "none":
        message = f"{search.pruner} takes one objective, but got {', '.join(metrics)}; set pruner: none"
        problems.add(root.place_of("search.pruner"), "search.pruner", message)
    if search.sampler == "grid":
        check_grids(drafts, problems)
    if search.sampler == "cmaes":
        place = root.place_of("search.sampler")
        if several:
            problems.add(place, "search.sampler", f"cmaes takes one objective, but there are {len(metrics)}; use tpe")
        elif drafts and not any(ranges(draft) >= 2 for draft in drafts):
            rule = "cmaes needs an arm that sweeps two or more ranges, but there is none"
            message = f"{rule}; use tpe, or ranges in place of lists"
            problems.add(place, "search.sampler", message)


def check_grids(drafts: list[ArmDraft], problems: Problems) -> None:
    """Check that every grid is finite and has at most LARGEST_GRID configurations."""
    for draft in drafts:
        count = 1
        for swept in draft.space.values():
            size = swept.domain.size()
            count *= size or 1
            if size is None:
                message = "a grid needs values to try, but this range has no step; list the values or give `step`"
                problems.add(swept.node.place, swept.path, message)
        if count > LARGEST_GRID:
            message = (
                f"a grid may have {LARGEST_GRID} configurations, but this one would have {count}; list fewer values"
            )
            problems.add(draft.place, f"{draft.path}.space", message)


def ranges(draft: ArmDraft) -> int:
    """Number of the arm's hyperparameters that are swept over a range."""
    return sum(not isinstance(swept.domain, Choice) for swept in draft.space.values())


def check_criterion(criterion: CriterionConfig, root: Node, drafts: list[ArmDraft], problems: Problems) -> None:
    """Check that the gate does not use the test pairs, and that every estimator can compute both terms.

    Args:
        criterion: The criterion section.
        root: The whole file.
        drafts: The arms.
        problems: Receives what is wrong.
    """
    path = "criterion.split"
    if criterion.action == "gate" and criterion.split == "test":
        rule = "must be val with `action: gate`, because the test pairs must not affect what is run"
        message = f"{rule}, but got 'test'; write val"
        problems.add(root.place_of(path), path, message)
    for task in sorted({task for draft in drafts if (task := task_name(draft))}):
        path = "criterion.estimator"
        try:
            target = "discrete" if has_classes(task) else "continuous"
        except ValueError as error:
            problems.add(root.place_of("criterion"), "criterion", f"{error}; leave `criterion` out")
            continue
        for config in (criterion.estimator, *criterion.compare):
            if target not in ESTIMATORS[config.kind].targets:
                able = [name for name, entry in ESTIMATORS.items() if {"continuous", target} <= set(entry.targets)]
                message = f"{config.kind!r} cannot estimate I(H2;Y) of {task}; use {' or '.join(able)}"
                problems.add(root.place_of(path), path, message)
                path = "criterion.compare"


def check_resources(resources: ResourcesConfig, root: Node, problems: Problems) -> None:
    """Check that this machine has the resources for a local Ray. The size of a cluster is not known here.

    Args:
        resources: The resources section.
        root: The whole file.
        problems: Receives what is wrong.
    """
    for name, amount in (("cpus", resources.cpus), ("gpus", resources.gpus)):
        if amount > 1 and amount != int(amount):
            path = f"resources.{name}"
            problems.add(
                root.place_of(path),
                path,
                f"must be a whole number if it is above 1, but got {amount:g}; use {int(amount)} or {int(amount) + 1}",
            )
    if resources.workers > 1 and resources.pack not in ("auto", 1):
        message = f"must be auto or 1 with several workers, but got {resources.pack}; remove it, or set workers: 1"
        problems.add(root.place_of("resources.pack"), "resources.pack", message)
    if resources.ray != "auto":
        if not re.fullmatch(r"(ray://)?[A-Za-z0-9_.\-\[\]:]+:\d{1,5}", resources.ray):
            message = f"must be auto or an address such as 10.0.0.1:6379 or ray://head:10001, but got {resources.ray!r}"
            problems.add(root.place_of("resources.ray"), "resources.ray", message)
        return
    ranks = resources.concurrency * max(resources.workers, 1)
    have = os.cpu_count() or 1
    if ranks * resources.cpus > have:
        path = "resources.concurrency" if resources.concurrency > 1 else "resources.workers"
        message = f"needs {product(resources, 'cpus')} CPUs, but this machine has {have}; lower one of them"
        problems.add(root.place_of(path), path, message)
    if resources.gpus > 0:
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if ranks * resources.gpus > gpus:
            remedy = "lower one of them" if gpus else "set gpus: 0"
            message = f"needs {product(resources, 'gpus')} GPUs, but this machine has {gpus or 'none'}; {remedy}"
            problems.add(root.place_of("resources.gpus"), "resources.gpus", message)


def product(resources: ResourcesConfig, name: str) -> str:
    """`concurrency 2 x workers 1 x cpus 1 = 2`."""
    workers, each = max(resources.workers, 1), getattr(resources, name)
    total = resources.concurrency * workers * each
    return f"concurrency {resources.concurrency} x workers {workers} x {name} {each:g} = {total:g}"
