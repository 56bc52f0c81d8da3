"""Reading many clips in several processes. One that a broken clip kills is replaced, and the clip is unreadable."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import Any

from trainables.common.child_process import Child, ChildDiedError
from trainables.data.readers.media import UnreadableError

Task = Callable[[Any], None]
"""A module-level function of one picklable argument; raises UnreadableError."""

PARALLEL_FROM = 64
"""Tasks from which further processes pay for their start (about two seconds each)."""


def default_processes() -> int:
    """One process for each core that this one may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(task: Task, arguments: Sequence[Any], processes: int | None = None) -> Iterator[tuple[int, str | None]]:
    """Run `task` on each argument; for each, as it ends, its number and what was wrong with it (None: nothing).

    Args:
        task: writes its result itself.
        arguments: one for each call.
        processes: how many at a time; None: one a core, or this process alone for a few tasks.

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
    """What was wrong with one argument, or None."""
    try:
        task(argument)
    except UnreadableError as error:
        return str(error)
    return None


class Worker:
    """One child process, started when it is first asked and again after its death."""

    def __init__(self) -> None:
        self.child = Child()

    def ask(self, task: Task, argument: Any) -> str | None:
        """What was wrong with the argument; also if it killed the process.

        Raises:
            RuntimeError: for any other error than UnreadableError.

        """
        try:
            return self.child.call(attempt, task, argument)
        except ChildDiedError as died:
            return f"the process that read it died (exit code {died.code})"
        except Exception as error:
            raise RuntimeError(f"a process that reads clips failed: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """End the process."""
        self.child.close()


class Pool:
    """Child processes that wait for tasks."""

    def __init__(self, processes: int) -> None:
        self.workers = [Worker() for _ in range(processes)]
        self.idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self.workers:
            self.idle.put(worker)
        self.threads = ThreadPoolExecutor(processes)

    def submit(self, task: Task, argument: Any) -> "Future[str | None]":
        """What `Worker.ask` will answer; tasks are begun in the order in which they are submitted."""
        return self.threads.submit(self.ask, task, argument)

    def ask(self, task: Task, argument: Any) -> str | None:
        """Have an idle worker do it."""
        worker = self.idle.get()
        try:
            return worker.ask(task, argument)
        finally:
            self.idle.put(worker)

    def close(self) -> None:
        """End the processes, after the tasks that they are at."""
        self.threads.shutdown(wait=True, cancel_futures=True)
        for worker in self.workers:
            worker.close()
