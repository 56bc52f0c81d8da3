"""The MLflow view of a study: a function of the store, brought up to date by `Tracker.sync`.

One experiment per study, one run per configuration (group), one nested run per seed, and one run named `study` for the
report. Runs are found by their tags and completed, so a sync that was killed or is repeated creates nothing twice:

- A run is created together with its tags in one transaction; its tag `synced` says `started <digest>` while it is being
  logged and `<digest>` when it is complete. A run that is `synced` with the digest of its present content is skipped.
- Metric rows have times from the store, so a row that is logged again is the same row (`study.tracking.run_content`).
- A run whose content changed after it was logged (a study that got more seeds: another mean) is deleted
  with MLflow's soft delete and created again, because MLflow keeps every value ever logged and would draw both curves.

mlflow is imported on connecting only. The import takes seconds and 170 MiB; in a running study a child process does it.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import NamedTuple

from filelock import FileLock, Timeout

from study.config.resolved_study import ResolvedStudy
from study.storage.store import StudyStore
from study.tracking.writer import Writer, backend_errors, connect
from trainables.common.atomic_files import read_json, write_json
from trainables.common.child_process import ChildDiedError, ChildProcess

logger = logging.getLogger(__name__)

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")
"""Schemes of supported tracking URIs. MLflow 3 refuses its old file store unless it is forced."""

ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Environment of MLflow while it is called: short timeouts, no terminal output. Values set by the user win."""

LOCK_SECONDS = 5.0
"""How long a sync waits for another process that writes the same study's view."""

SHARE = 0.05
"""Largest share of one core that live tracking uses."""


class TrackingUnavailable(Exception):
    """MLflow could not be updated. The store is complete anyway, and a later sync catches up."""


class TrackingBusy(TrackingUnavailable):
    """Another process writes this study's view, usually the running study."""


class TrackingSummary(NamedTuple):
    """Where MLflow has the study."""

    tracking_uri: str
    experiment: str
    experiment_id: str
    run_id: str
    """The run named `study`, which has the report."""


class Tracker:
    """Updates MLflow from the store. Raises ValueError for an unsupported tracking URI."""

    def __init__(self, study: ResolvedStudy, store: StudyStore) -> None:
        check_uri(study.tracking.uri)
        self.study = study
        self.store = store

    def sync(self) -> TrackingSummary:
        """Log what MLflow lacks and return where it is. Raises TrackingUnavailable if that is not possible now."""
        with self.open() as writer:
            return self.update(writer, final=True)

    def update(self, writer: Writer, final: bool) -> TrackingSummary:
        """One sync over an open writer; the report only if `final`."""
        with environment(ENVIRONMENT):
            run_id = writer.sync(final)
        tracking = self.study.tracking
        return TrackingSummary(tracking.uri, tracking.experiment, writer.experiment_id, run_id)

    @contextmanager
    def open(self, only_read: bool = False) -> Iterator[Writer]:
        """The only writer of this study's view until the block ends, or a reader that does not need the lock.

        Raises TrackingBusy if another process is writing, TrackingUnavailable if the backend is away or refuses.
        """
        self.store.directory.mkdir(parents=True, exist_ok=True)
        uri = self.study.tracking.uri
        path = self.store.directory / ".tracking.lock"
        try:
            with nullcontext() if only_read else FileLock(path, timeout=LOCK_SECONDS):
                with environment(ENVIRONMENT):
                    writer = Writer(self.study, self.store, connect(uri), study_key(self.store))
                yield writer
        except Timeout as error:
            raise TrackingBusy(
                f"another process is writing the MLflow view of {self.store.directory}; that process updates "
                "the view, so sync again when it has ended"
            ) from error
        except backend_errors() as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TrackingUnavailable(
                f"MLflow at {uri!r} could not be brought up to date: {reason}. Nothing is lost: {self.store.directory} "
                "has every result. When MLflow can be reached, run `python -m study sync` with the study file"
            ) from error


