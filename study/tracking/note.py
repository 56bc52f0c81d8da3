"""The Markdown note of a study's experiment, which MLflow's UI shows above the runs table."""

from study.config.study_config import Objective, StudyConfig
from study.storage.groups import Group, best_group
from study.storage.store import StudyStore
from study.tracking.run_content import CURVE, group_name
from study.tracking.ui_view import comparison_link, training_link


def best_groups(study: StudyConfig, groups: list[Group]) -> list[Group]:
    """Each arm's best group by the first objective, in the order of the study file; arms without one are left out."""
    objective = study.search.objectives[0]
    best = [
        best_group([group for group in groups if group.arm == arm.name], objective.metric, objective.direction)
        for arm in study.arms
    ]
    return [group for group in best if group]


def note(
    study: StudyConfig, store: StudyStore, groups: list[Group], study_key: str, experiment_id: str, runs: dict[str, str]
) -> str:
    """The Markdown above the runs table. While it is folded, MLflow's UI shows its first line."""
    search, objective = study.search, study.search.objectives[0]
    best = best_groups(study, groups)
    arms = "; ".join(f"`{arm.name}` ({', '.join(arm.space) or 'nothing swept'})" for arm in study.arms)
    charts = training_link(experiment_id, study_key, "CHART").removeprefix("/")
    compared = comparison_link(experiment_id, [runs[group.group_id] for group in best]).removeprefix("/")
    lines = [
        f"**Study {study.study}**: {headline(study, best)}",
        "",
        f"Arms and what they sweep: {arms}. Per arm {search.trials} configurations (sampler {search.sampler}, pruner "
        f"{search.pruner}), each with {len(search.seeds)} seeds; {objective.direction} `{objective.metric}`.",
        "",
        f"| arm | best configuration | {objective.metric}, mean ± std | n |",
        "|---|---|---|---|",
        *[best_row(group, objective, experiment_id, runs) for group in best],
        "",
        f"[Charts]({charts})" + (f" · [The best of each arm, compared]({compared})" if best else ""),
        "",
        f"Report: `{store.directory / 'report'}`, also among the artifacts of the run named `study`.",
        "",
        "How to read the runs: a run is one configuration, the runs nested under it are its seeds. "
        f"`{objective.metric}` is the mean over the complete seeds, each at its selected epoch; "
        f"`{objective.metric}_std` the sample standard deviation; `n_seeds` the number of seeds; "
        f"`{CURVE}{objective.metric}` the mean curve over epochs. Loss terms are unweighted. Pruned and failed trials "
        "have curves and no final metrics: the tag `status` says which, `error` why. A configuration with "
        "unfinished seeds is `scheduled` and has no metrics.",
    ]
    return "\n".join(lines)


def headline(study: StudyConfig, best: list[Group]) -> str:
    """The best arm's result in one line."""
    objective = study.search.objectives[0]
    top = best_group(best, objective.metric, objective.direction)
    if top is None:
        return "no configuration is complete yet"
    return f"best {objective.metric} {mean_text(top, objective.metric)} by {group_name(top.arm, top.params)}"


def mean_text(group: Group, metric: str) -> str:
    """`0.7495 ± 0.016`, without the spread below two seeds."""
    mean, std = group.mean(metric), group.std(metric)
    return f"{mean:.4g}" + (f" ± {std:.2g}" if std is not None else "")


def best_row(group: Group, objective: Objective, experiment_id: str, runs: dict[str, str]) -> str:
    """One row of the note's table, with a link to the run."""
    name = group_name(group.arm, group.params).removeprefix(f"{group.arm} ")
    run = runs.get(group.group_id)
    label = f"[{name}](#/experiments/{experiment_id}/runs/{run})" if run else name
    return f"| {group.arm} | {label} | {mean_text(group, objective.metric)} | {len(group.values(objective.metric))} |"
