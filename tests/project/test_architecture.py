"""The import direction and the house rules that a parser can check, over every module of the three packages."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.paths import ROOT

PACKAGES = ("search_spaces", "trainables", "study")

MAY_IMPORT = {
    "search_spaces": ("search_spaces",),
    "trainables": ("trainables", "search_spaces.domains"),
    "study": PACKAGES,
}
"""What of the three packages each may import: `search_spaces` <- `trainables` <- `study`."""

ONLY_IN = {
    "optuna": (
        "study/search/search.py",
        "study/search/samplers.py",
        "study/search/pruners.py",
        "study/search/importance.py",
    ),
    "mlflow": ("study/tracking/*.py",),
    "ray": (
        "study/execution/tune_adapters.py",
        "study/execution/driver.py",
        "study/execution/slots.py",
        "study/execution/mailbox.py",
        "study/execution/tune_trainable.py",
        "study/execution/train_backend.py",
        "trainables/worker/driver_link.py",
        "trainables/worker/worker.py",
    ),
}
"""The files that may import a heavy library."""

LONGEST_FUNCTION = 40
"""Lines of a function's body, its docstring not counted."""
LONGEST_FILE = 350


class Import(NamedTuple):
    target: str
    """Dotted name; for `from a import b` this is `a.b`."""
    line: int
    at_module_level: bool


def modules(root: Path) -> dict[str, Path]:
    """Every module of the three packages by its dotted name."""
    paths = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    return {dotted(path.relative_to(root)): path for path in paths}


def dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.Module) -> Iterator[Import]:
    """Every import; those inside functions are not at module level."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = {node for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, node not in inner) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (Import(f"{base}.{alias.name}", node.lineno, node not in inner) for alias in node.names)


def is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def import_problems(root: Path) -> list[str]:
    """Imports against the direction, or of a heavy library outside the files that are there for it."""
    found = []
    for module, path in modules(root).items():
        file = path.relative_to(root).as_posix()
        for target, line, _ in imports(ast.parse(path.read_text())):
            allowed = MAY_IMPORT[module.split(".")[0]]
            ours = any(is_inside(target, package) for package in PACKAGES)
            if target.startswith(".") or (ours and not any(is_inside(target, name) for name in allowed)):
                found.append(f"{file}:{line}: may import {', '.join(allowed)} by full name, not {target}")
            for library, files in ONLY_IN.items():
                if is_inside(target, library) and not any(fnmatch(file, pattern) for pattern in files):
                    found.append(f"{file}:{line}: {library} is imported in {', '.join(files)} only")
    return found


def import_cycle(root: Path) -> list[str]:
    """The modules of one cycle of module-level imports; empty if there is none."""
    known = modules(root)
    graph = {
        module: {
            name
            for target, _, at_module_level in imports(ast.parse(path.read_text()))
            if at_module_level and (name := target if target in known else target.rpartition(".")[0]) in known
        }
        for module, path in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def style_problems(root: Path) -> list[str]:
    """Modules without a docstring, files and functions that are too long, functions that are not annotated."""
    found = []
    for path in modules(root).values():
        file, text = path.relative_to(root).as_posix(), path.read_text()
        tree = ast.parse(text)
        if not ast.get_docstring(tree):
            found.append(f"{file}: no docstring")
        if text.count("\n") > LONGEST_FILE:
            found.append(f"{file}: more than {LONGEST_FILE} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [f"{file}:{node.lineno}: {node.name}: {problem}" for problem in function_problems(node)]
    return found


def function_problems(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    if body and (body[-1].end_lineno or 0) - body[0].lineno >= LONGEST_FUNCTION:
        yield f"more than {LONGEST_FUNCTION} lines"
    if node.returns is None and node.name != "__init__":
        yield "no return type"
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    for argument in every:
        if argument and argument.annotation is None and argument.arg not in ("self", "cls"):
            yield f"{argument.arg!r} has no type"


def test_imports_point_one_way_and_heavy_libraries_stay_in_their_files() -> None:
    assert import_problems(ROOT) == []


def test_no_module_imports_itself_by_a_detour() -> None:
    assert import_cycle(ROOT) == []


def test_every_module_has_a_docstring_and_every_function_types() -> None:
    assert style_problems(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line", "problem"),
    [
        (
            "search_spaces/a.py",
            "import study.config.study_config",
            "may import search_spaces by full name, not study.config.study_config",
        ),
        ("search_spaces/a.py", "from trainables import types", "not trainables.types"),
        ("trainables/a.py", "from study import store", "not study.store"),
        ("trainables/a.py", "from search_spaces.space import Space", "not search_spaces.space.Space"),
        ("trainables/a.py", "from . import b", "by full name"),
        ("trainables/fit.py", "def f() -> None:\n    import ray.train", "ray is imported in"),
        ("study/report/write.py", "from optuna.importance import x", "optuna is imported in"),
        ("study/execution/driver.py", "import mlflow", "mlflow is imported in study/tracking/*.py only"),
    ],
)
def test_an_import_against_the_rules_is_found(tmp_path: Path, file: str, line: str, problem: str) -> None:
    write(tmp_path, file, line)
    (found,) = import_problems(tmp_path)
    assert found.startswith(f"{file}:")
    assert problem in found


def test_what_the_rules_allow_is_not_found(tmp_path: Path) -> None:
    write(tmp_path, "study/tracking/runs.py", "import mlflow\nfrom trainables.common.types import Batch")
    write(
        tmp_path,
        "trainables/worker/worker.py",
        "import ray.train\nimport rayon\nfrom search_spaces.domains import Choice",
    )
    assert import_problems(tmp_path) == []


def test_a_cycle_is_found_and_an_import_inside_a_function_is_none(tmp_path: Path) -> None:
    write(tmp_path, "study/a.py", "from study.b import x")
    write(tmp_path, "study/b.py", "def f() -> None:\n    from study import a")
    assert import_cycle(tmp_path) == []
    write(tmp_path, "study/b.py", "from study import a")
    assert set(import_cycle(tmp_path)) == {"study.a", "study.b"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1", "no docstring"),
        ('"""Doc."""\ndef f(x: int): ...', "f: no return type"),
        ('"""Doc."""\nclass C:\n    def g(self, *, y) -> int: ...', "g: 'y' has no type"),
        ('"""Doc."""\n' + "\n" * 350, "more than 350 lines"),
        ('"""Doc."""\ndef f() -> None:\n' + "    pass\n" * 41, "f: more than 40 lines"),
    ],
)
def test_a_breach_of_style_is_found(tmp_path: Path, text: str, problem: str) -> None:
    write(tmp_path, "study/a.py", text)
    (found,) = style_problems(tmp_path)
    assert problem in found


def write(root: Path, file: str, text: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text)


CLUSTER = {"ray", "mlflow", "optuna"}
SLOW = {"torchvision", "torch._dynamo", "scipy", "statsmodels", "sklearn", "matplotlib", "av", "h5py"}
SLOW |= {"timm", "open_clip", "huggingface_hub"}
"""Each takes as long as torch itself, or is needed for one data set only."""


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        pytest.param(("trainables.fit", "study.parsing.loader"), CLUSTER | SLOW, id="what every process imports"),
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
