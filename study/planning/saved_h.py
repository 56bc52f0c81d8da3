"""Saves the H that the spectra suggest with the study, so that a resumed study searches the same values.

    <study>/suggested_h.json    by arm: the request and the suggestion

A suggestion is valid while the study file requests the same for the same bottlenecks. More seeds do not change the
request. Another grid, another `around` or other data do; the spectra are then read again from the stages.
"""

from collections.abc import Iterator

from pydantic import JsonValue

from study.config.spectrum_rule import BOTTLENECK, grid_of
from study.config.study_config import Arm, StudyConfig
from study.formatting import clock, plural
from study.planning.cost_probe import stage_seconds
from study.planning.suggest_h import (
    Say,
    Suggestion,
    arms_with_h,
    compute_suggestion,
    listed,
    spectrum_stages,
    verdict,
)
from trainables.bottlenecks import BOTTLENECKS
from trainables.bottlenecks.base import SHARED_FIELDS
from trainables.common.atomic_files import read_json, write_json
from trainables.config import digest
from trainables.methods.ciba import CIBAConfig
from trainables.stages.artifacts import StageStore


def compute_suggestions(study: StudyConfig, say: Say) -> dict[str, Suggestion]:
    """By arm, every suggestion that the study file asks for. Missing ones are computed and saved.

    Args:
        study: the study as loaded.
        say: receives lines for the user.

    Raises:
        StudyError: if a bottleneck cannot be trained.
    """
    found = saved_suggestions(study)
    for arm in undecided_arms(study):
        found[arm.name] = compute_suggestion(arm, study, say)
        say(f"Arm {arm.name}: {verdict(found[arm.name])}; the search tries H = {listed(found[arm.name].chosen)}")
        entries = {
            name: {"request": request(study.arm(name)), "suggestion": suggestion.model_dump(mode="json")}
            for name, suggestion in found.items()
        }
        write_json(study.directory / "suggested_h.json", entries)
    return found


def undecided_arms(study: StudyConfig) -> list[Arm]:
    """The arms whose H is not chosen yet."""
    saved = saved_suggestions(study)
    return [arm for arm in arms_with_h(study) if arm.spectrum and arm.name not in saved]


def saved_suggestions(study: StudyConfig) -> dict[str, Suggestion]:
    """By arm, the saved suggestions for what the study file asks now."""
    try:
        entries = read_json(study.directory / "suggested_h.json")
    except FileNotFoundError:
        return {}
    requests = {arm.name: request(arm) for arm in arms_with_h(study) if arm.spectrum}
    return {
        name: Suggestion.model_validate(entry["suggestion"])
        for name, entry in entries.items()
        if requests.get(name) == entry["request"]
    }


def request(arm: Arm) -> str:
    """Identity of an arm's request: its rule, and everything that its bottlenecks depend on, except the seed."""
    values = arm.base.canonical()
    config = arm.base.method
    assert isinstance(config, CIBAConfig)
    fields = {*SHARED_FIELDS, *BOTTLENECKS[config.bottleneck].fields} - {BOTTLENECK}
    method: dict[str, JsonValue] = config.model_dump(mode="json", include=fields)
    parts = {name: values[name] for name in ("data", "teacher", "student", "pretraining")}
    assert arm.spectrum is not None
    return digest({**parts, "method": method, "rule": arm.spectrum.model_dump(mode="json")})


def plan_lines(study: StudyConfig) -> Iterator[str]:
    """Lines of `--dry-run` about the H that the spectrum chooses."""
    store = StageStore(study.stages_directory)
    opened = {arm.name for arm in undecided_arms(study)}
    counted: set[str] = set()
    for arm in (arm for arm in arms_with_h(study) if arm.spectrum):
        if arm.name not in opened:
            chosen = grid_of(arm.space[BOTTLENECK])
            yield f"H of {arm.name}: already chosen by the spectrum: {listed(chosen)}"
            continue
        assert arm.spectrum is not None
        grid = grid_of(arm.space[BOTTLENECK])
        stages = [
            one for found in spectrum_stages(arm, grid, study.search.seeds, {}).values() for one in found.values()
        ]
        new = [stage.bottleneck for stage in stages if stage.key not in counted]
        counted |= {stage.key for stage in stages}
        missing = [stage for stage in new if not store.has(stage)]
        each = stage_seconds(missing[0]) if missing else 0.0
        time = f", about {clock(len(missing) * (each or 0.0))} in addition to the estimate below"
        cost = (
            f"{plural(len(missing), 'bottleneck')} to train first{time}" if missing else "no bottleneck to train for it"
        )
        around = f"and {plural(arm.spectrum.around, 'neighbour')} on each side, " if arm.spectrum.around else ""
        yield f"H of {arm.name}: the one that the spectrum suggests {around}of {listed(grid)}; {cost}"
