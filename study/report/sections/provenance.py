"""Sections of the report: failed and pruned trials, the work done, the environment, and how to reproduce the study."""

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from study.analysis.stage_usage import stage_usage
from study.analysis.study_results import StudyResults
from study.config.study_config import StudyConfig
from study.report.format.csv_tables import all_trials
from study.report.format.document import Block, Code, Heading, Text
from study.report.format.tables import ended_table, settings_table, stages_table
from study.report.sections.settings import value_text
from study.storage.manifest import as_list, read_manifest
from study.storage.store import StudyStore
from trainables.common.types import TrialResult


def ended(results: StudyResults) -> list[Block]:
    """Failed and pruned trials by name, with tracebacks."""
    blocks: list[Block] = [Heading("Failed and pruned trials")]
    tables = [table for table in (ended_table(results, "failed"), ended_table(results, "pruned")) if table]
    if not tables:
        return [*blocks, Text("None.")]
    blocks += tables
    for group, trial in all_trials(results):
        error = trial.result.error if trial.result else None
        if error and error.traceback:
            where = f"`{group.arm}`, proposal {group.number}, seed {trial.config.seed}, trial `{trial.trial_id}`"
            step = f", step {error.step}" if error.step else ""
            blocks.append(Code(error.traceback, f"Traceback of {where}{step}: {error.kind}"))
    return blocks


def work(results: StudyResults, timing: Mapping[str, float | None] | None) -> list[Block]:
    """Time spent on training and saved by shared stages."""
    done = {trial.trial_id: trial.result for _, trial in all_trials(results) if trial.result}
    trained = sum(result.seconds for result in done.values())
    text = (
        f"{len(done)} finished trials trained for {hours(trained)}{packs_text(done.values())}. {stages_text(results)}"
    )
    known = [f"{name.replace('_', ' ')} {value:.3g} s" for name, value in (timing or {}).items() if value is not None]
    if known:
        text += f" Last run: {', '.join(known)}."
    table = stages_table(results)
    return [Heading("Work done and saved"), Text(text), *([table] if table else [])]


def packs_text(results: Iterable[TrialResult]) -> str:
    """How many trials were trained in a pack with others; empty if none was."""
    sizes = sorted(result.trained_together for result in results if result.trained_together > 1)
    if not sizes:
        return ""
    many = f"{sizes[0]} to {sizes[-1]}" if sizes[0] < sizes[-1] else f"{sizes[0]}"
    return f", {len(sizes)} of them in packs of {many} (the seconds of a pack are shared among its trials)"


def stages_text(results: StudyResults) -> str:
    """Stages and time saved by sharing, within the study and across studies."""
    usage = stage_usage(group for row in results.arms for group in row.groups)
    others = f"; {usage.elsewhere} of the reused ones came from other studies or estimates" if usage.elsewhere else ""
    return (
        f"Shared stages: {usage.computed} computed, {usage.reused} times reused, "
        f"{hours(usage.seconds_saved)} saved{others}."
    )


def hours(seconds: float) -> str:
    """A time in hours; below one hour also in seconds."""
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds:.0f} s ({seconds / 3600:.2g} h)"


def provenance(study: StudyConfig, store: StudyStore) -> list[Block]:
    """Environment, how to reproduce, and the study file."""
    manifest = read_manifest(store)
    earlier = as_list(manifest.pop("earlier", []))
    blocks: list[Block] = [Heading("Environment")]
    if manifest:
        blocks.append(settings_table("Environment of the last run (`manifest.json`).", dict(flatten(manifest))))
    else:
        blocks.append(Text("No environment was recorded (`manifest.json` is missing)."))
    for entry in earlier:
        changed = changes(entry, manifest) if isinstance(entry, dict) else ""
        blocks.append(Text(f"Part of the study ran in another environment: {changed}."))
    return [
        *blocks,
        Heading("How to reproduce"),
        Text(reproduce(study, manifest)),
        Code(study.source),
    ]


def flatten(values: dict[str, JsonValue], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested mappings as dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value_text(value)


def changes(earlier: dict[str, JsonValue], now: dict[str, JsonValue]) -> str:
    """The differences between an earlier environment and the last one."""
    before, after = dict(flatten(earlier)), dict(flatten(now))
    names = [name for name in before if before[name] != after.get(name) and name not in ("command", "seeds")]
    return ", ".join(f"{name} {before[name]} (last: {after.get(name, 'none')})" for name in names)


def reproduce(study: StudyConfig, manifest: dict[str, JsonValue]) -> str:
    """The steps in words."""
    git = manifest.get("git")
    at = ""
    if isinstance(git, dict):
        dirty = ", which had uncommitted changes," if git.get("dirty") else ""
        at = f"check out commit `{git['commit']}`{dirty} and run `make install`; then "
    return (
        f"To repeat the study, {at}save the text below as `{study.study}.yaml` and run "
        f"`python -m study.run {study.study}.yaml`. A trial is determined by its config: the same versions on the same "
        "kind of machine give the same numbers, up to floating-point differences between machines."
    )
