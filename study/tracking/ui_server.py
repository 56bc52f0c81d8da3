"""`study ui`: MLflow's server on the study's backend, and links to the runs and to the comparison of the best."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from study.config.resolved_study import ResolvedStudy
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from study.tracking.note import best_groups
from study.tracking.tracker import Tracker, TrackingBusy, TrackingUnavailable
from study.tracking.ui_view import comparison_link, training_link
from study.tracking.writer import is_server

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Loopback hosts. The MLflow server has no authentication, so it must not listen on other interfaces."""

START_SECONDS = 60.0
"""Longest wait for the first answer of the server."""

STOP_SECONDS = 5.0
"""Longest wait for the end of the server before it is killed."""

SERVER_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Without job execution, the server has two processes instead of ten."""


def serve(
    study: ResolvedStudy,
    store: StudyStore,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = True,
    print_line: Callable[[str], None] = print,
) -> None:
    """Run the MLflow UI until Ctrl-C, after a sync. With a tracking server, only print the links on it.

    Args:
        study: The study.
        store: Its store.
        host: A loopback host.
        port: By default 5000, or a free port if 5000 is taken.
        open_browser: Whether to open the page of the runs.
        print_line: Prints one line for the user.

    Raises:
        ValueError: if other machines can reach the host.
        TrackingUnavailable: if the port is in use, or if the backend or the server does not start.

    """
    if host not in LOOPBACK:
        raise ValueError(
            f"the MLflow UI has no passwords and listens on {', '.join(LOOPBACK)} only, but got {host!r}; "
            "from elsewhere, forward the port: `ssh -L 5000:127.0.0.1:5000 <this machine>`"
        )
    uri = study.tracking.uri
    if port and not is_server(uri):
        check_port(host, port)
    training, comparison = study_links(study, store)
    if is_server(uri):
        print_links(uri.rstrip("/"), training, comparison, open_browser, print_line)
        return
    port = port or free_port(host)
    with ended_by_signals(), running_server(uri, host, port, store.directory / "logs" / "mlflow-ui.log") as process:
        print_links(f"http://{host}:{port}", training, comparison, open_browser, print_line)
        print_line("Ctrl-C ends the UI.")
        process.wait()
    print_line("The MLflow UI has ended.")


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block but not the program, so that the block can stop its processes."""
    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Signal handler: as Ctrl-C."""
    raise KeyboardInterrupt


def study_links(study: ResolvedStudy, store: StudyStore) -> tuple[str, str]:
    """The paths of the runs page and of the comparison of each arm's best group (empty without any).

    MLflow is updated first, unless a running study does that.
    """
    tracker = Tracker(study, store)
    try:
        tracker.sync()
    except TrackingBusy:
        pass
    with tracker.open(only_read=True) as reader:
        best_runs = [
            reader.runs.get(("group", group.group_id)) for group in best_groups(study, collect_groups(study, store))
        ]
        run_ids = [logged.run_id for logged in best_runs if logged]
        comparison = comparison_link(reader.experiment_id, run_ids) if run_ids else ""
        return training_link(reader.experiment_id, reader.study_key), comparison


def print_links(
    address: str, training: str, comparison: str, open_browser: bool, print_line: Callable[[str], None]
) -> None:
    """Print the links and open the first."""
    print_line(f"Runs (second icon: charts): {address}{training}")
    print_line(
        f"Best of each arm, compared: {address}{comparison}" if comparison else "No configuration is complete yet."
    )
    if open_browser:
        webbrowser.open(address + training)


@contextmanager
def running_server(uri: str, host: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running MLflow server in its own process group, which ends with the block."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", host]
    command += ["--port", str(port), "--workers", "1"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | SERVER_ENVIRONMENT,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        wait_until_up(process, f"http://{host}:{port}/health", log)
        yield process
    finally:
        stop(process)


def wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return when the server answers. Raises TrackingUnavailable if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise TrackingUnavailable(f"the MLflow UI did not start; {log} says why")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its children: all of its process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def check_port(host: str, port: int) -> None:
    """Raises TrackingUnavailable if another program listens on the port."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise TrackingUnavailable(
            f"--port must be a free port, but {port} cannot be used ({error.strerror}); "
            "choose another, or leave --port out"
        ) from error


def free_port(host: str, preferred: int = 5000) -> int:
    """`preferred` if it is free, else a free port chosen by the system."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise AssertionError("the system has no free port")
