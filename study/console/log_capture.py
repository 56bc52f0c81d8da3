"""Redirects output of Ray, MLflow, Optuna, Alembic and Python warnings to a log file.

So the terminal shows only our messages. File descriptors 1 and 2 point at the file, which also captures C code and
child processes. Our console writes to a copy of the terminal's descriptor.
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
"""Width of an output that is not a terminal and has no width."""


@contextmanager
def captured_output(path: Path) -> Iterator[Console]:
    """Send everything that is printed or logged to `path`, and yield a console on the real standard output.

    At the end, with or without an exception, streams, loggers and warnings are restored.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Rich reads the size from standard input. Only if that is not a terminal must the width be given.
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
    """Flush Python's buffers before a descriptor is redirected."""
    sys.stdout.flush()
    sys.stderr.flush()
