"""What the commands other than `run` do: print a plan, rebuild the report, sync MLflow, open its UI."""

from pathlib import Path

from search_spaces.preset_files import locate
from study.config.resolved_study import ResolvedStudy
from study.errors import StudyError
from study.parsing.loader import load
from study.planning.resolve import resolve
from study.storage.lock import check_changes
from study.storage.store import StudyStore


def open_stored(path: Path) -> tuple[ResolvedStudy, StudyStore]:
    """The study in `path`, and its store.

    Raises:
        StudyError: if the study has not been run yet.
    """
    study = resolve(load(path), compute=False)
    if not (study.directory / "study.json").exists():
        raise StudyError(f"{path}: {study.directory} contains no results yet; run `python -m study.run {path}` first")
    return study, StudyStore(study.directory)


def announce_preset(path: Path) -> None:
    """If `path` is the name of a shipped study, print which file is run and where its results go."""
    location = locate(path)
    if location.is_preset:
        print(f"Shipped study {path}: {location.file}")
        print(f"Its results go to {load(path).directory}")


def show_plan(path: Path) -> None:
    """Print what a run would do. Raises StudyError if a run would."""
    study = load(path)
    changes = check_changes(study, path)
    from study.planning.plan import print_plan

    for change in changes:
        print(f"The file has changed: {change}")
    print_plan(resolve(study, compute=False))


def rebuild_report(path: Path) -> None:
    """Write the report again from the store."""
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

    Args:
        path: the study file.
        port: port of the server; None for 5000, or a free port if 5000 is in use.
        browser: whether to open the comparison in a web browser.

    Raises:
        StudyError: if the UI cannot be started.
    """
    study, store = open_stored(path)
    from study.tracking.tracker import TrackingUnavailable
    from study.tracking.ui_server import serve

    try:
        serve(study, store, port=port, open_browser=browser)
    except (TrackingUnavailable, ValueError) as error:
        raise StudyError(str(error)) from error
