"""Runs a command of this package in another process, with its output printed by this one (also into a notebook)."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple


class Finished(NamedTuple):
    """How a process ended."""

    status: int
    """Exit status."""
    errors: str
    """What it wrote to its standard error output."""


def run_process(arguments: Sequence[str]) -> Finished:
    """Run `python -m <arguments>` and print each line of its output as it comes.

    The process gets a new process group: an interrupt reaches it once, from here, whether the terminal or a
    notebook sends it.

    Args:
        arguments: the module and its arguments.

    Returns:
        Its exit status and error output.
    """
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-u", "-m", *arguments]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": path},
            encoding="utf-8",
            errors="replace",
            process_group=0,
        ) as process,
    ):
        assert process.stdout
        try:
            print_lines(process.stdout)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            print_lines(process.stdout)
        status = process.wait()
        errors.seek(0)
        return Finished(status, errors.read())


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they come."""
    for line in lines:
        print(line, end="", flush=True)
