"""Waiting for events. A test waits for something to happen, never for a time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

import psutil
import pytest

T = TypeVar("T")

HANG_SECONDS = 600.0
"""Time limit for tests that would never end; the slowest machine needs much less."""

POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], T], what: str) -> T:
    """Call `condition` until it returns a true value, and return that value.

    Args:
        condition: has no side effects.
        what: the event, for the message of a test that fails because it never happens.
    """
    deadline = time.monotonic() + HANG_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {HANG_SECONDS:.0f} s, but it did not happen: {what}")
        time.sleep(POLL_SECONDS)
    return value


def has_ended(pid: int) -> bool:
    """Whether a process has ended. A zombie, whose exit code its parent has not read, has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
