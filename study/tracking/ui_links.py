"""How MLflow's UI opens a study: the experiment's note, the prepared view of its runs, and links to both.

MLflow's UI keeps a shared view with the experiment, as a tag `mlflow.sharedViewState.<key>`: JSON of the page's state,
zlib-compressed, base64, after the word `deflate;`. The page applies it when the link says `viewStateShareKey=<key>`.
"""

import base64
import json
import zlib
from typing import Literal
from urllib.parse import quote, urlencode

from pydantic import JsonValue

from study.config.study_config import Objective, StudyConfig
from study.storage.groups import Group, best_group
from study.storage.store import StudyStore
from study.tracking.content import CURVE, NOTE_LIMIT, group_name, swept_names

VIEW_TAG = "mlflow.sharedViewState."
"""Prefix of the experiment tags in which MLflow's UI keeps shared views."""

SHARED_CHARTS = 100
"""Most runs that one chart draws."""


def experiment_tags(
    study: StudyConfig, store: StudyStore, groups: list[Group], study_key: str, experiment_id: str, runs: dict[str, str]
) -> dict[str, str]:
    """The tags of the experiment; `runs` gives the MLflow run of each group id."""
    return {
        "mlflow.note.content": note(study, store, groups, study_key, experiment_id, runs)[:NOTE_LIMIT],
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": study.search.objectives[0].metric,
        f"{VIEW_TAG}{study_key}": encode_view(view_state(study, study_key)),
    }


def training_link(experiment_id: str, study_key: str, mode: Literal["TABLE", "CHART"] = "TABLE") -> str:
    """The page with the runs table or the charts (one click apart), after the server's address."""
    query = {"compareRunsMode": mode, "workflowType": "machine_learning", "viewStateShareKey": study_key}
    return f"/#/experiments/{experiment_id}/runs?{urlencode(query)}"


def comparison_link(experiment_id: str, run_ids: list[str]) -> str:
    """The page that compares runs, after the server's address."""
    query = {
        "runs": json.dumps(run_ids),
        "experiments": json.dumps([experiment_id]),
        "workflowType": "machine_learning",
    }
    return f"/#/compare-runs?{urlencode(query, quote_via=quote)}"


def best_groups(study: StudyConfig, groups: list[Group]) -> list[Group]:
    """Each arm's best group by the first objective, in the order of the study file; arms without one are left out."""
    objective = study.search.objectives[0]
    found = [
        best_group([group for group in groups if group.arm == arm.name], objective.metric, objective.direction)
        for arm in study.arms
    ]
    return [group for group in found if group]


def note(
    study: StudyConfig, store: StudyStore, groups: list[Group], study_key: str, experiment_id: str, runs: dict[str, str]
) -> str:
    """The Markdown above the runs table. While it is folded up, MLflow's UI shows its first line."""
    search, objective = study.search, study.search.objectives[0]
    best = best_groups(study, groups)
    arms = "; ".join(f"`{arm.name}` ({', '.join(arm.space) or 'nothing swept'})" for arm in study.arms)
    charts = training_link(experiment_id, study_key, "CHART").removeprefix("/")
    compared = comparison_link(experiment_id, [runs[group.group_id] for group in best]).removeprefix("/")
    lines = [
        f"**Study {study.study}**: {headline(study, best)}",
        "",
        f"Arms and what they sweep: {arms}. Per arm {search.trials} configurations (sampler {search.sampler}, pruner "
        f"{search.pruner}), each with {len(search.seeds)} seeds; {objective.direction} `{objective.metric}`.",
        "",
        f"| arm | best configuration | {objective.metric}, mean ± std | n |",
        "|---|---|---|---|",
        *[best_row(group, objective, experiment_id, runs) for group in best],
        "",
        f"[Charts]({charts})" + (f" · [The best of each arm, compared]({compared})" if best else ""),
        "",
        f"Report: `{store.directory / 'report'}`, also among the artifacts of the run named `study`.",
        "",
        "How to read the runs: a run is one configuration, the runs nested under it are its seeds. "
        f"`{objective.metric}` is the mean over the complete seeds, each at its selected epoch; "
        f"`{objective.metric}_std` the sample standard deviation; `n_seeds` the number of seeds; "
        f"`{CURVE}{objective.metric}` the mean curve over epochs. Loss terms are unweighted. Pruned and failed trials "
        "have curves and no final metrics: the tag `status` says which, `error` why. A configuration with seeds still "
        "to come is `scheduled` and has no metrics.",
    ]
    return "\n".join(lines)


