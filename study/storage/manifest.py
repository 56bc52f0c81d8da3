"""manifest.json: where a study was run, so that its numbers can be traced to versions, data and machine."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch
from pydantic import JsonValue

from study.config.study_config import StudyConfig
from study.storage.store import StudyStore
from trainables.common.atomic_files import read_json, write_json
from trainables.data import DATASETS

PACKAGES = ("distillation-study", "torch", "ray", "optuna", "mlflow", "numpy", "scipy", "scikit-learn", "pydantic")

Environment = dict[str, JsonValue]
"""What `environment` collects."""

PER_RUN = ("command", "seeds", "earlier")
"""Entries that may differ between two runs in the same environment."""


def write_manifest(study: StudyConfig, store: StudyStore) -> Environment:
    """Write the present environment to the study directory, and return it.

    A study that went on in another environment keeps those before it under `earlier`, each once.
    """
    now = environment(study)
    before = read_manifest(store)
    known = [*as_list(before.pop("earlier", [])), *([before] if before else [])]
    earlier = [entry for entry in known if isinstance(entry, dict) and not same(entry, now)]
    write_json(store.directory / "manifest.json", now | ({"earlier": earlier} if earlier else {}))
    return now


def read_manifest(store: StudyStore) -> Environment:
    """The environment of the last run (with those before it under `earlier`); empty if there was none."""
    try:
        return read_json(store.directory / "manifest.json")
    except FileNotFoundError:
        return {}


def as_list(value: JsonValue) -> list[JsonValue]:
    """`value` where it is a list, otherwise no entries."""
    return value if isinstance(value, list) else []


def same(first: Environment, second: Environment) -> bool:
    """Whether two runs had the same versions, code, data and machine."""
    names = (first.keys() | second.keys()) - set(PER_RUN)
    return all(first.get(name) == second.get(name) for name in names)


def environment(study: StudyConfig) -> Environment:
    """Versions, machine, git commit, data fingerprints, seeds and command line."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cpu_count": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "git": git_state(Path.cwd()),
        "data": data_fingerprints(study),
        "seeds": list(study.search.seeds),
        "command": list(sys.argv),
    }


def data_fingerprints(study: StudyConfig) -> dict[str, JsonValue]:
    """Fingerprint of the raw data of each data set in use."""
    found: dict[str, JsonValue] = {}
    for arm in study.arms:
        name = str(arm.base.data.model_dump()["dataset"])
        found.setdefault(name, DATASETS[name].fingerprint(arm.base.data))
    return found


def version(package: str) -> str | None:
    """Installed version of a distribution, without importing it; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """The processor's model name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def git_state(directory: Path) -> dict[str, JsonValue] | None:
    """Commit of the working tree around `directory` and whether tracked files differ from it; None outside of git."""
    commit = git(directory, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(git(directory, "status", "--porcelain", "--untracked-files=no"))}


def git(directory: Path, *arguments: str) -> str | None:
    """Output of a git command; None if it fails or there is no git."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=directory, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
