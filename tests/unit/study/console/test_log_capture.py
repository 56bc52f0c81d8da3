import contextlib
import logging
import os
import pty
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from study.console.log_capture import captured_output
from tests.helpers.paths import ROOT

SCRIPT = """
import ctypes, logging, signal, subprocess, sys, warnings
from pathlib import Path
from study.console.log_capture import captured_output

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits that it is ignored
print("before")
try:
    with captured_output(Path(sys.argv[1])) as console:
        console.print("ours", console.width, console.is_terminal)
        print("printed")
        print("to stderr", file=sys.stderr)
        logging.getLogger("ray.x").info("logged %d", 1)
        warnings.warn("careful")
        subprocess.run(["echo", "from a child"])
        ctypes.CDLL(None).puts(b"from C")
        ctypes.CDLL(None).fflush(None)
        if sys.argv[2] == "wait":
            console.print("waiting")
            while True:
                pass
        raise ValueError("boom")
except (ValueError, KeyboardInterrupt) as error:
    print("after", repr(error))
    print("stderr again", file=sys.stderr)
"""


def start(log: Path, what: str, **streams: int) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-c", SCRIPT, str(log), what]
    return subprocess.Popen(command, cwd=ROOT, env=environment, **streams)


def test_the_terminal_gets_ours_and_the_log_everything_else(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "run.log"
    process = start(log, "", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate()
    assert out.decode().splitlines() == ["before", "ours 120 False", "after ValueError('boom')"]
    assert err.decode().splitlines() == ["stderr again"]
    text = log.read_text()
    for said in ("printed\n", "to stderr\n", "INFO ray.x: logged 1\n", "careful", "from a child\n", "from C\n"):
        assert said in text
    assert "ours" not in text


def test_a_terminal_is_seen_as_one_and_ctrl_c_gets_through(tmp_path: Path) -> None:
    terminal, theirs = pty.openpty()  # its size is 0 x 0: unknown
    process = start(tmp_path / "run.log", "wait", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    while b"waiting" not in text:
        text += os.read(terminal, 1000)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    with contextlib.suppress(OSError):  # how a terminal says that the other side has gone
        while True:
            text += os.read(terminal, 1000)
    os.close(terminal)
    plain = text.decode().replace("\x1b[1;36m", "").replace("\x1b[3;92m", "").replace("\x1b[0m", "")
    assert plain.splitlines() == [
        "before",
        "ours 80 True",
        "waiting",
        "after KeyboardInterrupt()",
        "stderr again",
    ]


def test_loggers_and_warnings_are_as_before(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), warnings.showwarning)
    with pytest.raises(ZeroDivisionError), captured_output(tmp_path / "log"):
        assert root.level == logging.INFO
        raise ZeroDivisionError
    assert (root.level, list(root.handlers), warnings.showwarning) == before
