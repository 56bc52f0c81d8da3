"""A child process that calls functions for its parent.

A child of `multiprocessing` would import the caller's main module again, and a fork does not work with the threads of
torch and Ray. This child is a plain subprocess: it reads pickled (function, arguments) from its input and writes the
function's result or exception. It ends when its input ends, and so with its parent.
"""

import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class ChildDiedError(RuntimeError):
    """The process ended before it returned a result."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a child process died (exit code {code})")
        self.code = code


class ChildProcess:
    """One child process, started by the first call and restarted after it died. Only one thread may call at a time."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a module-level function in the child and return its result, or raise its exception.

        Raises:
            ChildDiedError: if the process ends during the call; the next call starts another process.

        """
        process = self.process = self.process or start()
        assert process.stdin and process.stdout
        try:
            request = pickle.dumps((function, arguments))
            process.stdin.write(len(request).to_bytes(8, "little") + request)
            process.stdin.flush()
            value, error, text = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError):
            self.close()
            raise ChildDiedError(process.returncode) from None
        if text:
            error = error if error is not None else RuntimeError(text.splitlines()[-1])
            error.add_note(f"In a child process:\n{text}")
            raise error
        return value

    def kill(self) -> None:
        """End the process from another thread, even during a call."""
        if (process := self.process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process, if there is one."""
        process, self.process = self.process, None
        if process is not None:
            assert process.stdin and process.stdout
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass  # the process died while a request was being written
            process.wait()
            process.stdout.close()


def start() -> subprocess.Popen[bytes]:
    """Start a child that imports these packages, not installed ones. Ctrl-C in a terminal does not reach it."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-c", "from trainables.common.child_process import serve; serve()"]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, process_group=0)


def serve() -> None:
    """Answer requests until the input ends. What libraries print goes to stderr."""
    requests, answers = os.fdopen(os.dup(sys.stdin.fileno()), "rb"), os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    queue: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=listen, args=(requests, queue), daemon=True).start()
    while True:
        answers.write(answer(queue.get()))
        answers.flush()


def listen(requests: Any, queue: "SimpleQueue[bytes]") -> None:
    """Put requests into the queue. End the process when the input ends, because the parent has ended."""
    while requests.peek(1):
        length = int.from_bytes(requests.read(8), "little")
        queue.put(requests.read(length))
    os._exit(0)


def answer(request: bytes) -> bytes:
    """A pickled (value, error, traceback). If the error cannot be pickled, it is None and the traceback remains."""
    try:
        function, arguments = pickle.loads(request)
        return pickle.dumps((function(*arguments), None, ""))
    except Exception as error:  # also for a function that cannot be imported here
        text = traceback.format_exc()
        try:
            pickle.loads(pickled := pickle.dumps((None, error, text)))
        except Exception:
            return pickle.dumps((None, None, text))
        return pickled
