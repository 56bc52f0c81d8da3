"""House rules that no linter checks; each import contract of `pyproject.toml` finds an import that it forbids."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PACKAGES = ("search_spaces", "trainables", "study")

LONGEST_FUNCTION = 40
"""Lines of a function's body, its docstring not counted."""
LONGEST_FILE = 330
LARGEST_ROOM = 15
"""Files of one folder; `__init__.py` is not counted."""


def python(root: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a new process that imports the packages from `root`."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def lint_imports(root: Path) -> str:
    """What import-linter says of the packages in `root` and the contracts of the project."""
    code = "from importlinter.cli import lint_imports_command as run; run()"
    return python(root, code, "--no-cache", "--config", str(ROOT / "pyproject.toml")).stdout


def file_graph(root: Path) -> dict[str, set[str]]:
    """The modules that each module of the three packages imports, also inside functions."""
    code = """
import json, sys, grimp
graph = grimp.build_graph(*sys.argv[1:], cache_dir=None)
print(json.dumps({module: sorted(graph.find_modules_directly_imported_by(module)) for module in graph.modules}))
"""
    return {module: set(targets) for module, targets in json.loads(python(root, code, *PACKAGES).stdout).items()}


def import_cycle(root: Path) -> list[str]:
    """The modules of one cycle of imports between files; empty if there is none."""
    graph = file_graph(root)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def size_problems(root: Path) -> list[str]:
    """Rooms with too many files, files and functions with too many lines."""
    files = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    rooms = [path.parent.relative_to(root).as_posix() for path in files if path.name != "__init__.py"]
    found = [f"{room}: more than {LARGEST_ROOM} files" for room in set(rooms) if rooms.count(room) > LARGEST_ROOM]
    for path in files:
        file, text = path.relative_to(root).as_posix(), path.read_text()
        if text.count("\n") > LONGEST_FILE:
            found.append(f"{file}: more than {LONGEST_FILE} lines")
        found += [f"{file}:{problem}" for problem in long_functions(text)]
    return found


def long_functions(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno >= LONGEST_FUNCTION:
                yield f"{node.lineno}: {node.name}: more than {LONGEST_FUNCTION} lines"


def test_the_import_contracts_are_kept() -> None:
    output = lint_imports(ROOT)
    assert ", 0 broken" in output, output


def test_no_file_imports_itself_through_others() -> None:
    assert import_cycle(ROOT) == []


def test_rooms_files_and_functions_are_small() -> None:
    assert size_problems(ROOT) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The Python files of the three packages, to be changed."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return tmp_path


def add(root: Path, file: str, text: str) -> None:
    """Appends to a file that is there, or to a new one."""
    with (root / file).open("a") as stream:
        stream.write(text + "\n")


FORBIDDEN = [
    ("search_spaces/new.py", "import study.runner", "search_spaces.new -> study.runner (l.1)"),
    ("search_spaces/new.py", "from trainables import fit", "search_spaces.new -> trainables (l.2)"),
    (
        "trainables/mi/new.py",
        "def f() -> None:\n    from study import runner",
        "trainables.mi.new -> study.runner (l.2)",
    ),
    ("trainables/mi/new.py", "from search_spaces.space import S", "trainables.mi.new -> search_spaces.space (l.3)"),
    ("trainables/room.py", "", "- trainables.room"),  # it has no place in the order
    ("trainables/common/new.py", "import trainables.mi.ksg", "trainables.common.new -> trainables.mi.ksg (l.1)"),
    ("study/storage/new.py", "def f() -> None:\n    import study.runner", "No cycles are allowed in study."),
    ("study/analysis/new.py", "import study.report.write", "study.analysis.new -> study.report.write (l.1)"),
    (
        "trainables/mi/base.py",
        "def f() -> None:\n    import trainables.mi.ksg",
        "No cycles are allowed in trainables.mi.",
    ),
    ("trainables/fitting.py", "def f() -> None:\n    import ray.train", "trainables.fitting -> ray (l."),
    ("study/report/new.py", "from optuna.importance import x", "study.report.new -> optuna (l.1)"),
    ("study/execution/new.py", "import mlflow", "study.execution.new -> mlflow (l.1)"),
]
"""Files, what is added to them, and what import-linter says."""


def test_the_contracts_find_what_they_forbid(copy: Path) -> None:
    for file, text, _ in FORBIDDEN:
        add(copy, file, text)
    output = lint_imports(copy)
    assert "Contracts: 0 kept" in output
    assert [expected for _, _, expected in FORBIDDEN if expected not in output] == []


def test_a_cycle_through_an_import_in_a_function_is_found(copy: Path) -> None:
    add(copy, "study/a.py", "from study.b import x")
    add(copy, "study/b.py", "from study import runner")
    assert import_cycle(copy) == []
    add(copy, "study/b.py", "def f() -> None:\n    from study import a")
    assert set(import_cycle(copy)) == {"study.a", "study.b"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n" * (LONGEST_FILE + 1), "study/report/new.py: more than "),
        ("def f() -> None:\n" + "    pass\n" * 41, "study/report/new.py:1: f: more than 40 lines"),
    ],
)
def test_a_file_that_is_too_long_is_found(copy: Path, text: str, problem: str) -> None:
    add(copy, "study/report/new.py", text)
    (found,) = size_problems(copy)
    assert found.startswith(problem)


def test_a_room_that_is_too_large_is_found(copy: Path) -> None:
    for number in range(LARGEST_ROOM + 1):
        add(copy, f"study/storage/new{number}.py", "")
    assert size_problems(copy) == [f"study/storage: more than {LARGEST_ROOM} files"]


CLUSTER = {"ray", "mlflow", "optuna"}
SLOW = {"torchvision", "torch._dynamo", "scipy", "statsmodels", "sklearn", "matplotlib", "av", "h5py"}
SLOW |= {"timm", "open_clip", "huggingface_hub"}
"""Each takes as long as torch itself, or is needed for one data set only."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        pytest.param(("trainables.fitting", "study.parsing.loader"), CLUSTER | SLOW, id="what every process imports"),
        pytest.param(("study.run", "study.console.status", "study.report.write"), CLUSTER, id="what needs no cluster"),
        # A study starts a dozen of these processes, and torch would cost each three seconds of a core.
        pytest.param(
            ("study.execution.tune_trainable", "study.execution.mailbox", "study.execution.train_backend"),
            {"torch", "optuna", "mlflow"},
            id="actors",
        ),
    ],
)
def test_imports_bring_nothing_that_is_not_needed(modules: tuple[str, ...], unwanted: set[str]) -> None:
    assert brought(modules, unwanted) == {module: [] for module in modules}


def test_a_library_that_is_not_needed_is_found_with_the_module_that_brought_it() -> None:
    found = brought(("json", "csv", "decimal"), {"csv", "decimal"})
    assert found == {"json": [], "csv": ["csv"], "decimal": ["decimal"]}


def brought(modules: tuple[str, ...], unwanted: set[str]) -> dict[str, list[str]]:
    """Which of the unwanted libraries each module brought, imported one after another in a new process."""
    code = f"""
import importlib, json, sys
unwanted, found = {unwanted!r}, {{}}
for module in {modules!r}:
    importlib.import_module(module)
    found[module] = sorted(unwanted & set(sys.modules))
    unwanted -= set(sys.modules)
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
