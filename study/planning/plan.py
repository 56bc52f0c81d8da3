"""The plan of a study: number of trials, shared stages, estimated time. Starts nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search_spaces.domains import Choice, Domain, FloatRange
from study.analysis.notation import show_param
from study.config.resolved_study import ResolvedStudy
from study.config.study_config import Arm
from study.formatting import clock, plural
from study.planning import criterion_table
from study.planning.cost_probe import training_seconds, trial_threads
from study.planning.saved_h import plan_lines
from study.planning.stage_counts import StagePlan, example_trial, groups_to_come, plan_stages, trials_of
from study.storage.groups import Group, collect_arm
from study.storage.store import StudyStore

STARTUP_SECONDS = 20.0
"""Ray and one slot of workers, measured at 11 to 20 s on two cores."""
ORCHESTRATION_SECONDS = 0.1
"""What a trial costs besides its training."""


@dataclass(frozen=True)
class ArmPlan:
    """Plan of one arm."""

    name: str
    method: str
    space: str
    size: int | None
    """Configurations in the space; None: uncountably many."""
    groups: int
    """Number of configurations to try, including finished ones."""
    trials: int
    """Upper bound: weak configurations are pruned at their first seed."""
    finished: int
    seconds_per_trial: float


@dataclass(frozen=True)
class Plan:
    """What `--dry-run` prints."""

    study: ResolvedStudy
    arms: tuple[ArmPlan, ...]
    stages: tuple[StagePlan, ...]
    source: Literal["finished trials", "a short measurement on this machine"]
    """What the time is estimated from."""

    @property
    def remaining(self) -> int:
        """Upper bound of the trials still to run."""
        return sum(arm.trials - arm.finished for arm in self.arms)

    @property
    def seconds(self) -> float:
        """Estimated wall time of the remaining trials."""
        if not self.remaining:
            return 0.0
        trials = sum((arm.trials - arm.finished) * (arm.seconds_per_trial + ORCHESTRATION_SECONDS) for arm in self.arms)
        stages = sum((stage.needed - stage.ready) * (stage.seconds or 0.0) for stage in self.stages)
        return STARTUP_SECONDS + (trials + stages) / self.study.resources.concurrency


def make_plan(study: ResolvedStudy, store: StudyStore) -> Plan:
    """The plan. Trials with a result in the store count as finished."""
    with trial_threads(study.resources):
        return plan_with(study, store)


def plan_with(study: ResolvedStudy, store: StudyStore) -> Plan:
    """The plan, with time measured at the present number of threads."""
    groups = {arm.name: collect_arm(arm, study, store) for arm in study.arms}
    finished = {name: [t.result for g in found for t in g.trials if t.result] for name, found in groups.items()}
    complete = {name: [r.seconds for r in found if r.status == "complete"] for name, found in finished.items()}
    measured = [seconds for arm in complete.values() for seconds in arm]
    arms = []
    for arm in study.arms:
        seconds = complete[arm.name] or measured
        estimate = fmean(seconds) if seconds else training_seconds(example_trial(arm, study.search.seeds[0]))
        arms.append(plan_arm(arm, study, groups[arm.name], estimate))
    stages = plan_stages(study, groups)
    return Plan(study, tuple(arms), stages, "finished trials" if measured else "a short measurement on this machine")


def plan_arm(arm: Arm, study: ResolvedStudy, groups: list[Group], seconds: float) -> ArmPlan:
    """Plan of one arm.

    Args:
        arm: the arm.
        study: its study.
        groups: its configurations so far.
        seconds: estimated seconds of one trial.
    """
    return ArmPlan(
        name=arm.name,
        method=arm.base.method.kind,
        space=", ".join(f"{name} {describe(domain)}" for name, domain in arm.space.items()) or "nothing is swept",
        size=arm.size(),
        groups=len(groups) + groups_to_come(arm, study, groups),
        trials=sum(map(trials_of, groups)) + groups_to_come(arm, study, groups) * len(study.search.seeds),
        finished=sum(trial.result is not None for group in groups for trial in group.trials),
        seconds_per_trial=seconds,
    )


def describe(domain: Domain) -> str:
    """A domain in a few words: `1 ... 8 (log)`, `32, 64, 128`."""
    if isinstance(domain, Choice):
        return ", ".join(map(show_param, domain.options))
    how = ["log"] if domain.log else []
    if domain.step is not None and not (domain.step == 1 and not isinstance(domain, FloatRange)):
        how.append(f"step {show_param(domain.step)}")
    ends = f"{show_param(domain.low)} ... {show_param(domain.high)}"
    return f"{ends} ({', '.join(how)})" if how else ends


def print_plan(study: ResolvedStudy, console: Console | None = None) -> None:
    """Print the plan of a study; nothing is started or written."""
    show_plan(make_plan(study, StudyStore(study.directory)), console or Console())


def show_plan(plan: Plan, console: Console) -> None:
    """Print a plan: headlines, arms, stages, estimate."""
    spaces = [f"Space of {arm.name}: {arm.space}" for arm in plan.arms]
    for part in (
        *headlines(plan),
        *spaces,
        *plan_lines(plan.study),
        *criterion_table.plan_lines(plan.study),
        arms_table(plan),
        stages_table(plan),
        *estimate_lines(plan),
    ):
        console.print(part, soft_wrap=isinstance(part, str), markup=False, highlight=False)


def headlines(plan: Plan) -> Iterator[str]:
    """Objective, sampler, pruner, seeds and resources."""
    search, resources = plan.study.search, plan.study.resources
    objectives = ", ".join(f"{objective.direction} {objective.metric}" for objective in search.objectives)
    pruner = "no pruner" if search.pruner == "none" or len(search.objectives) > 1 else f"pruner {search.pruner}"
    seeds = ", ".join(map(str, search.seeds))
    yield f"Study {plan.study.study} in {plan.study.directory}"
    yield f"Search: {objectives}; sampler {search.sampler}, {pruner}, {plural(search.trials, 'configuration')} per arm"
    yield f"Seeds of each configuration: {seeds}"
    gpus = f" and {resources.gpus:g} GPU" if resources.gpus else ""
    workers = plural(resources.workers, "worker") if resources.workers else "Ray Train's local mode"
    yield (
        f"Resources: {plural(resources.concurrency, 'trial')} at a time, each with {workers} of "
        f"{resources.cpus:g} CPU{gpus}; Ray: {resources.ray}"
    )


def arms_table(plan: Plan) -> Table:
    """One row per arm."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("arm", "method", "configurations", "trials, at most", "finished", "s a trial"):
        table.add_column(name, justify="left" if name in ("arm", "method") else "right", no_wrap=True)
    for arm in plan.arms:
        size = "" if arm.size is None else f" of {arm.size}"
        numbers = (f"{arm.groups}{size}", str(arm.trials), str(arm.finished), f"{arm.seconds_per_trial:.2g}")
        table.add_row(escape(arm.name), arm.method, *numbers)
    return table


def stages_table(plan: Plan) -> Table:
    """One row per kind of stage."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("stage", "needed, at most", "ready", "shared by trials", "s each"):
        table.add_column(name, justify="left" if name == "stage" else "right", no_wrap=True)
    for stage in plan.stages:
        seconds = "–" if stage.seconds is None else f"{stage.seconds:.2g}"
        table.add_row(escape(stage.name), str(stage.needed), str(stage.ready), str(stage.trials), seconds)
    return table


def estimate_lines(plan: Plan) -> Iterator[str]:
    """Remaining trials, estimated time, and what it is estimated from."""
    if not plan.remaining:
        yield "Nothing is left to run"
        return
    yield f"{plural(plan.remaining, 'trial')} to run, at most: a pruned configuration is not run with its other seeds"
    yield (
        f"Estimated time: {clock(plan.seconds)} (from {plan.source}; start-up included, pruning and packs not; "
        f"seconds marked – are not counted)"
    )
