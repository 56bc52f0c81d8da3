"""The resume rule: which changes of a study file keep its finished results comparable.

The resolved old and new study are compared field by field. Fields of a trial that enter its `group_id` and are not
swept must not change, except that `training.epochs` may grow. Arms may be added or removed. Spaces, search
settings, resources, tracking, report and criterion may change.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import JsonValue

from search_spaces.space import domain_words
from study.config.spectrum_rule import BOTTLENECK, KEY
from study.config.study_config import Arm, StudyConfig
from trainables.config import CHOICES

ABSENT = "nothing"
FREE = ("resources", "tracking", "report", "criterion")


class Differences(NamedTuple):
    """What changed, as lines such as `data.dataset: mfeat -> digits`."""

    blocking: list[str]
    """Changes after which finished results cannot be compared with new ones."""
    harmless: list[str]
    """Changes that add to the results or do not affect them."""


class Change(NamedTuple):
    """One field that differs."""

    path: str
    old: JsonValue
    new: JsonValue

    def line(self, arm: str = "") -> str:
        """`arms.kd.temperature: 2.0 -> 4.0`."""
        path = f"arms.{arm}.{self.path.removeprefix('method.')}" if arm else self.path
        return f"{path}: {text(self.old)} -> {text(self.new)}"


def differences(old: StudyConfig, new: StudyConfig) -> Differences:
    """The changes between the study that was run last and the study of the present file."""
    common = [(arm, new.arm(arm.name)) for arm in old.arms if any(arm.name == other.name for other in new.arms)]
    blocking = blocking_changes(common)
    blocking += [change.line() for change in compare({"search": objectives(old)}, {"search": objectives(new)})]
    harmless = [f"arms.{arm.name}: added" for arm in new.arms if arm.name not in {other.name for other in old.arms}]
    harmless += [f"arms.{arm.name}: left out" for arm in old.arms if arm.name not in {other.name for other in new.arms}]
    harmless += list(dict.fromkeys(change.line() for before, after in common for change in grown_epochs(before, after)))
    for before, after in common:
        harmless += [change.line(after.name) for change in compare({"space": spaces(before)}, {"space": spaces(after)})]
    harmless += [change.line() for change in compare(free_parts(old), free_parts(new))]
    return Differences(blocking, harmless)


def blocking_changes(common: list[tuple[Arm, Arm]]) -> list[str]:
    """Changed fields of the arms' trials. A change that all arms share is listed once, without an arm."""
    changed: dict[str, list[tuple[str, Change]]] = {}
    for before, after in common:
        for change in trial_changes(before, after):
            changed.setdefault(change.path, []).append((after.name, change))
    lines: list[str] = []
    for path, found in changed.items():
        everyone = [after.name for _, after in common if has(after, path)]
        same = len({change.line() for _, change in found}) == 1
        shared = not path.startswith("method.") and same and [name for name, _ in found] == everyone
        lines += [found[0][1].line()] if shared else [change.line(name) for name, change in found]
    return lines


def trial_changes(before: Arm, after: Arm) -> Iterator[Change]:
    """Fields that enter the identity of both arms' trials and differ, without those that the old arm swept."""
    swept = {before.path(name) for name in before.space}
    allowed = {change.path for change in grown_epochs(before, after)}
    for change in compare(before.base.canonical() | {"seed": 0}, after.base.canonical() | {"seed": 0}):
        if change.path not in swept | allowed:
            now_swept = change.path in {after.path(name) for name in after.space}
            yield change._replace(new="swept") if now_swept else change


def grown_epochs(before: Arm, after: Arm) -> list[Change]:
    """Longer training, which is always allowed, because trials of different lengths are different groups.

    The shared stages may train longer only together with the students. Otherwise finished and new trials of the same
    length would have different teachers.
    """
    old, new = before.base, after.base
    if new.training.epochs <= old.training.epochs or "epochs" in before.space:
        return []
    grown = [Change("training.epochs", old.training.epochs, new.training.epochs)]
    if new.pretraining.epochs > old.pretraining.epochs:
        grown.append(Change("pretraining.epochs", old.pretraining.epochs, new.pretraining.epochs))
    return grown


def compare(old: dict[str, JsonValue], new: dict[str, JsonValue], prefix: str = "") -> Iterator[Change]:
    """The fields that differ. If the name of a data set, model or method differs, its other fields are not compared.

    Args:
        old: the old values.
        new: the new values.
        prefix: start of the paths, such as `data.`.
    """
    tags = {tag for tag, _ in CHOICES.values()}
    if renamed := [key for key in old if key in tags and isinstance(old[key], str) and old[key] != new.get(key)]:
        yield Change(prefix + renamed[0], old[renamed[0]], new.get(renamed[0]))
        return
    for key in dict.fromkeys((*old, *new)):
        before, after = by_name(old.get(key, ABSENT)), by_name(new.get(key, ABSENT))
        if isinstance(before, dict) and isinstance(after, dict):
            yield from compare(before, after, f"{prefix}{key}.")
        elif before != after:
            yield Change(prefix + key, before, after)


def has(arm: Arm, path: str) -> bool:
    """Whether a field is part of the identity of the arm's trials."""
    part, _, key = path.partition(".")
    section = by_name(arm.base.canonical().get(part))
    return isinstance(section, dict) and (not key or key.partition(".")[0] in section)


def by_name(value: JsonValue) -> JsonValue:
    """A list of mappings with a `name`, such as `evaluate`, as a mapping by name; any other value unchanged."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        named = [dict(item) for item in value if isinstance(item, dict)]
        return {str(item.pop("name")): item for item in named}
    return value


def objectives(study: StudyConfig) -> JsonValue:
    """The study's objectives as one text."""
    return {
        "objectives": ", ".join(f"{objective.metric} ({objective.direction})" for objective in study.search.objectives)
    }


def spaces(arm: Arm) -> JsonValue:
    """The arm's domains, each as one text. If the spectrum chooses H, its rule replaces the domain of H."""
    found: dict[str, JsonValue] = {name: domain_words(domain) for name, domain in arm.space.items()}
    if arm.spectrum is not None:
        found[BOTTLENECK] = {KEY: arm.spectrum.model_dump(mode="json")}
    return found


def free_parts(study: StudyConfig) -> dict[str, JsonValue]:
    """Search (except for the objectives), resources, tracking, report and criterion."""
    parts = study.model_dump(
        mode="json",
        include={"search": set(type(study.search).model_fields) - {"objectives"}} | {name: True for name in FREE},
    )
    return {name: {} if values is None else values for name, values in parts.items()}


def text(value: JsonValue) -> str:
    """A value as it is printed in a line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {text(part)}" for name, part in value.items()) + "}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
