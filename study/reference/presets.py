"""The ready-made studies that are shipped: what each is about, which data it needs, where its file lies."""

import re
from pathlib import Path
from typing import NamedTuple

from search_spaces.preset_files import preset_files
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


def read_preset(path: Path) -> Preset:
    """What a preset's file says about itself. Raises StudyFileError if it is no YAML."""
    text = path.read_text(encoding="utf-8")
    data = parse(text, path).plain["data"]
    return Preset(path.stem, path, about(text), data_needed(data))


def about(text: str) -> str:
    """First sentence of the comment at the top of a file."""
    lines: list[str] = []
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
    """The lines that `study presets` prints: for each preset its name, its subject, its data and its file."""
    lines: list[str] = []
    for preset in map(read_preset, preset_files()):
        # `../../` of a preset's paths is the current directory: see `search_spaces.preset_files.locate`.
        data = preset.data.replace("../../", "")
        lines += [preset.name, f"    {preset.about}", f"    data: {data}", f"    file: {preset.path}"]
    return [*lines, "", "`study run NAME` runs one of them. To change one, copy its file."]
