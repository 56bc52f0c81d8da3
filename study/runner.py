"""One run of a study, from the study file to the report: the steps in order, and the lines for the user.

Ray, MLflow, Optuna and Matplotlib are imported only after the file has been checked.
"""

import logging
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from study.config.resolved_study import ResolvedStudy
from study.console.log_capture import captured_output
from study.console.timing import Timing
from study.errors import StudyError
from study.execution.events import Event, SlotReady
from study.parsing.loader import load
from study.planning.resolve import resolve
from study.storage.lock import check_changes, move_aside, record_study, study_lock
from study.storage.store import StudyStore
from trainables.common.child_process import ChildDiedError, ChildProcess

if TYPE_CHECKING:
    from rich.console import Group

    from study.console.run_summary import RunStatus
    from study.search.search import Search
    from study.tracking.tracker import LiveTracker, TrackingSummary

logger = logging.getLogger(__name__)

COMPLETE, BROKEN, WITH_FAILED_TRIALS, INTERRUPTED = 0, 1, 3, 130
"""Exit codes. For invalid input `study.run` exits with 2 before anything starts."""


def run_study(path: Path, fresh: bool = False, json_file: Path | None = None) -> int:
    """Run the study in `path`, or continue it.

    Args:
        path: the study file.
        fresh: whether to rename the present study directory and start anew.
        json_file: where to write the summary, if anywhere.

    Returns:
        The exit code of the command.

    Raises:
        StudyFileError: with every problem of the file.
        StudyError: if another process runs the study, or its directory contains another study.

    """
    loaded = load(path)
    aside = move_aside(loaded.directory) if fresh else None
    with study_lock(loaded.directory):
        changes = check_changes(loaded, path)  # before anything is trained
        try:
            study = resolve(loaded, compute=True)
        except KeyboardInterrupt:
            print(f"What is computed so far is kept. To continue: {command('study.run', path)}")
            return INTERRUPTED
        except StudyError as error:
            raise StudyError(f"{path}: {error}") from error
        record_study(study)
        log = study.directory / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}.log"
        with captured_output(log) as console:
            run = Run(study, path, console)
            if aside:
                run.say(f"The old study is now {aside}")
            for change in changes:
                run.say(f"The file has changed: {change}")
            run.say(f"Study {study.study}; output of Ray and MLflow goes to {log}")
            return run.main(json_file)


