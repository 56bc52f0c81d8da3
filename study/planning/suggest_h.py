"""Suggests H from the spectra of ẑ' over a grid of H (CIBA paper, section 5.1.3). No student is trained for it.

The bottlenecks are the stages that the trials of a study distil, in the same store: nothing is computed twice.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from search_spaces.domains import Choice
from study.analysis.notation import show_param
from study.config.spectrum_rule import BOTTLENECK, SpectrumRule, grid_of, neighbours
from study.config.study_config import Arm, Params, StudyConfig
from study.errors import StudyError
from study.formatting import plural
from study.parsing.loader import load
from study.planning.cost_probe import trial_threads
from study.planning.stage_counts import depends_on, fitting
from trainables.common.types import Frozen
from trainables.diagnostics.saturation import Saturation, saturation
from trainables.stages.artifacts import StageStore
from trainables.stages.bottleneck import Bottleneck
from trainables.stages.reconstruction import ReconstructionSpectrum, spectrum_stage
from trainables.training.session import NonFiniteLossError

Say = Callable[[str], object]
"""Receives lines for the user."""


class Suggestion(Frozen):
    """The H that the spectra of one arm's bottlenecks suggest."""

    seeds: tuple[int, ...]
    """Seeds over which the spectra are averaged."""
    spectra: dict[int, tuple[float, ...]]
    """By H, ascending: mean over the seeds of ln σ, for the singular values above the floor."""
    changes: dict[int, float]
    """By H, without the largest: distance of its spectrum from the mean of those at larger H."""
    suggested: int
    saturated: bool
    """False if the spectrum still changes at the end of the grid."""
    threshold: float
    chosen: tuple[int, ...]
    """The suggested H and its neighbours."""


def arms_with_h(study: StudyConfig) -> list[Arm]:
    """The arms that sweep the dimension of a bottleneck, or whose H the spectrum chooses."""
    arms = [arm for arm in study.arms if arm.base.method.teacher_source == "bottleneck" and BOTTLENECK in arm.space]
    return [arm for arm in arms if arm.spectrum or len(grid_of(arm.space[BOTTLENECK])) > 1]


def spectrum_stages(
    arm: Arm, grid: Iterable[int], seeds: Iterable[int], params: Params
) -> dict[int, dict[int, ReconstructionSpectrum]]:
    """The stages that compute the spectra of the arm's bottlenecks.

    Args:
        arm: the arm.
        grid: values of H.
        seeds: seeds of the bottlenecks.
        params: values of the other swept hyperparameters.

    Returns:
        By H and seed. An H that is not valid is left out.
    """
    trials = {dim: {seed: fitting(arm, {**params, BOTTLENECK: dim}, seed) for seed in seeds} for dim in grid}
    stages = {dim: {seed: spectrum_stage(t) for seed, t in by_seed.items() if t} for dim, by_seed in trials.items()}
    return {dim: found for dim, found in stages.items() if found}


def suggest(arm: Arm, spectra: dict[int, dict[int, Tensor]]) -> Suggestion:
    """The suggestion for spectra by H and seed (descending singular values). Every H has the same seeds."""
    rule = arm.spectrum or SpectrumRule()
    stacked = {dim: torch.stack(list(by_seed.values())) for dim, by_seed in sorted(spectra.items())}
    found: Saturation = saturation(stacked, rule.threshold, rule.floor)
    bottom = rule.floor * max(float(values.max()) for values in stacked.values())
    return Suggestion(
        seeds=tuple(next(iter(spectra.values()))),
        spectra={dim: leading(values, bottom) for dim, values in stacked.items()},
        changes=found.changes,
        suggested=found.suggested,
        saturated=found.saturated,
        threshold=rule.threshold,
        chosen=neighbours(tuple(stacked), found.suggested, rule.around),
    )


def leading(spectra: Tensor, bottom: float) -> tuple[float, ...]:
    """Mean over seeds of ln σ where it is above ln(`bottom`), rounded to six digits for a readable file."""
    logs = spectra.double().clamp(min=torch.finfo(torch.float64).tiny).log().mean(dim=0)
    return tuple(float(f"{value:.6g}") for value in logs[logs.exp() > bottom].tolist())


