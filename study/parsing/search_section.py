"""Reads `search` of a study file, with its objectives."""

from search_spaces.explain import shown
from study.config.study_config import Objective, SearchConfig
from study.config.study_file import OBJECTIVE_KEYS
from study.parsing.problems import Problems
from study.parsing.sections import read_fields
from study.parsing.yaml_tree import Node, join
from trainables.tasks import metric_direction


def read_search(root: Node, problems: Problems) -> SearchConfig:
    """How the study searches. A pruner is off by default if there are several objectives."""
    node = root.section("search")
    values = read_fields(node, SearchConfig, "search", problems, (*OBJECTIVE_KEYS, "objectives")).values
    if objectives := read_objectives(node, problems):
        values["objectives"] = objectives
        if len(objectives) > 1:
            values.setdefault("pruner", "none")
    return SearchConfig.model_validate(values)


def read_objectives(node: Node, problems: Problems) -> tuple[Objective, ...]:
    """The objectives, none for the default. A single one may be written as `metric` and `direction` in `search`."""
    entries = node.mapping or {}
    listed = entries.get("objectives")
    single = {key: entries[key] for key in OBJECTIVE_KEYS if key in entries}
    if listed is None:
        only = Node(single, node.place, {key: node.keys[key] for key in single})
        return (read_objective(only, "search", problems),) if single else ()
    if single:
        key = next(iter(single))
        message = f"{key!r} and 'objectives' both set the objective; keep one of them"
        problems.add(node.keys[key], join("search", key), message)
    if not isinstance(listed.value, list) or not listed.value:
        message = f"must be a list of {{metric, direction}}, but got {shown(listed.plain)}; put [ ] around it"
        problems.add(listed.place, "search.objectives", message)
        return ()
    items = enumerate(listed.value)
    return tuple(read_objective(item, f"search.objectives.{index}", problems) for index, item in items)


def read_objective(node: Node, path: str, problems: Problems) -> Objective:
    """One objective, written as a mapping or as the metric alone."""
    if isinstance(node.value, str):
        node = Node({"metric": node}, node.place, {"metric": node.place})
    values = read_fields(node, Objective, path, problems).values
    if "direction" not in values:
        try:
            values["direction"] = metric_direction(values.get("metric", Objective().metric))
        except ValueError:
            pass  # `check_objectives` reports it
    return Objective(**values)
