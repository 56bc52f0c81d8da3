"""The commands beside a run: rebuild the report, bring MLflow up to date, open its UI."""

from pathlib import Path

from study.config.resolved_study import ResolvedStudy
from study.errors import StudyError
from study.parsing.loader import load
from study.planning.resolve import resolve
from study.storage.lock import check_changes
from study.storage.store import StudyStore


def open_stored(path: Path) -> tuple[ResolvedStudy, StudyStore]:
    """The study in `path` and what it has stored.

    Raises:
        StudyError: if it was never run.

    """
    study = resolve(load(path), compute=False)
    if not (study.directory / "study.json").exists():
        raise StudyError(f"{path}: {study.directory} holds no study yet; run `python -m study.run {path}` first")
    return study, StudyStore(study.directory)


def show_plan(path: Path) -> None:
    """Print what a run would do. Raises StudyError where it would."""
    study = load(path)
    changes = check_changes(study, path)
    from study.planning.plan import print_plan

    for change in changes:
        print(f"The file has changed: {change}")
    print_plan(resolve(study, compute=False))


def rebuild_report(path: Path) -> None:
    """Write the report anew from the store."""
    study, store = open_stored(path)
    from study.report.write import write_report

    print(f"report  {write_report(study, store)}")


def sync_tracking(path: Path) -> None:
    """Bring MLflow up to date from the store.

    Raises:
        StudyError: if MLflow cannot be reached.

    """
    study, store = open_stored(path)
    from study.tracking.tracker import Tracker, TrackingUnavailable

    try:
        summary = Tracker(study, store).sync()
    except (TrackingUnavailable, ValueError) as error:
        raise StudyError(str(error)) from error
    print(f"MLflow experiment {summary.experiment!r} at {summary.tracking_uri} is up to date")


def open_ui(path: Path, port: int | None, browser: bool) -> None:
    """Serve the MLflow UI until Ctrl-C.

    Raises:
        StudyError: if it cannot be started.

    """
    study, store = open_stored(path)
    from study.tracking.tracker import TrackingUnavailable
    from study.tracking.ui_server import serve

    try:
        serve(study, store, port=port, open_browser=browser)
    except (TrackingUnavailable, ValueError) as error:
        raise StudyError(str(error)) from error
