"""A child process answers, raises what its work raises, is replaced when it died, and ends with its parent."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.child_work import divide, leave, raise_what_cannot_be_pickled, say
from tests.helpers.paths import ROOT
from tests.helpers.waiting import has_ended, wait_until
from trainables.common.child_process import ChildDiedError, ChildProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChildProcess]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    child = ChildProcess()
    yield child
    child.close()
    assert child.process is None


def test_it_answers_and_stays(child: ChildProcess) -> None:
    assert child.call(divide, 7, 2) == 3.5
    assert child.process
    first = child.process.pid
    assert child.call(os.getpid) == first != os.getpid()


def test_what_it_prints_is_no_answer(child: ChildProcess) -> None:
    assert child.call(say, "hello") == "hello"


def test_its_exceptions_are_the_callers(child: ChildProcess) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        child.call(divide, 1, 0)
    assert "child_work.py" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="Unpicklable: two parts"):
        child.call(raise_what_cannot_be_pickled)
    assert child.call(divide, 1, 2) == 0.5


def test_one_that_died_is_replaced(child: ChildProcess) -> None:
    with pytest.raises(ChildDiedError, match="exit code 3"):
        child.call(leave, 3)
    assert child.call(divide, 1, 2) == 0.5


def test_ctrl_c_in_the_terminal_is_not_for_it(child: ChildProcess) -> None:
    pid = child.call(os.getpid)
    assert os.getpgid(pid) == pid != os.getpgid(0)


def test_it_ends_with_a_parent_that_is_killed_even_in_the_middle_of_work(tmp_path: Path) -> None:
    code = """
import sys, os
from pathlib import Path
from tests.helpers.child_work import work_for_ever
from trainables.common.child_process import ChildProcess
child = ChildProcess()
print(child.call(os.getpid), flush=True)
child.call(work_for_ever, Path(sys.argv[1]))
"""
    begun = tmp_path / "begun"
    command = [sys.executable, "-c", code, str(begun)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        wait_until(begun.exists, "the child is in the middle of work")
        assert not has_ended(pid)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: has_ended(pid), "the child has ended after its parent")
