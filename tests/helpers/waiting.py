"""Waiting for events. A test waits for something to happen, never for a time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

import psutil
import pytest

T = TypeVar("T")

HANG_SECONDS = 600.0
"""Only a test that would never end waits as long: the slowest machine is done much earlier."""

POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], T], what: str) -> T:
    """Ask again and again until `condition` returns a true value, and return that value.

    Args:
        condition: what to ask; it has no side effects.
        what: the event, for the message of a test that fails because it never happens.

    """
    deadline = time.monotonic() + HANG_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {HANG_SECONDS:.0f} s in vain until {what}")
        time.sleep(POLL_SECONDS)
    return value


def has_ended(pid: int) -> bool:
    """Whether a process does not run any more. One that waits for its parent to read its exit code has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
