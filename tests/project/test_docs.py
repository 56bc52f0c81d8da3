"""What README and docs/ show is true: study files load, Python runs, links lead somewhere, the site builds."""

import importlib.util
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from study.parsing.loader import load
from study.parsing.problems import StudyFileError
from tests.helpers.paths import ROOT
from trainables.data import DATASETS

DOCS = ROOT / "docs"
GENERATED = ("reference/study_file.md", "reference/errors.md", "reference/cli.md")
"""Pages that are derived from the code; their tests are elsewhere."""

BASE = """
study: example
data: {dataset: mfeat}
teacher: {model: mlp}
student: {model: mlp}
arms: {kd: {method: kd}, ciba: {method: ciba}}
"""
"""The study that a part of a study file in the docs is added to."""


class CodeBlock(NamedTuple):
    """One fenced block of a page."""

    page: str
    number: int
    text: str


def pages() -> list[Path]:
    """README, CONTRIBUTING, CHANGELOG, the benchmarks' pages, and every page of the site that is written by hand."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    site = [path for path in sorted(DOCS.rglob("*.md")) if path.relative_to(DOCS).as_posix() not in GENERATED]
    return [*top, *sorted((ROOT / "benchmarks").rglob("*.md")), *site]


def blocks(language: str) -> list[CodeBlock]:
    """All blocks of one language. CONTRIBUTING's have their own test, which follows it step by step."""
    found = []
    for path in pages():
        if path.name == "CONTRIBUTING.md":
            continue
        texts = re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE)
        found += [CodeBlock(path.relative_to(ROOT).as_posix(), number, text) for number, text in enumerate(texts)]
    return found


def each(language: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks(language), ids=lambda block: f"{block.page}:{block.number}")


def whole_file(text: str) -> str:
    """The block as a study file: as it is, or added to the base study where it is a part of one."""
    yaml = YAML(typ="safe", pure=True)
    shown: dict[str, Any] = yaml.load(text)
    if "study" in shown:
        return text
    return "\n".join(line for line in BASE.splitlines() if line.partition(":")[0] not in shown) + "\n" + text


@each("yaml")
def test_every_study_file_loads(block: CodeBlock, tmp_path: Path) -> None:
    """Where files of a data set are needed, the only complaint is that they are missing."""
    file = tmp_path / "sweep.yaml"
    file.write_text(whole_file(block.text))
    try:
        load(file)
    except StudyFileError as error:
        other = [problem for problem in error.problems if "root" not in problem.message]
        assert not other and "root" in block.text, str(error)


@pytest.fixture
def finished_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory of the examples: a small study in sweep.yaml, and the directory that it left."""
    with tarfile.open(ROOT / "tests" / "integration" / "previous_version" / "store.tar.gz") as archive:
        archive.extractall(tmp_path / "studies", filter="data")
    (tmp_path / "studies" / "small.yaml").rename(tmp_path / "sweep.yaml")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@each("python")
def test_every_python_block_runs(block: CodeBlock, finished_study: None, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block.text, block.page, "exec"), {})
    assert capsys.readouterr().out, "an example prints what it shows"


def test_there_is_something_to_test() -> None:
    assert len(blocks("yaml")) > 5 and blocks("python")


def test_every_dataset_has_a_page() -> None:
    index = (DOCS / "data" / "index.md").read_text()
    for name in DATASETS:
        text = (DOCS / "data" / f"{name}.md").read_text()
        assert text.startswith(f"# `{name}`:") and f"{{config-fields}} data {name}\n" in text
        assert f"]({name}.md)" in index and re.search(rf"^{name}$", index, flags=re.MULTILINE)


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_files_lead_somewhere(path: Path) -> None:
    """Sphinx checks the anchors within the site; these are the links as a code host shows them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http", "#")):
            place = path.parent / target.partition("#")[0]
            relative = place.resolve().relative_to(DOCS).as_posix() if place.resolve().is_relative_to(DOCS) else ""
            assert place.exists() or relative in GENERATED, f"{path.name} links to {target}"


def link_checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_links", DOCS / "check_links.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<h1 id="top">a</h1><a href="b.html#there">1</a><a href="#top">2</a><a href="https://example.org/">3</a>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p><a href="gone.html">1</a><a href="index.html#no">2</a>')
    assert link_checker().broken_links(tmp_path) == [
        "b.html: gone.html: no such file",
        "b.html: index.html#no: no such anchor",
    ]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_its_links_resolve(tmp_path: Path) -> None:
    """As `make docs` does."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    assert link_checker().broken_links(tmp_path) == []
