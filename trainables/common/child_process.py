"""A child process that does what it is asked.

A plain one rather than `multiprocessing`'s, which would import the caller's main module again, and rather than a fork,
which does not go with the threads of torch and Ray. It takes pickled (function, arguments) from its input and answers
each with what the function gave or raised. It ends when its input does, so with its parent, however that ends.
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
    """The process ended before it had answered."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a child process died (exit code {code})")
        self.code = code


class ChildProcess:
    """One child process, started when it is first asked and again after its death. Asked by one thread at a time."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a module-level function gives when the child calls it, or the exception that it raises.

        Raises:
            ChildDiedError: if the process dies on the way; the next call starts another.

        """
        process = self.process = self.process or start()
        assert process.stdin and process.stdout
        try:
            question = pickle.dumps((function, arguments))
            process.stdin.write(len(question).to_bytes(8, "little") + question)
            process.stdin.flush()
            value, error, told = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError):
            self.close()
            raise ChildDiedError(process.returncode) from None
        if told:
            error = error if error is not None else RuntimeError(told.splitlines()[-1])
            error.add_note(f"In a child process:\n{told}")
            raise error
        return value

    def kill(self) -> None:
        """End the process from another thread, even while it is asked."""
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
                pass  # it died with a question half written; all that is left is to wait for it
            process.wait()
            process.stdout.close()


def start() -> subprocess.Popen[bytes]:
    """A child process that imports these very packages, whatever is installed; Ctrl-C in a terminal is not for it."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-c", "from trainables.common.child_process import serve; serve()"]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, process_group=0)


def serve() -> None:
    """A child's life: answer until the input ends. What libraries print goes to the error output."""
    questions, answers = os.fdopen(os.dup(sys.stdin.fileno()), "rb"), os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    asked: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=listen, args=(questions, asked), daemon=True).start()
    while True:
        answers.write(answer(asked.get()))
        answers.flush()


def listen(questions: Any, asked: "SimpleQueue[bytes]") -> None:
    """Pass questions on. At their end nobody waits for an answer any more, so the process ends at once."""
    while questions.peek(1):
        length = int.from_bytes(questions.read(8), "little")
        asked.put(questions.read(length))
    os._exit(0)


def answer(question: bytes) -> bytes:
    """A pickled (value, error, traceback). An error that cannot be pickled is left to its traceback."""
    try:
        function, arguments = pickle.loads(question)
        return pickle.dumps((function(*arguments), None, ""))
    except Exception as error:  # whatever it is, also a function that cannot be imported here, it is the asker's
        told = traceback.format_exc()
        try:
            pickle.loads(pickled := pickle.dumps((None, error, told)))
        except Exception:
            return pickle.dumps((None, None, told))
        return pickled
