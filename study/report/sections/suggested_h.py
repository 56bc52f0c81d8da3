"""The report's part on H from the spectrum: a comparison of the suggested H with the searched one.

Reads the saved suggestions and the bottlenecks in the stages; trains nothing.
"""

from typing import NamedTuple

from torch import Tensor

from study.analysis.comparison import LEVEL
from study.analysis.notation import equals_p, metric_name, show_difference
from study.analysis.study_results import ArmResult, StudyResults, compare
from study.config.spectrum_rule import BOTTLENECK, grid_of, neighbours
from study.config.study_config import Arm, StudyConfig
from study.formatting import plural
from study.planning.saved_h import saved_suggestions
from study.planning.suggest_h import Suggestion, arms_with_h, listed, spectrum_stages, suggest
from study.storage.groups import Group, best_group
from trainables.stages.artifacts import StageStore

WITHIN_NOISE = (
    "Within noise means p > {level:g} in Welch's two-sided test of {metric} over seeds, not corrected, between the "
    "best configurations at both H; this does not prove equality."
)


class SuggestedSet(NamedTuple):
    """Arms whose bottlenecks give the same suggestion."""

    suggestion: Suggestion
    arms: list[Arm]


def suggested_h_findings(study: StudyConfig, results: StudyResults) -> list[str]:
    """One statement for each set of bottlenecks, and the meaning of `within noise`."""
    statements = [finding(one, study, results) for one in suggested_sets(study, results)]
    meaning = WITHIN_NOISE.format(level=LEVEL, metric=metric_name(results.test_metric))
    return [*statements, meaning] if any("within noise" in text for text in statements) else statements


def suggested_sets(study: StudyConfig, results: StudyResults) -> list[SuggestedSet]:
    """The suggestions that were saved or can be computed from the stages; arms with equal ones are together."""
    saved, sets = saved_suggestions(study), dict[str, SuggestedSet]()
    for arm in arms_with_h(study):
        suggestion = saved.get(arm.name) or measured_suggestion(arm, study, results.arm(arm.name))
        if suggestion:
            sets.setdefault(suggestion.model_dump_json(), SuggestedSet(suggestion, [])).arms.append(arm)
    return list(sets.values())


def measured_suggestion(arm: Arm, study: StudyConfig, row: ArmResult) -> Suggestion | None:
    """The suggestion from the bottlenecks in the stages, with the other values of the arm's best configuration.

    Averages only seeds that every H has; None with fewer than two H.
    """
    if row.best is None:
        return None
    store = StageStore(study.stages_directory)
    stages = spectrum_stages(arm, grid_of(arm.space[BOTTLENECK]), study.search.seeds, row.best.params)
    ready = {
        dim: {seed: stage for seed, stage in by_seed.items() if store.has(stage) or store.has(stage.bottleneck)}
        for dim, by_seed in stages.items()
    }
    ready = {dim: by_seed for dim, by_seed in ready.items() if by_seed}
    seeds = [seed for seed in study.search.seeds if all(seed in by_seed for by_seed in ready.values())]
    if len(ready) < 2 or not seeds:
        return None
    spectra: dict[int, dict[int, Tensor]] = {
        dim: {seed: store.get(by_seed[seed]).arrays["train"] for seed in seeds} for dim, by_seed in ready.items()
    }
    return suggest(arm, spectra)


def finding(one: SuggestedSet, study: StudyConfig, results: StudyResults) -> str:
    """The suggested H, its comparison with the best measured H, and the trainings that it saves."""
    suggestion = one.suggestion
    names = ", ".join(f"`{arm.name}`" for arm in one.arms)
    open_end = "" if suggestion.saturated else ", the largest, because the spectrum still changes up to it"
    measured = "; ".join(against_best(results.arm(arm.name), suggestion.suggested, results) for arm in one.arms)
    return (
        f"The spectra of ẑ' ({plural(len(suggestion.seeds), 'seed')}) suggest H = {suggestion.suggested}{open_end} for "
        f"{names}. {measured}. {savings(one, study, results)}"
    )


def against_best(row: ArmResult, suggested: int, results: StudyResults) -> str:
    """The suggested H of one arm compared with the best measured H."""
    if row.best is None:
        return f"`{row.arm}` has no complete configuration yet"
    best = row.best.params[BOTTLENECK]
    text = f"`{row.arm}` was best on validation at H = {best}"
    if best == suggested:
        return f"{text}, the suggested one"
    at = [group for group in row.groups if group.params[BOTTLENECK] == suggested]
    group_at_suggested = best_group(at, results.metric, results.direction)
    if group_at_suggested is None:
        return f"{text}; the suggested H has no complete configuration"
    return f"{text}, {distance(row.best, group_at_suggested, results)}"


def distance(best: Group, there: Group, results: StudyResults) -> str:
    """How far the suggested H is from the best one on the test metric."""
    comparison = compare(best, there, results.test_metric)
    if comparison.difference is None:
        return f"which cannot be compared ({comparison.reason})"
    size = show_difference(abs(comparison.difference), results.test_metric).removeprefix("+")
    word = "better" if results.better(comparison.difference) else "worse"
    text = f"which is {word} by {size} on test than the suggested H"
    if comparison.p is None:
        return f"{text}, not tested ({comparison.reason})"
    noise = "within noise" if comparison.p > LEVEL else "more than noise"
    return f"{text}, {noise} ({equals_p(comparison.p)})"


def savings(one: SuggestedSet, study: StudyConfig, results: StudyResults) -> str:
    """The number of student trainings that the suggestion saved, or would have saved."""
    chosen = [arm for arm in one.arms if arm.spectrum]
    return saved_by_choice(chosen, one, study) if chosen else would_have_saved(one, results)


def saved_by_choice(arms: list[Arm], one: SuggestedSet, study: StudyConfig) -> str:
    """For arms that searched only the chosen H: against a search of the whole grid, at the same budget."""
    seeds, budget = len(study.search.seeds), study.search.trials
    chosen, grid = one.suggestion.chosen, one.suggestion.spectra
    now = sum(min(budget, arm.size() or budget) for arm in arms) * seeds
    sizes = [(arm.size() or budget * len(chosen)) // len(chosen) * len(grid) for arm in arms]
    whole = sum(min(budget, size) for size in sizes) * seeds
    searched = f"Only H = {listed(chosen)} of {listed(grid)} were searched"
    if whole > now:
        return f"{searched}, which saved {whole - now} of {whole} student trainings."
    return f"{searched}. The budget is the same, so no training was saved, but each of these H got more of them."


def would_have_saved(one: SuggestedSet, results: StudyResults) -> str:
    """For arms that searched the whole grid: the trainings at other H than the suggested one and its neighbours."""
    grid = tuple(one.suggestion.spectra)
    near = neighbours(grid, one.suggestion.suggested, 1)
    done = [
        group.params[BOTTLENECK]
        for arm in one.arms
        for group in results.arm(arm.name).groups
        for trial in group.trials
        if trial.result
    ]
    saved = sum(dim not in near for dim in done)
    return f"Trying only H = {listed(near)} would have saved {saved} of {len(done)} student trainings."