def compute_suggestion(arm: Arm, study: StudyConfig, say: Say) -> Suggestion:
    """Train the missing bottlenecks of the arm's grid, and suggest H.

    Args:
        arm: the arm.
        study: its study.
        say: receives lines for the user.

    Raises:
        StudyError: if a bottleneck, or a network that it needs, cannot be trained.
    """
    store = StageStore(study.stages_directory)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stages = spectrum_stages(arm, grid_of(arm.space[BOTTLENECK]), study.search.seeds, {})
    every = [stage for by_seed in stages.values() for stage in by_seed.values()]
    missing = [stage for stage in every if not store.has(stage.bottleneck)]
    if missing:
        known = f" ({len(every) - len(missing)} are ready)" if len(missing) < len(every) else ""
        say(f"Arm {arm.name}: training {plural(len(missing), 'bottleneck')} over H = {listed(stages)}{known}")
    try:
        with trial_threads(study.resources):
            spectra = {
                dim: {seed: store.get(stage, device).arrays["train"] for seed, stage in by_seed.items()}
                for dim, by_seed in stages.items()
            }
    except (NonFiniteLossError, FloatingPointError, ValueError, OSError) as error:
        raise StudyError(f"arms.{arm.name}: the bottlenecks could not be trained: {error}") from error
    return suggest(arm, spectra)


def listed(values: Iterable[int]) -> str:
    """`2, 4, 8`."""
    return ", ".join(map(str, values))


def same_bottlenecks(study: StudyConfig) -> list[list[Arm]]:
    """The arms with a swept H, grouped by equal requests for equal bottlenecks (arms with different losses, say)."""
    groups: dict[object, list[Arm]] = {}
    for arm in arms_with_h(study):
        grid = grid_of(arm.space[BOTTLENECK])
        first = spectrum_stages(arm, grid[:1], study.search.seeds[:1], {})
        key = (
            grid,
            arm.spectrum or SpectrumRule(),
            *(stage.key for found in first.values() for stage in found.values()),
        )
        groups.setdefault(repr(key), []).append(arm)
    return list(groups.values())


def print_suggestions(path: Path, say: Say = print) -> None:
    """The command `suggest-h`: for each arm that sweeps H, the changes along its grid and the suggested H.

    Raises:
        StudyError: if no arm sweeps H.
    """
    study = load(path)
    groups = same_bottlenecks(study)
    if not groups:
        raise StudyError(
            f"{path}: no arm sweeps the bottleneck dimension; write for example `H: [2, 4, 8]` under an arm's `space:`"
        )
    for arms in groups:
        try:
            suggestion = compute_suggestion(arms[0], study, say)
        except StudyError as error:
            raise StudyError(f"{path}: {error}") from error
        for line in (*suggestion_lines(arms, study, suggestion), ""):
            say(line)


def suggestion_lines(arms: list[Arm], study: StudyConfig, suggestion: Suggestion) -> list[str]:
    """The table of one group of arms, as the command prints it.

    Args:
        arms: arms with the same bottlenecks.
        study: their study.
        suggestion: their suggestion.
    """
    names = listed_names(arm.name for arm in arms)
    seeds = plural(len(suggestion.seeds), "seed")
    lines = [f"{names}: spectrum of the bottleneck's output, mean over {seeds}; {conditions(arms, study)}"]
    lines.append(f"{'H':>6}  mean |Δ ln σ| from all larger H")
    for dim in suggestion.spectra:
        change = f"{suggestion.changes[dim]:.3f}" if dim in suggestion.changes else "–"
        mark = "  <- suggested" if dim == suggestion.suggested else ""
        lines.append(f"{dim:>6}  {change}{mark}")
    return [*lines, verdict(suggestion)]


def listed_names(names: Iterable[str]) -> str:
    """`Arm a`, `Arms a, b`."""
    found = list(names)
    return f"Arm{'s' if len(found) > 1 else ''} {', '.join(found)}"


def verdict(suggestion: Suggestion) -> str:
    """The suggestion in one line."""
    limit = f"{suggestion.threshold:g}"
    if suggestion.saturated:
        return f"Suggested H = {suggestion.suggested}: the smallest whose spectrum differs by less than {limit}"
    return (
        f"No H differs by less than {limit} from the larger ones; suggested is the largest, H = "
        f"{suggestion.suggested}. A larger H, more seeds or a higher threshold may show a saturation"
    )


def conditions(arms: list[Arm], study: StudyConfig) -> str:
    """The other swept hyperparameters that the bottlenecks depend on, with the values that were used."""
    seed, used = study.search.seeds[0], dict[str, None]()
    for arm in arms:
        values = arm.base.model_dump(mode="json")
        for name in arm.space:
            if name != BOTTLENECK and depends_on(arm, name, Bottleneck.name, seed):
                part, key = arm.path(name).split(".")
                used[f"{name} = {show_param(values[part][key])}"] = None
    return f"swept, but fixed here: {', '.join(used)}" if used else "nothing else that is swept changes it"


def with_suggestion(arm: Arm, suggestion: Suggestion | None) -> Arm:
    """The arm, searching only the chosen values of H; unchanged without a suggestion."""
    if suggestion is None:
        return arm
    method = arm.base.method.model_copy(update={BOTTLENECK: suggestion.suggested})
    base = arm.base.model_copy(update={"method": method})
    return arm.model_copy(update={"base": base, "space": {**arm.space, BOTTLENECK: Choice(suggestion.chosen)}})
