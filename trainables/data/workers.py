"""Reading many clips in several processes: one that a broken clip kills is replaced, and the clip counts as unreadable.

Plain child processes rather than `multiprocessing`, which would import the caller's main module again, and rather than
a fork, which does not go with the threads of torch. A child takes pickled (function, argument) pairs from its input and
answers each with what was wrong.
"""

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from trainables.data.media import UnreadableError

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
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, task: Task, argument: Any) -> str | None:
        """What was wrong with the argument; also if it killed the process.

        Raises:
            RuntimeError: with the traceback of any other error than UnreadableError.

        """
        process = self.process = self.process or start()
        assert process.stdin and process.stdout
        try:
            pickle.dump((task, argument), process.stdin)
            process.stdin.flush()
            problem, failure = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError):
            self.close()
            return f"the process that read it died (exit code {process.returncode})"
        if failure:
            raise RuntimeError(f"a process that reads clips failed:\n{failure}")
        return problem

    def close(self) -> None:
        """End the process."""
        process, self.process = self.process, None
        if process is not None:
            assert process.stdin and process.stdout
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass  # it died with a task half written; all that is left is to wait for it
            process.wait()
            process.stdout.close()


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


def start() -> subprocess.Popen[bytes]:
    """A child process that imports this very package, whatever is installed."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-c", "from trainables.data.workers import serve; serve()"]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def serve() -> None:
    """A child's life: answer tasks until the input ends. What libraries print goes to the error output."""
    tasks, answers = os.fdopen(os.dup(sys.stdin.fileno()), "rb"), os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while tasks.peek(1):
        try:
            task, argument = pickle.load(tasks)
            answer = attempt(task, argument), ""
        except Exception:  # whatever it is, also a task that cannot be imported here, it is the asker's to handle
            answer = None, traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()
