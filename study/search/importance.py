"""Importance of each hyperparameter for an arm's best configurations (PED-ANOVA, Watanabe et al. 2023).

Optuna is imported inside the function, because a report of a study that swept nothing does not need it.
"""

from search_spaces.domains import Domain
from study.config.study_config import Params, StudyConfig
from study.storage.groups import Group

LEAST_GROUPS = 6
"""With fewer complete configurations an arm gets no estimate, because half of them is too small a sample."""

WANTED_TOP = 5
"""Number of configurations that should be among the "best" for a stable estimate (as Optuna advises)."""


def importance(study: StudyConfig, groups: list[Group]) -> dict[str, dict[str, float]]:
    """Importance of each swept hyperparameter by arm, summing to 1, largest first.

    Arms with fewer than LEAST_GROUPS complete configurations, and hyperparameters with one value, are left out.
    """
    found = {arm.name: arm_importance(arm.space, [g for g in groups if g.arm == arm.name], study) for arm in study.arms}
    return {name: values for name, values in found.items() if values}


def arm_importance(space: dict[str, Domain], groups: list[Group], study: StudyConfig) -> dict[str, float]:
    """Importance within one arm, for the mean over seeds of the first objective.

    Args:
        space: the arm's space.
        groups: the arm's groups.
        study: the study.

    Returns:
        Importance by hyperparameter; empty with too few groups.
    """
    objective = study.search.objectives[0]
    sign = -1 if objective.direction == "maximize" else 1
    done = [group for group in groups if group.status == "complete" and group.mean(objective.metric) is not None]
    swept = {name: domain for name, domain in space.items() if len(domain.grid() or (0, 1)) > 1}
    if len(done) < LEAST_GROUPS or not swept:
        return {}
    rows = [
        ({name: group.params[name] for name in swept}, sign * (group.mean(objective.metric) or 0)) for group in done
    ]
    return ped_anova(swept, rows)


def ped_anova(space: dict[str, Domain], rows: list[tuple[Params, float]]) -> dict[str, float]:
    """PED-ANOVA over (parameters, loss) rows; the best are the WANTED_TOP first, at least a tenth, at most half."""
    import optuna

    from study.search.samplers import distribution, encode

    distributions = {name: distribution(domain) for name, domain in space.items()}
    trials = [
        optuna.trial.create_trial(
            params={name: encode(space[name], value) for name, value in params.items()},
            distributions=distributions,
            value=loss,
        )
        for params, loss in rows
    ]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        made = optuna.create_study(direction="minimize")
        made.add_trials(trials)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(
            target_quantile=min(0.5, max(0.1, WANTED_TOP / len(rows)))
        )
        found = optuna.importance.get_param_importances(made, evaluator=evaluator)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
