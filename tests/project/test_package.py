"""What the package declares: its data files, the bounds of its dependencies, its version in the citation."""

import re
import tomllib

from tests.helpers.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("search_spaces", "trainables", "study")


def test_every_data_file_goes_into_the_wheel() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    declared = {
        path
        for package, names in patterns.items()
        for name in names
        for path in (ROOT / package.replace(".", "/")).glob(name)
    }
    files = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    data = {path for path in files if path.suffix not in (".py", ".pyc")}
    assert {path.name for path in data} >= {"schema.json", "ciba_mfeat.yaml", "ciba_table1a.yaml", "mfeat.npz"}
    assert data - declared == set()


def test_every_dependency_has_an_upper_bound() -> None:
    emoji = PROJECT["project"]["optional-dependencies"]["emoji"]
    assert [name for name in [*PROJECT["project"]["dependencies"], *emoji] if "<" not in name] == []


def test_the_declared_versions_of_python_are_those_of_the_linters() -> None:
    declared = [
        name.rpartition(" ")[2]
        for name in PROJECT["project"]["classifiers"]
        if name.startswith("Programming Language :: Python :: 3.")
    ]
    assert declared == ["3.11", "3.12", "3.13"]
    assert PROJECT["project"]["requires-python"] == f">={declared[0]}"
    assert PROJECT["tool"]["pyright"]["pythonVersion"] == declared[0]


def test_the_citation_has_the_version_and_the_licence() -> None:
    citation = dict(re.findall(r"^(\S+): (.+)$", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE))
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