class Run:
    """One run of a study. The process has the lock of the study directory."""

    def __init__(self, study: ResolvedStudy, path: Path, console: Console) -> None:
        self.study = study
        self.path = path
        self.console = console
        self.store = StudyStore(study.directory)
        self.timing = Timing()
        self.tracked: TrackingSummary | None = None
        self.report: Path | None = None

    def main(self, json_file: Path | None) -> int:
        """Run everything. An error is printed, logged with its traceback, and the summary is still written."""
        from study.console.run_summary import write_summary

        search, tracker = self.open_search(), self.open_tracker()
        try:
            status = self.conduct(search, tracker)
        except KeyboardInterrupt:
            status = "interrupted"
        except Exception as error:
            logger.exception("the run failed")
            self.say(f"The run failed: {type(error).__name__}: {error}; the traceback is in the log")
            status = "failed"
        if status != "complete":
            self.say(f"Finished trials are kept. To continue: {command('study.run', self.path)}")
        counts = search.counts
        if json_file:
            write_summary(json_file, self.study, status, counts, self.timing.seconds(), self.tracked, self.report)
        if status == "complete":
            return WITH_FAILED_TRIALS if counts.failed else COMPLETE
        return INTERRUPTED if status == "interrupted" else BROKEN

    def open_search(self) -> "Search":
        """The search, rebuilt from the store.

        Raises:
            StudyError: if the sampler cannot search a space.
        """
        from study.search.search import Search
        from study.storage.manifest import write_manifest

        write_manifest(self.study, self.store)
        try:
            return Search(self.study, self.store)
        except ValueError as error:
            raise StudyError(f"{self.path}: {error}") from error

    def open_tracker(self) -> "LiveTracker":
        """The MLflow view.

        Raises:
            StudyError: if MLflow does not support the tracking URI.
        """
        from study.tracking.tracker import LiveTracker

        try:
            return LiveTracker(self.study, self.store)
        except ValueError as error:
            raise StudyError(f"{self.path}: tracking.uri: {error}") from error

    def conduct(self, search: "Search", tracker: "LiveTracker") -> "RunStatus":
        """Run the remaining trials, write the report, update MLflow, and print where everything is."""
        try:
            status, ran = self.drive(search, tracker)
            tracker.stop_pausing()
            seconds = self.timing.seconds()
            known = {name: value for name, value in seconds._asdict().items() if value is not None}
            self.report, table = self.write_report(known if seconds.training else None, aside=ran)
            self.console.print(table)
            self.say(f"report     {self.report}")
            self.say(f"directory  {self.study.directory}")
            with self.console.status("bringing MLflow up to date"):
                self.close_tracker(tracker)
        finally:
            tracker.kill()
        self.say(f"MLflow UI  {command('study ui', self.path)}")
        return status

    def drive(self, search: "Search", tracker: "LiveTracker") -> tuple["RunStatus", bool]:
        """Run the remaining trials.

        Returns:
            How the run ended, and whether any trial remained.
        """
        from study.console.live_table import show_progress

        if search.peek() is None:
            self.say(f"The study is complete: {search.counts.planned} trials are in the store, nothing to run")
            return "complete", False
        from study.execution.driver import drive

        with show_progress(self.study, self.console) as show:

            def emit(event: Event) -> None:
                if isinstance(event, SlotReady):
                    tracker.start()  # not earlier: Ray's start needs all processors
                self.timing.observe(event)
                show(event)

            return drive(self.study, self.store, search, emit), True

    def write_report(self, timing: dict[str, float] | None, aside: bool) -> tuple[Path, "Group"]:
        """Write the report.

        Args:
            timing: seconds of this run by name; None if it trained nothing.
            aside: whether a child process writes it, because its libraries need much memory. MLflow is updated at the
                same time.

        Returns:
            Its path, and its main tables for the terminal.

        Raises:
            RuntimeError: if that process dies, say of too little memory.

        """
        if not aside:
            return make_report(self.study, self.store, timing)
        child = ChildProcess()
        try:
            return child.call(make_report, self.study, self.store, timing)
        except ChildDiedError as died:
            rebuild = command("study report", self.path)
            raise RuntimeError(
                f"the process that writes the report died (exit code {died.code}); {rebuild} writes it from the store"
            ) from died
        finally:
            child.kill()
            child.close()

    def close_tracker(self, tracker: "LiveTracker") -> None:
        """Update MLflow. If that is not possible, print why; the store is complete anyway."""
        from study.tracking.tracker import TrackingUnavailable

        try:
            self.tracked = tracker.close()
        except TrackingUnavailable as error:
            self.say(str(error))

    def say(self, line: str) -> None:
        """Print one line for the user."""
        self.console.print(line, soft_wrap=True, markup=False, highlight=False)


def make_report(study: ResolvedStudy, store: StudyStore, timing: dict[str, float] | None) -> tuple[Path, "Group"]:
    """Write the report; its path, and its main tables for the terminal."""
    from study.report.terminal import result_tables
    from study.report.write import write_report

    return write_report(study, store, timing), result_tables(study, store)


def command(module: str, path: Path) -> str:
    """A command line that works in the current directory: `python -m study ui sweep.yaml`, with this Python's path."""
    found = shutil.which("python")
    python = Path(sys.executable)
    if found and Path(found) == python:
        name = "python"
    else:
        name = str(python.relative_to(Path.cwd())) if python.is_relative_to(Path.cwd()) else str(python)
    return f"{shlex.quote(name)} -m {module} {shlex.quote(str(path))}"
