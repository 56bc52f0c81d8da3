"""Resolves a study: the one place that decides what the study file leaves to a computation.

    load(path) -> StudyConfig -> resolve(study) -> ResolvedStudy -> search, driver, report, MLflow

Two things are decided: the values of H that spectra suggest, and which pairs of networks the criterion skips.
"""

from collections.abc import Callable

from study.config.resolved_study import PairKey, ResolvedStudy, pair_key
from study.config.study_config import StudyConfig
from study.formatting import plural
from study.planning.criterion import assess, compute_criterion, known_cells, show_term
from study.planning.saved_h import compute_suggestions, saved_suggestions
from study.planning.suggest_h import with_suggestion
from trainables.stages.artifacts import StageStore


def resolve(study: StudyConfig, *, compute: bool, say: Callable[[str], object] = print) -> ResolvedStudy:
    """Decide what the study file leaves to a computation.

    A run computes what is missing. A command that only reads looks up what runs have computed: an H that was never
    chosen then keeps the whole grid, and a pair without an estimate is not skipped.

    Args:
        study: the study as loaded.
        compute: whether to compute what is missing. It trains bottlenecks and unimodal networks, but no student, and
            stores everything that it computes, so an interrupted call loses little.
        say: receives lines for the user about what is computed.

    Returns:
        The study as it is run.

    Raises:
        StudyError: if a bottleneck cannot be trained.
    """
    suggestions = compute_suggestions(study, say) if compute else saved_suggestions(study)
    arms = tuple(with_suggestion(arm, suggestions.get(arm.name)) for arm in study.arms)
    chosen = study.model_copy(update={"arms": arms})
    if compute and chosen.criterion is not None:
        compute_criterion(chosen, chosen.criterion, say)
    return ResolvedStudy.model_construct(**{**dict(chosen), "skip_reasons": skip_reasons(chosen)})


def skip_reasons(study: StudyConfig) -> dict[PairKey, str]:
    """The pairs of networks with the verdict "does not pay", if the criterion decides (`action: gate`).

    Only pairs that can be listed beforehand are in the table. If an arm sweeps a network hyperparameter over a range,
    its pairs are known only when a configuration is proposed, and the configuration is run: an estimate then would
    train networks inside the search, and a resumed study would decide on other knowledge than the first run.
    """
    criterion = study.criterion
    if criterion is None or criterion.action != "gate":
        return {}
    stages = StageStore(study.stages_directory)
    reasons: dict[PairKey, str] = {}
    for cell in known_cells(study):
        found = assess(cell, criterion.settings, stages)
        if found is not None and found.verdict == "does not pay":
            reasons[pair_key(study.arm(cell.arm), cell.params)] = (
                f"the criterion says that it does not pay: G = {show_term(found.gap)} nats "
                f"({criterion.estimator.kind}, {plural(found.seeds, 'seed')}); not among the {criterion.explore:.0%} "
                "that are run anyway"
            )
    return reasons
