"""Functions that tests run in child processes; they are in a module that a child process can import."""

import os
import sys
import time
from pathlib import Path

import numpy as np

from trainables.data.readers.media import UnreadableError


def read_numbers(source: tuple[str, int]) -> dict[str, np.ndarray]:
    """Two rows of a made-up clip. Numbers from 90 cannot be read; 99 kills the process; all others create a file."""
    folder, number = source
    if number == 99 and "serve()" in " ".join(sys.orig_argv):
        os._exit(3)
    if number >= 90:
        raise UnreadableError(f"{number} is too much")
    Path(folder, f"{number}.read").touch()
    return {"teacher": np.full((2, 3), number), "student": np.array([[number], [number + 0.5]])}


def fail(argument: int) -> None:
    raise ZeroDivisionError(argument)


def divide(numerator: float, denominator: float) -> float:
    return numerator / denominator


def say(words: str) -> str:
    print(words, flush=True)
    return words


def work_for_ever(begun: Path) -> None:
    """Creates the file `begun` and does not return."""
    begun.touch()
    while True:
        time.sleep(60)


def leave(code: int) -> None:
    os._exit(code)


class Unpicklable(Exception):
    """Two arguments, one message: pickle cannot create it again."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def raise_what_cannot_be_pickled() -> None:
    raise Unpicklable("two", "parts")