def headline(study: StudyConfig, best: list[Group]) -> str:
    """The best arm's result in one line."""
    objective = study.search.objectives[0]
    top = best_group(best, objective.metric, objective.direction)
    if top is None:
        return "no configuration is complete yet"
    return f"best {objective.metric} {mean_text(top, objective.metric)} by {group_name(top.arm, top.params)}"


def mean_text(group: Group, metric: str) -> str:
    """`0.7495 ± 0.016`, without the spread below two seeds."""
    mean, std = group.mean(metric), group.std(metric)
    return f"{mean:.4g}" + (f" ± {std:.2g}" if std is not None else "")


def best_row(group: Group, objective: Objective, experiment_id: str, runs: dict[str, str]) -> str:
    """One line of the note's table, with a link to the run."""
    name = group_name(group.arm, group.params).removeprefix(f"{group.arm} ")
    run = runs.get(group.group_id)
    label = f"[{name}](#/experiments/{experiment_id}/runs/{run})" if run else name
    return f"| {group.arm} | {label} | {mean_text(group, objective.metric)} | {len(group.values(objective.metric))} |"


def encode_view(state: dict[str, JsonValue]) -> str:
    """A page state as MLflow's UI stores it."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()


def view_state(study: StudyConfig, study_key: str) -> dict[str, JsonValue]:
    """Groups only, best first; columns for the arm, what is swept, and the objective; an overview of charts."""
    objective = study.search.objectives[0]
    swept = swept_names(study)
    metrics = [objective.metric, f"{objective.metric}_std", "n_seeds"]
    columns = [column("params", name) for name in ["arm", *swept]] + [column("metrics", name) for name in metrics]
    return {
        "searchFilter": f"tags.kind = 'group' and tags.study_key = '{study_key}'",
        "orderByKey": column("metrics", objective.metric),
        "orderByAsc": objective.direction == "minimize",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [*columns, column("tags", "status"), column("attributes", "Duration")],
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts(study, swept),
        "compareRunSections": sections(),
        "isAccordionReordered": True,
    }


def column(kind: str, name: str) -> str:
    """A column's name in MLflow's UI."""
    return f"{kind}.`{name}`"


def sections() -> list[JsonValue]:
    """Our overview, open; the sections that the UI makes by itself (a chart per metric), closed."""
    names = ["Overview", "val", "test", "epoch/val", "epoch/train", "Model metrics", "System metrics"]
    return [
        {"uuid": f"section-{name}", "name": name, "display": name == "Overview", "isReordered": True} for name in names
    ]


def charts(study: StudyConfig, swept: list[str]) -> list[JsonValue]:
    """The overview: the objective per group, its curves, the objective over each swept parameter, and all together.

    Parallel coordinates draw the runs that have every parameter of the chart, so each arm gets its own.
    """
    metric = study.search.objectives[0].metric
    found: list[dict[str, JsonValue]] = [
        {"type": "BAR", "metricKey": metric, "displayName": f"{metric}, mean over seeds"},
        {
            "type": "LINE",
            "metricKey": f"{CURVE}{metric}",
            "selectedMetricKeys": [f"{CURVE}{metric}"],
            "displayName": f"{metric} by epoch, mean over seeds",
            "lineSmoothness": 0,
            "scaleType": "linear",
            "xAxisScaleType": "linear",
            "xAxisKey": "step",
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "range": {},
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        },
    ]
    for name in swept:
        axes: dict[str, JsonValue] = {
            "xaxis": {"key": name, "type": "PARAM"},
            "yaxis": {"key": metric, "type": "METRIC"},
        }
        found.append({"type": "SCATTER", "displayName": f"{metric} over {name}", **axes})
    for names in dict.fromkeys(tuple(arm.space) for arm in study.arms if len(arm.space) > 1):
        found.append(
            {
                "type": "PARALLEL",
                "displayName": ", ".join(names),
                "selectedParams": [*names],
                "selectedMetrics": [metric],
                "showAllRuns": True,
            }
        )
    shared: dict[str, JsonValue] = {"metricSectionId": "section-Overview", "deleted": False, "isGenerated": False}
    return [
        {"uuid": f"chart-{number}", "runsCountToCompare": SHARED_CHARTS, **shared, **chart}
        for number, chart in enumerate(found)
    ]