class LiveTracker:
    """Updates MLflow during a running study, from a child process: finished trials appear within seconds.

    The child process also does the imports and the set-up of a new database. A thread requests a sync, then waits long
    enough to use less than a twentieth of one core. The child is the only writer while it lives.
    """

    def __init__(self, study: ResolvedStudy, store: StudyStore, interval_seconds: float = 5.0) -> None:
        """Raises ValueError for an unsupported tracking URI."""
        check_uri(study.tracking.uri)
        self.study = study
        self.store = store
        self.interval = interval_seconds
        self.child = ChildProcess()
        self.thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._stop = threading.Event()
        self._no_pause = threading.Event()

    def start(self) -> None:
        """Start the thread, unless it has started."""
        if not self.thread.ident:
            self.thread.start()

    def stop_pausing(self) -> None:
        """Log what is left without pauses, because training has ended."""
        self._no_pause.set()
        self.start()

    def close(self) -> TrackingSummary:
        """End the thread and sync everything, the report included. Raises TrackingUnavailable."""
        self._stop.set()
        self._no_pause.set()
        if self.thread.ident:
            self.thread.join()
        try:
            return self._sync(final=True).summary
        finally:
            self.child.close()

    def kill(self) -> None:
        """End at once, if necessary during a sync; the next sync continues from there."""
        self._stop.set()
        self._no_pause.set()
        self.child.kill()

    def _run(self) -> None:
        pause = self.interval
        while not self._stop.is_set():
            try:
                pause = max(self.interval, self._sync(final=False).seconds / SHARE)
            except TrackingUnavailable as error:
                pause = min(2 * pause, 60.0)
                logger.warning("%s", error)
            if self._no_pause.is_set():
                return
            self._no_pause.wait(pause)

    def _sync(self, final: bool) -> "SyncResult":
        """One sync by the child process."""
        try:
            return self.child.call(sync_with_open_writer, self.study, self.store, final)
        except ChildDiedError as error:
            raise TrackingUnavailable(
                f"the process that writes the MLflow view died (exit code {error.code})"
            ) from error


class SyncResult(NamedTuple):
    """Result of one sync by the child process."""

    summary: TrackingSummary
    seconds: float
    """CPU time of the sync."""


_open_writers: list[tuple[ExitStack, Writer]] = []
"""The writer that a child process keeps open. It knows what it has logged; a new writer would compare everything."""


def sync_with_open_writer(study: ResolvedStudy, store: StudyStore, final: bool) -> SyncResult:
    """A sync with the writer that this process keeps open. Raises TrackingUnavailable."""
    tracker = Tracker(study, store)
    if not _open_writers:
        stack = ExitStack()
        _open_writers.append((stack, stack.enter_context(tracker.open())))
    stack, writer = _open_writers[0]
    begun = time.process_time()
    try:
        summary = tracker.update(writer, final)
    except Exception as error:
        _open_writers.clear()
        stack.__exit__(type(error), error, error.__traceback__)  # raises the error as `open` translates it
        raise
    return SyncResult(summary, time.process_time() - begun)


def study_key(store: StudyStore) -> str:
    """Identity of this study directory, stored in it. Two directories with the same study name never share runs."""
    path = store.directory / "tracking.json"
    if not path.exists():
        write_json(path, {"study_key": uuid.uuid4().hex[:16]})
    return read_json(path)["study_key"]


def check_uri(uri: str) -> None:
    """Raise ValueError for an unsupported tracking URI."""
    scheme = uri.split(":", 1)[0].split("+", 1)[0]
    if ":" not in uri or scheme not in SCHEMES:
        raise ValueError(
            f"a tracking URI must begin with one of {', '.join(SCHEMES)}, but got {uri!r}; "
            "write `sqlite:////folder/mlflow.db` for a file, or the address of an MLflow server"
        )


@contextmanager
def environment(defaults: dict[str, str]) -> Iterator[None]:
    """Environment variables for the length of a block, where the user has not set them."""
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
