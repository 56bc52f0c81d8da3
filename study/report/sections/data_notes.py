"""What a reader should know of the data: what their preparation left out, or warns of."""

from pydantic import JsonValue

from study.config.study_config import StudyConfig
from study.report.format.document import Block, Heading, Items
from trainables.common.atomic_files import read_json
from trainables.stages.artifacts import StageStore
from trainables.stages.prepared import prepared_stage


def data_notes(study: StudyConfig) -> list[Block]:
    """The notes of each prepared data set of the arms, and which arms use it; nothing where there is nothing to say."""
    stages, arms = StageStore(study.stages_directory), dict[str, list[str]]()
    notes: dict[str, dict[str, JsonValue]] = {}
    for arm in study.arms:
        try:
            stage = prepared_stage(arm.base)
        except (OSError, ValueError):
            continue  # without the raw files their stage cannot be told; its own file keeps the notes
        if stages.has(stage):
            notes[stage.key] = read_json(stages.path(stage) / "stage.json")["notes"].get("notes", {})
            arms.setdefault(stage.key, []).append(f"`{arm.name}`")
    items = tuple(f"{', '.join(arms[key])}: {notes_text(found)}" for key, found in notes.items() if notes_text(found))
    return [Heading("Data as prepared"), Items(items)] if items else []


def notes_text(notes: dict[str, JsonValue]) -> str:
    """`clips 24; clips skipped 1; ...`, without empty lists."""
    shown = {name.replace("_", " "): value for name, value in notes.items() if value not in ([], "", None)}
    return "; ".join(
        f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in shown.items()
    )
