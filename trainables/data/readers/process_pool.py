"""Runs tasks in several processes. A process that a broken file kills is replaced; the file counts as unreadable."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import Any

from trainables.common.child_process import ChildDiedError, ChildProcess
from trainables.data.readers.media import UnreadableError

Task = Callable[[Any], None]
"""A module-level function of one picklable argument; raises UnreadableError."""

PARALLEL_FROM = 64
"""Number of tasks from which several processes are faster: starting one takes about two seconds."""


def default_processes() -> int:
    """One process for each core that this one may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(task: Task, arguments: Sequence[Any], processes: int | None = None) -> Iterator[tuple[int, str | None]]:
    """Run `task` on each argument. Yields, as each call ends, its number and its error message (None if it succeeded).

    Args:
        task: the function; it writes its own result.
        arguments: one argument for each call.
        processes: number of processes; None: one for each core, or this process alone if there are few tasks.

    """
    if processes is None:
        processes = default_processes() if len(arguments) >= PARALLEL_FROM else 1
    if processes == 1:
        yield from ((number, attempt(task, argument)) for number, argument in enumerate(arguments))
        return
    pool = Pool(processes)
    try:
        waiting = {pool.submit(task, argument): number for number, argument in enumerate(arguments)}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    finally:
        pool.close()


def attempt(task: Task, argument: Any) -> str | None:
    """The message of an UnreadableError, or None if the task succeeded."""
    try:
        task(argument)
    except UnreadableError as error:
        return str(error)
    return None


class Worker:
    """One child process, started at the first call and again after it died."""

    def __init__(self) -> None:
        self.child = ChildProcess()

    def ask(self, task: Task, argument: Any) -> str | None:
        """The error message of one call, also if it killed the process; None if it succeeded.

        Raises:
            RuntimeError: for every error other than UnreadableError.

        """
        try:
            return self.child.call(attempt, task, argument)
        except ChildDiedError as died:
            return f"the process that read it died (exit code {died.code})"
        except Exception as error:
            raise RuntimeError(f"a process that reads files failed: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Stop the process."""
        self.child.close()


class Pool:
    """A fixed number of child processes that run tasks."""

    def __init__(self, processes: int) -> None:
        self.workers = [Worker() for _ in range(processes)]
        self.idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self.workers:
            self.idle.put(worker)
        self.threads = ThreadPoolExecutor(processes)

    def submit(self, task: Task, argument: Any) -> "Future[str | None]":
        """The future result of `Worker.ask`. Tasks begin in the order in which they are submitted."""
        return self.threads.submit(self.ask, task, argument)

    def ask(self, task: Task, argument: Any) -> str | None:
        """Run the task in an idle worker."""
        worker = self.idle.get()
        try:
            return worker.ask(task, argument)
        finally:
            self.idle.put(worker)

    def close(self) -> None:
        """Cancel waiting tasks, wait for running ones and stop the processes."""
        self.threads.shutdown(wait=True, cancel_futures=True)
        for worker in self.workers:
            worker.close()
