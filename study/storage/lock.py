"""Locks a study directory for one process and refuses it if it contains a different study."""

import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from pydantic import ValidationError

from study.config.study_config import StudyConfig
from study.errors import StudyError
from study.storage.resume_rule import differences
from study.storage.store import StudyStore
from trainables.common.atomic_files import read_json, write_bytes, write_json

LOCK_SECONDS = 2.0
"""How long to wait for the lock, because `study status` acquires it for a moment."""


class Driver(NamedTuple):
    """The process that runs a study or was the last to run it."""

    pid: int
    host: str
    started: float
    """Seconds since the epoch."""


@contextmanager
def study_lock(directory: Path) -> Generator[None]:
    """Prevent other processes from running this study inside the context.

    Raises:
        StudyError: if another process runs it.

    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / "study.lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        driver = read_driver(directory)
        who = f"process {driver.pid} on {driver.host}" if driver else "another process"
        raise StudyError(
            f"{directory}: only one process may run a study, and {who} runs this one; "
            "wait for it, stop it, or give yours another name (`study:`)"
        ) from None
    try:
        write_json(directory / "driver.json", Driver(os.getpid(), socket.gethostname(), time.time())._asdict())
        yield
    finally:
        lock.release()


def read_driver(directory: Path) -> Driver | None:
    """The process that ran the study last, or None if it was never run."""
    try:
        return Driver(**read_json(directory / "driver.json"))
    except FileNotFoundError:
        return None


def is_locked(directory: Path) -> bool:
    """Whether a process is running the study."""
    if not (directory / "study.lock").exists():
        return False
    lock = FileLock(directory / "study.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def move_aside(directory: Path) -> Path | None:
    """Rename a study directory to `<name>.old-<time>`, so that a new one can be made; nothing is deleted.

    Returns:
        The new path, or None if there was no study.

    Raises:
        StudyError: if a process runs it.

    """
    if not (directory / "study.json").exists():
        return None
    with study_lock(directory):
        aside = directory.with_name(f"{directory.name}.old-{time.strftime('%Y%m%d-%H%M%S')}")
        return directory.rename(aside)


def check_changes(study: StudyConfig, path: Path) -> list[str]:
    """The changes of the file since the study was last run, one line each; none for a new study.

    Raises:
        StudyError: with the differences, if the results of the two cannot be compared.

    """
    try:
        stored = read_json(study.directory / "study.json")
    except FileNotFoundError:
        return []
    ways = "--fresh sets the old study aside and begins anew; another name under `study:` keeps both"
    try:
        changed = differences(StudyConfig.model_validate(stored), study)
    except ValidationError as error:
        raise StudyError(
            f"{path}: {study.directory} was written by another version of this program, which wrote "
            f"{error.error_count()} values of study.json differently; {ways}"
        ) from error
    if changed.blocking:
        lines = [f"{path}: the results in {study.directory} cannot be compared with what the file now asks for"]
        raise StudyError("\n".join([*lines, *(f"  {line}" for line in changed.blocking), ways]))
    return changed.harmless


def record_study(study: StudyConfig) -> None:
    """Store the study file and the resolved study, before the study is run."""
    write_bytes(study.directory / "study.yaml", study.source.encode())
    write_json(study.directory / "study.json", study.model_dump(mode="json"))
    StudyStore(study.directory).record_epoch_counts({arm.base.training.epochs for arm in study.arms})
