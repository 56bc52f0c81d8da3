"""The JSON summary of a run (`--json FILE`), for programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from study.config import StudyConfig
from study.groups import collect_groups
from study.stats import best_rows
from study.store import StudyStore
from study.timing import RunSeconds
from trainables.files import write_json

if TYPE_CHECKING:
    from study.search import Counts
    from study.tracking import TrackingSummary

RunStatus = Literal["complete", "interrupted", "failed"]
"""`complete`: every trial has a result. `interrupted`: the user stopped it. `failed`: the run broke off."""


def write_summary(
    path: Path,
    study: StudyConfig,
    status: RunStatus,
    counts: "Counts",
    seconds: RunSeconds,
    tracked: "TrackingSummary | None",
    report: Path | None,
) -> None:
    """Write the summary of a run to `path`."""
    store = StudyStore(study.directory)
    write_json(
        path,
        {
            "study": study.study,
            "directory": str(study.directory),
            "status": status,
            "trials": counts._asdict(),
            "stages": stage_usage(study, store),
            "best": best_rows(study, store),
            "seconds": seconds._asdict(),
            "mlflow": {
                "tracking_uri": study.tracking.uri,
                "experiment": study.tracking.experiment,
                "run_id": tracked.run_id if tracked else None,
            },
            "report": str(report) if report else None,
        },
    )


def stage_usage(study: StudyConfig, store: StudyStore) -> dict[str, float]:
    """Stages over all finished trials: distinct ones computed, times that one was found ready, seconds that saved."""
    trials = {trial.trial_id: trial.result for group in collect_groups(study, store) for trial in group.trials}
    results = [result for result in trials.values() if result]
    return {
        "computed": len({stage for result in results for stage in result.stages_computed}),
        "reused": sum(len(result.stages_reused) for result in results),
        "seconds_saved": sum(result.seconds_saved for result in results),
    }
