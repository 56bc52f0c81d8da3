"""Reads `tracking` and `report` of a study file."""

import os
from pathlib import Path

from search_spaces.explain import nearest
from study.config.study_config import ReportConfig, TrackingConfig
from study.parsing.drafts import ArmDraft
from study.parsing.problems import Problems
from study.parsing.published_tables import published_fault
from study.parsing.sections import read_config
from study.parsing.yaml_tree import Node

TRACKING_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")
"""Schemes of the MLflow tracking URIs that a study accepts."""


def read_tracking(root: Node, name: str, studies: Path, folder: Path, problems: Problems) -> TrackingConfig:
    """Where MLflow keeps its view of the study.

    Args:
        root: The whole file.
        name: Name of the study, the default experiment.
        studies: Folder of the default database.
        folder: Folder of the file, where the relative path of an SQLite database starts.
        problems: Receives what is wrong.
    """
    defaults = {"uri": f"sqlite:///{studies}/mlflow.db", "experiment": name or "study"}
    tracking = read_config(root, "tracking", TrackingConfig, problems, defaults)
    scheme, _, rest = tracking.uri.partition(":")
    if scheme.split("+")[0] not in TRACKING_SCHEMES:
        rule = "must be the address of a server or a database, because MLflow drops its file store"
        rule += f", but got {tracking.uri!r}"
        remedy = "write for example sqlite:///mlflow.db or http://host:5000"
        problems.add(root.place_of("tracking.uri"), "tracking.uri", f"{rule}; {remedy}")
    if scheme == "sqlite" and rest.startswith("///") and not rest.startswith("////"):
        path = os.path.abspath(folder / rest.removeprefix("///"))
        return tracking.model_copy(update={"uri": f"sqlite:///{path}"})
    return tracking


def read_report(root: Node, drafts: list[ArmDraft], problems: Problems) -> ReportConfig:
    """The baseline and the published table of the report.

    Args:
        root: The whole file.
        drafts: The arms; the first one without distillation is the default baseline.
        problems: Receives what is wrong.
    """
    arms = [draft.name for draft in drafts]
    report = read_config(root, "report", ReportConfig, problems, {"baseline": default_baseline(drafts)})
    first = next((draft.name for draft in drafts if draft.written == report.baseline), report.baseline)
    report = report.model_copy(update={"baseline": first})
    known = arms + [name for name in root.section("arms").mapping or {} if name not in arms]
    if known and report.baseline not in known:
        guess = nearest(report.baseline, known)
        message = f"must be an arm ({', '.join(known)}), but got {report.baseline!r}"
        message += f"; did you mean {guess}?" if guess else "; choose one of them"
        problems.add(root.place_of("report.baseline"), "report.baseline", message)
    if report.published is not None and (message := published_fault(report.published, arms)):
        problems.add(root.place_of("report.published"), "report.published", message)
    return report


def default_baseline(drafts: list[ArmDraft]) -> str:
    """The first arm without distillation, or else the first arm."""
    without = [draft.name for draft in drafts if draft.sections["method"].values["method"] == "none"]
    return (without or [draft.name for draft in drafts] or ["none"])[0]
