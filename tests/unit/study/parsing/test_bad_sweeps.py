"""Every wrong study file gets all its problems, one line each, and nothing else.

`tests/sweeps/bad/NAME.txt` contains the lines that are expected for `NAME.yaml`, without the file name in front.
After a change of wording, run `python -m tests.unit.study.parsing.test_bad_sweeps` and read the difference.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study.parsing.loader import load
from study.parsing.problems import StudyFileError
from tests.helpers.paths import ROOT

BAD = ROOT / "tests" / "sweeps" / "bad"
FILES = sorted(BAD.glob("*.yaml"))
CORES = 4
MINIMAL = "study: small\ndata: {dataset: mfeat}\nteacher: {model: mlp}\nstudent: {model: mlp}\narms: {kd: }\n"


@pytest.fixture(autouse=True)
def a_machine_of_four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: CORES)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def problem_lines(path: Path) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(path)) for line in lines)
    return [line.removeprefix(str(path)).removeprefix(":").strip() for line in lines]


def test_there_are_enough() -> None:
    assert len(FILES) >= 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_problems_of_a_file(path: Path) -> None:
    assert problem_lines(path) == path.with_suffix(".txt").read_text().splitlines()


def test_each_line_says_where_and_what() -> None:
    for path in FILES:
        for line in path.with_suffix(".txt").read_text().splitlines():
            if path.stem not in ("empty", "only_comments"):
                place, message = line.split(" ", 1)
                row, column, rest = place.split(":")
                assert row.isdigit() and column.isdigit() and rest == "", line
                text = path.read_bytes().decode("utf-8", errors="replace").splitlines()
                assert 1 <= int(row) <= len(text) + 1, line
                assert message.endswith("?") or len(message) > 15, line


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    assert problem_lines(path) == ["no such file; check the path, or copy sweep.yaml to begin with"]


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    assert problem_lines(tmp_path) == ["is a folder; give the YAML file itself"]


def test_a_file_that_is_no_study_but_huge(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_bytes(b"- 1\n" * 300_000)
    assert problem_lines(path) == ["must be smaller than 1000000 bytes, but has 1200000; is this a study file?"]


def test_a_file_of_aliases_that_multiply_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "laughs.yaml"
    lines = ["a: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path.write_text("\n".join(lines))
    assert problem_lines(path) == ["5:5: a4: has more than 20000 values; a study file needs far fewer"]


@pytest.mark.parametrize("name", ["taken", '"a\\0b"', "x" * 300])
def test_studies_that_can_be_no_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    path = tmp_path / "sweep.yaml"
    path.write_text(f"{MINIMAL}studies: {name}\n")
    (line,) = problem_lines(path)
    assert line.startswith("6:10: studies: must be a folder, or the name of a new one, but ")


WORDS = """
on|null|1e-4|-1|1e400|.nan|[]|{}|[1, {a: b}]|{low: 1}|default|true|{low: [1], high: {}}|'|x: y|&a [*a]|!!int 3
2020-01-01|~|0x1F|{low: 1e308, high: 1e309}|{low: 1, high: 1e308, step: 1}|"\\0"|{low: 1, high: 2, step: 1e-320}
"""
PATHS = """
study data data.labels teacher student.hidden student.feature_dim training training.lr space space.batch_size
space.student.feature_dim arms arms.kd arms.kd.method arms.kd.space arms.kd.T arms.kd.space.T search search.seeds
search.metric search.objectives resources.cpus resources.concurrency resources.ray tracking.uri report.baseline report
studies pretraining
"""


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(PATHS.split()), word=st.sampled_from([*WORDS.strip().replace("\n", "|").split("|"), "9" * 400])
)
def test_no_value_anywhere_is_answered_with_a_stack_trace(path: str, word: str, tmp_path: Path) -> None:
    base = {"study": "s", "data": "{dataset: mfeat}", "teacher": "{model: mlp}", "student": "{model: mlp}"}
    top, _, inner = path.partition(".")
    text = word
    if inner:
        text = f"{{{inner}: {word}}}" if top != "arms" else "{kd: " + nested(inner.split(".", 1)[1:], word) + "}"
    lines = {**base, "arms": "{kd: }", top: text}
    file = tmp_path / "sweep.yaml"
    file.write_text("".join(f"{name}: {value}\n" for name, value in lines.items()))
    try:
        load(file)
    except StudyFileError as error:
        assert all(line.startswith(str(file)) for line in str(error).splitlines())


def nested(names: list[str], word: str) -> str:
    inner, _, rest = names[0].partition(".") if names else ("", "", "")
    return f"{{{inner}: {nested([rest], word) if rest else word}}}" if inner else word


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="ab:,-[]{}&*!?|>'\"%@`#~ \n\t0", max_size=40))
def test_no_text_is_answered_with_a_stack_trace(text: str, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(StudyFileError):
        load(file)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["many_at_once", "tab_indentation", "empty"])
def test_the_command_line_answers_a_wrong_file_before_anything_heavy_is_imported(name: str, tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_module('study.run', run_name='__main__')\n"
        "finally:\n"
        "    print('IMPORTED', sorted({'ray', 'mlflow', 'optuna'} & set(sys.modules)))\n"
    )
    path = BAD / f"{name}.yaml"
    command = [sys.executable, "-c", code, str(path)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 2
    assert "IMPORTED []" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    for line in path.with_suffix(".txt").read_text().splitlines():
        assert f"{path}:{' ' if line.startswith('is ') else ''}{line}" in ran.stdout + ran.stderr
    assert list(tmp_path.iterdir()) == []


if __name__ == "__main__":
    os.cpu_count = lambda: CORES
    torch.cuda.is_available = lambda: False
    for file in FILES:
        file.with_suffix(".txt").write_text("".join(f"{line}\n" for line in problem_lines(file)))
