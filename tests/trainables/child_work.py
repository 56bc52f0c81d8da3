"""What the child processes of `test_media.py` are given to do; a module of its own, because they must import it."""

import os
import sys
from pathlib import Path

import numpy as np

from trainables.data.media import UnreadableError


def read_numbers(source: tuple[str, int]) -> dict[str, np.ndarray]:
    """Two rows of a made-up clip. Numbers from 90 cannot be read; 99 kills the process; all others leave a mark."""
    folder, number = source
    if number == 99 and "serve()" in " ".join(sys.orig_argv):
        os._exit(3)
    if number >= 90:
        raise UnreadableError(f"{number} is too much")
    Path(folder, f"{number}.read").touch()
    return {"teacher": np.full((2, 3), number), "student": np.array([[number], [number + 0.5]])}


def fail(argument: int) -> None:
    raise ZeroDivisionError(argument)
