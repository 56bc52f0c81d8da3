"""The prepared page of a study in MLflow's UI: view of the runs table, charts, and links.

Everything in this file is a private interface of MLflow's UI, read from its JavaScript: the tags' values, the state of
the page and the addresses. They can change with any release. A test looks for each of them in the installed UI, and a
tag that MLflow refuses is left out with a warning.

The UI keeps a shared view with the experiment, as a tag `mlflow.sharedViewState.<key>`: the JSON of the page's state,
compressed by zlib, in base64, after the word `deflate;`. The page applies it when the address says
`viewStateShareKey=<key>`.
"""

import base64
import json
import zlib
from typing import Literal
from urllib.parse import quote, urlencode

from pydantic import JsonValue

from study.config.study_config import StudyConfig
from study.tracking.run_content import CURVE, swept_names
from study.tracking.tags import EXPERIMENT_KIND, KIND, PRIMARY_METRIC, STUDY_KEY, VIEW_PREFIX

TRAINING_KIND = "custom_model_development"
"""Value of `mlflow.experimentKind` for runs, not traces of language models."""

SHARED_CHARTS = 100
"""Most runs that one chart draws."""


def view_tags(study: StudyConfig, study_key: str) -> dict[str, str]:
    """The tags of the experiment that prepare its page in MLflow's UI."""
    return {
        EXPERIMENT_KIND: TRAINING_KIND,
        PRIMARY_METRIC: study.search.objectives[0].metric,
        f"{VIEW_PREFIX}{study_key}": encode_view(view_state(study, study_key)),
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
        "searchFilter": f"tags.{KIND} = 'group' and tags.{STUDY_KEY} = '{study_key}'",
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
    """Our overview, open; the sections that the UI creates (one chart for each metric), closed."""
    names = ["Overview", "val", "test", "epoch/val", "epoch/train", "Model metrics", "System metrics"]
    return [
        {"uuid": f"section-{name}", "name": name, "display": name == "Overview", "isReordered": True} for name in names
    ]


def charts(study: StudyConfig, swept: list[str]) -> list[JsonValue]:
    """The overview: the objective per group, its curves, the objective over each swept parameter, and all together.

    Parallel coordinates show only runs that have every parameter of the chart, so each arm gets a chart.
    """
    metric = study.search.objectives[0].metric
    panels: list[dict[str, JsonValue]] = [
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
        panels.append({"type": "SCATTER", "displayName": f"{metric} over {name}", **axes})
    for names in dict.fromkeys(tuple(arm.space) for arm in study.arms if len(arm.space) > 1):
        panels.append(
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
        for number, chart in enumerate(panels)
    ]
