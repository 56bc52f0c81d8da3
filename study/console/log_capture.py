"""The terminal is ours alone: what Ray, MLflow, Optuna, Alembic and Python's warnings say goes to a log file.

File descriptors 1 and 2 are pointed at the file, so that C code and child processes are caught as well; our own
console writes to a copy of the real terminal's descriptor.
"""

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

LINE_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
PLAIN_WIDTH = 120
"""Columns of an output that is no terminal and does not say."""


@contextmanager
def captured_output(path: Path) -> Iterator[Console]:
    """Send everything that is printed or logged to `path`, and yield a console on the real standard output.

    On leaving, with or without an exception, the streams, the loggers and the warnings are as they were.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Rich asks standard input for the size and follows it; only where that is no terminal must we know beforehand.
    width = None if os.isatty(0) else shutil.get_terminal_size((PLAIN_WIDTH, 25)).columns
    flush_streams()
    terminal = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding or "utf-8", errors="replace")
    real_stderr = os.dup(2)
    with terminal, path.open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            with logging_to(logging.StreamHandler(log)):
                yield Console(file=terminal, width=width)
        finally:
            flush_streams()
            os.dup2(terminal.fileno(), 1)
            os.dup2(real_stderr, 2)
            os.close(real_stderr)


@contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    """Route the root logger, from INFO up, and Python's warnings to `handler`."""
    root = logging.getLogger()
    level = root.level
    handler.setFormatter(logging.Formatter(LINE_FORMAT))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(handler)


def flush_streams() -> None:
    """Write out what Python still holds back, before a descriptor changes its meaning."""
    sys.stdout.flush()
    sys.stderr.flush()
