"""Counts the stages of a planned study: by kind, how many different ones and how many trials that use them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from statistics import fmean

from search_spaces.domains import Domain, FloatRange, Value
from study.config.study_config import Arm, Params, StudyConfig
from study.planning.cost_probe import stage_seconds
from study.storage.groups import Group
from trainables.config import TrialConfig
from trainables.stages.artifacts import Stage, StageStore
from trainables.stages.targets import required_stages

MAX_COMBINATIONS = 200
"""Largest number of hyperparameter combinations whose stages are listed one by one."""


@dataclass(frozen=True)
class StagePlan:
    """One kind of stage."""

    name: str
    needed: int
    """Upper bound of the number of different stages."""
    ready: int
    """Number of them that are in the stage store."""
    trials: int
    """Trials that use one of them."""
    seconds: float | None
    """Seconds of one of them; None if it cannot be measured."""


class StageTally:
    """The stages of one kind."""

    def __init__(self) -> None:
        self.known: dict[str, Stage] = {}
        """The known stages, by key."""
        self.unknown = 0
        """Upper bound of the number of others, which depend on values that are not proposed yet."""
        self.trials = 0


def plan_stages(study: StudyConfig, groups: dict[str, list[Group]]) -> tuple[StagePlan, ...]:
    """Every kind of stage that the study's trials use, in the order in which a trial needs them."""
    tallies: dict[str, StageTally] = {}
    for arm in study.arms:
        for group in groups[arm.name]:
            seeds = study.search.seeds[: trials_of(group)]
            for trial in (arm.trial(group.params, seed) for seed in seeds):
                for name, stage in stages_of([trial]):
                    tallies.setdefault(name, StageTally()).known[stage.key] = stage
                for name in dict(stages_of([trial])):  # a trial may use two of a kind
                    tallies[name].trials += 1
        tally_to_come(arm, study.search.seeds, groups_to_come(arm, study, groups[arm.name]), tallies)
    stages = StageStore(study.stages_directory)
    return tuple(finish_stage(name, tally, stages) for name, tally in tallies.items())


def tally_to_come(arm: Arm, seeds: tuple[int, ...], groups: int, tallies: dict[str, StageTally]) -> None:
    """Add the stages of configurations that are not proposed yet.

    A stage that depends on none of the swept values is known exactly. If it depends on finitely many combinations of
    them, each combination is listed. Otherwise every configuration may need a different one.

    Args:
        arm: the arm.
        seeds: seeds of the study.
        groups: number of configurations to come.
        tallies: by kind of stage; changed in place.
    """
    if not groups:
        return
    base = example_trial(arm, seeds[0])
    for name in dict(stages_of([base])):
        tally = tallies.setdefault(name, StageTally())
        tally.trials += groups * len(seeds)
        relevant = [swept for swept in arm.space if depends_on(arm, swept, name, seeds[0])]
        grids = [arm.space[swept].grid() for swept in relevant]
        if None in grids or prod(len(grid or ()) for grid in grids) > MAX_COMBINATIONS:
            tally.unknown += groups * len(seeds)
            continue
        found: dict[str, Stage] = {}
        for values in product(*(grid or () for grid in grids)):
            swept = {**example_params(arm), **dict(zip(relevant, values, strict=True))}
            trials = (fitting(arm, swept, seed) for seed in seeds)
            found |= {stage.key: stage for label, stage in stages_of(filter(None, trials)) if label == name}
        if len(found) > groups * len(seeds):
            tally.unknown += groups * len(seeds)
        else:
            tally.known |= found


def depends_on(arm: Arm, swept: str, name: str, seed: int) -> bool:
    """Whether the hyperparameter changes which stage is needed.

    Args:
        arm: the arm.
        swept: name of the hyperparameter.
        name: kind of stage.
        seed: seed of the trials to compare.
    """
    trials = (fitting(arm, {**example_params(arm), swept: value}, seed) for value in sample_values(arm.space[swept]))
    # a trial may need two stages of a kind, so the sets of keys are compared
    needed = {frozenset(stage.key for label, stage in stages_of([trial]) if label == name) for trial in trials if trial}
    return len(needed) > 1


def finish_stage(name: str, tally: StageTally, stages: StageStore) -> StagePlan:
    """Count the stages that are ready, and estimate the seconds of one from those or from a measurement.

    Args:
        name: kind of stage.
        tally: its stages.
        stages: the stage store.
    """
    ready = [stage for stage in tally.known.values() if stages.has(stage)]
    needed = min(len(tally.known) + tally.unknown, tally.trials)
    missing = next((stage for stage in tally.known.values() if not stages.has(stage)), None)
    seconds = fmean(map(stages.seconds, ready)) if ready else stage_seconds(missing) if missing else None
    return StagePlan(name, needed, len(ready), tally.trials, seconds)


def stages_of(trials: Iterable[TrialConfig]) -> Iterator[tuple[str, Stage]]:
    """Every stage that each trial needs, with the name of its kind: `unimodal (teacher)`, `bottleneck`."""
    for trial in trials:
        for stage in required_stages(trial):
            role = getattr(stage, "role", None) or getattr(getattr(stage, "unimodal", None), "role", None)
            yield f"{stage.name} ({role})" if role else stage.name, stage


def groups_to_come(arm: Arm, study: StudyConfig, groups: list[Group]) -> int:
    """Number of configurations that are not proposed yet.

    Args:
        arm: the arm.
        study: the study.
        groups: the arm's proposed configurations.
    """
    return max(0, study.planned_groups(arm) - len(groups))


def trials_of(group: Group) -> int:
    """Number of trials that a proposed configuration will have had. A pruned or failed first seed ends it."""
    if group.status in ("pruned", "skipped"):
        return len(group.trials)
    first = next((trial for trial in group.trials if trial.config.seed == group.seeds[0]), None)
    ended = first is not None and first.result is not None and first.result.status == "failed"
    return len(group.trials) if ended else len(group.seeds)


def example_trial(arm: Arm, seed: int) -> TrialConfig:
    """A trial in the middle of the arm's space."""
    return fitting(arm, example_params(arm), seed) or arm.base


def example_params(arm: Arm) -> Params:
    """A value of each swept hyperparameter, from the middle of its domain."""
    return {name: sample_values(domain)[1] for name, domain in arm.space.items()}


def sample_values(domain: Domain) -> tuple[Value, Value, Value]:
    """The first, a middle and the last value of a domain."""
    grid = domain.grid()
    if grid:
        return grid[0], grid[len(grid) // 2], grid[-1]
    assert isinstance(domain, FloatRange)  # the other domains have a grid
    low, high = float(domain.low), float(domain.high)
    middle = (low * high) ** 0.5 if domain.log else (low + high) / 2
    return low, middle, high


def fitting(arm: Arm, params: Params, seed: int) -> TrialConfig | None:
    """The trial with these values, or None if they are not valid together.

    Args:
        arm: the arm.
        params: values of its swept hyperparameters.
        seed: seed of the trial.
    """
    try:
        return arm.trial(params, seed)
    except ValueError:
        return None
