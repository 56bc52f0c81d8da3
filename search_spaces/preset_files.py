"""The shipped studies (presets), and where a study is read from: a file, or a preset by its name."""

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

PRESETS = Path(str(files("search_spaces") / "presets"))
"""Folder of the shipped studies."""


class StudyLocation(NamedTuple):
    """Where a study is read from."""

    file: Path
    """The YAML file. It need not exist."""
    folder: Path
    """Folder in which the relative paths of the file start, as an absolute path."""
    is_preset: bool


def preset_files() -> list[Path]:
    """The files of the shipped studies, by name."""
    return sorted(PRESETS.glob("*.yaml"))


def locate(path: Path) -> StudyLocation:
    """The file that `path` means: the file itself, or else the preset of that name (without `.yaml`).

    A preset is read as if it were in `search_spaces/presets` under the current directory: its `../../studies` is
    `studies` in the current directory, and its `../../data` is `data` there. So an installed package gets no results.
    """
    if is_name(path) and not path.exists():
        for file in preset_files():
            if file.stem == path.name:
                return StudyLocation(file, Path.cwd() / "search_spaces" / "presets", True)
    return StudyLocation(path, path.absolute().parent, False)


def is_name(path: Path) -> bool:
    """Whether `path` is a name without a folder and a suffix, as presets have it."""
    return not path.suffix and len(path.parts) == 1


def preset_named(path: Path) -> str:
    """The shipped study whose file has the name of `path`; empty if there is none."""
    return path.stem if path.name in [file.name for file in preset_files()] else ""


def nearest_presets(path: Path) -> list[str]:
    """At most three names of presets that `path` may be a slip of, the nearest first."""
    return get_close_matches(path.name.lower(), [file.stem for file in preset_files()], n=3, cutoff=0.5)
