"""MLflow's UI over a study: served on loopback only, and gone with all its processes."""

import json
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from study.storage.store import StudyStore
from study.tracking.tracker import TrackingUnavailable
from study.tracking.ui_server import LOOPBACK, free_port, serve
from tests.helpers.example_store import example_study
from tests.helpers.tracking_database import SYNC, filled, sync_command
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning",  # mlflow's own query, on SQLAlchemy 2.1
)


def test_the_ui_refuses_a_host_that_others_can_reach(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    assert "0.0.0.0" not in LOOPBACK
    with pytest.raises(ValueError, match="no passwords"):
        serve(study, StudyStore(study.directory), host="0.0.0.0")


def test_a_port_that_is_in_use_is_refused_in_a_line(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            TrackingUnavailable, match=f"^--port must be a free port, but {port} .*Address already in use"
        ):
            serve(study, StudyStore(study.directory), port=port)


UI = SYNC.split('print("begin"')[0].replace("Tracker\n", "Tracker\nfrom study.tracking.ui_server import serve\n") + (
    "from study.tracking import ui_server\n"
    "ui_server.START_SECONDS = 600\n"  # it may take long here, where several tests run at once
    "serve(study, StudyStore(study.directory), port=int(sys.argv[3]), open_browser=False,\n"
    "      print_line=lambda line: print(line, flush=True))\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_ui_serves_its_links_and_ends_with_all_its_children(root: Path, number: signal.Signals) -> None:
    filled(root)
    port = free_port("127.0.0.1", preferred=0)
    with subprocess.Popen([*sync_command(root, UI), str(port)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(3)]
        assert f"http://127.0.0.1:{port}/#/experiments/" in lines[0] and "compare-runs" in lines[1]
        experiment = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=example"
        with urllib.request.urlopen(experiment) as response:
            assert json.load(response)["experiment"]["name"] == "example"
        children = [pid for pid in os.listdir("/proc") if pid.isdigit() and f"--port\0{port}" in command_line(pid)]
        assert children
        process.send_signal(number)
        assert process.wait() == 0
    wait_until(lambda: not any(f"--port\0{port}" in command_line(pid) for pid in children), "the server has ended")


def command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
