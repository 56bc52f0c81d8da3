"""The ready-made studies that are shipped: what each is about, which data it needs, where its file lies."""

import re
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from study.parsing.yaml_tree import parse
from trainables.data import DATASETS


class Preset(NamedTuple):
    """One shipped study file."""

    name: str
    path: Path
    about: str
    """First sentence of the comment at its top."""
    data: str
    """The data set, and where its files have to be unless it needs none."""


def preset_files() -> list[Path]:
    """The shipped study files, by name."""
    folder = Path(str(files("search_spaces") / "presets"))
    return sorted(folder.glob("*.yaml"))


def read_preset(path: Path) -> Preset:
    """What a preset's file says about itself. Raises StudyFileError if it is no YAML."""
    text = path.read_text(encoding="utf-8")
    data = parse(text, path).plain["data"]
    return Preset(path.stem, path, about(text), data_needed(data))


def about(text: str) -> str:
    """First sentence of the comment at the top of a file."""
    lines = []
    for line in text.splitlines():
        said = line.removeprefix("#").strip()
        if not line.startswith("#") or (lines and not said):
            break
        if said and not said.startswith("yaml-language-server"):
            lines.append(said)
    return re.split(r"(?<=\.)(?<!Fig\.) ", " ".join(lines))[0]


def data_needed(data: dict[str, str]) -> str:
    """`mfeat`, or `ravdess, files in ../../data/ravdess (root)`."""
    fields = DATASETS[data["dataset"]].config.location
    places = [f"{data[field]} ({field})" for field in fields if data.get(field)]
    return f"{data['dataset']}, files in {', '.join(places)}" if places else str(data["dataset"])


def list_presets() -> list[str]:
    """The lines that `study presets` prints: for each preset its file, its subject and its data."""
    found = [read_preset(path) for path in preset_files()]
    return [f"{preset.path}\n    {preset.about}\n    data: {preset.data}" for preset in found]
