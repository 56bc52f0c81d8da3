"""The JSON summary of a run (`--json FILE`), for programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from study.analysis.stage_usage import stage_usage
from study.analysis.study_results import best_rows
from study.config.resolved_study import ResolvedStudy
from study.console.timing import RunSeconds
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from trainables.common.atomic_files import write_json

if TYPE_CHECKING:
    from study.search.search import Counts
    from study.tracking.tracker import TrackingSummary

RunStatus = Literal["complete", "interrupted", "failed"]
"""`complete`: every trial has a result. `interrupted`: the user stopped it. `failed`: the run broke off."""


def write_summary(
    path: Path,
    study: ResolvedStudy,
    status: RunStatus,
    counts: "Counts",
    seconds: RunSeconds,
    tracked: "TrackingSummary | None",
    report: Path | None,
) -> None:
    """Write the summary of a run to `path`."""
    groups = collect_groups(study, StudyStore(study.directory))
    write_json(
        path,
        {
            "study": study.study,
            "directory": str(study.directory),
            "status": status,
            "trials": counts._asdict(),
            "stages": stage_usage(groups)._asdict(),
            "best": best_rows(study, groups),
            "seconds": seconds._asdict(),
            "mlflow": {
                "tracking_uri": study.tracking.uri,
                "experiment": study.tracking.experiment,
                "run_id": tracked.run_id if tracked else None,
            },
            "report": str(report) if report else None,
        },
    )
