"""The measured gain of each pair of networks, next to the estimate that the criterion made before distillation.

Reads the estimates from the stages and the gains from the store. Computes neither.
"""

from collections.abc import Callable

from study.analysis.comparison import PairedDifference, paired_difference
from study.analysis.study_results import StudyResults, values_by_seed
from study.config.resolved_study import network_params
from study.config.study_config import StudyConfig
from study.planning.criterion import Cell, assess, study_cells
from study.planning.criterion_agreement import (
    PairOutcome,
)
from study.storage.groups import Group, best_group
from study.storage.store import StudyStore
from trainables.data.common.base import DataConfig
from trainables.stages.artifacts import StageStore
from trainables.stages.criterion import CriterionSettings

Pick = Callable[[list[Group]], Group | None]
"""Chooses the configuration of an arm."""


def pair_outcomes(
    study: StudyConfig, results: StudyResults, settings: CriterionSettings, pick: Pick | None = None
) -> list[PairOutcome]:
    """Every arm on every pair of networks that has an estimate and a gain.

    Args:
        study: The study.
        results: Its results.
        settings: The estimator whose estimates are read.
        pick: Chooses the configuration of an arm; by default the best on validation.

    Returns:
        One outcome for each arm and pair of networks.
    """
    stages, store = StageStore(study.stages_directory), StudyStore(study.directory)
    found: list[PairOutcome] = []
    for cell in study_cells(study, store):
        expected = assess(cell, settings, stages)
        groups = groups_of(cell, study, results)
        chosen = (pick or best_of(results))(groups)
        gain = gain_of(chosen, baseline_group(cell, study, results), results)
        if expected and gain:
            trials = [trial.result for group in groups for trial in group.trials if trial.result]
            seconds = sum(result.seconds for result in trials)
            method = study.arm(cell.arm).written or cell.arm
            whose = (method, cell.teacher, cell.student)
            found.append(PairOutcome(pair_name(cell, study), cell.arm, expected, gain, seconds, len(trials), *whose))
    return found


def best_of(results: StudyResults) -> Pick:
    """The configuration that validation chooses."""
    return lambda groups: best_group(groups, results.metric, results.direction)


def pair_name(cell: Cell, study: StudyConfig) -> str:
    """`pix → fou`, with the arm where several arms distil."""
    several = len({arm.written or arm.name for arm in study.arms if arm.base.method.teacher_source != "nothing"}) > 1
    arm = study.arm(cell.arm)
    return f"{arm.written or arm.name}: {cell.name}" if several else cell.name


def groups_of(cell: Cell, study: StudyConfig, results: StudyResults) -> list[Group]:
    """The configurations of an arm on one pair of networks.

    Args:
        cell: The arm and the pair.
        study: The study.
        results: Its results.
    """
    arm = study.arm(cell.arm)
    return [group for group in results.arm(cell.arm).groups if network_params(arm, group.params) == cell.params]


def baseline_group(cell: Cell, study: StudyConfig, results: StudyResults) -> Group | None:
    """The best configuration of the cell's baseline on the student's data, or None.

    Args:
        cell: The arm and the pair of networks.
        study: The study.
        results: Its results.
    """
    row = results.arm(results.baseline_of(cell.arm))
    wanted = of_student(cell.trials[0].data)
    same = [group for group in row.groups if group.trials and of_student(group.trials[0].config.data) == wanted]
    return best_group(same, results.metric, results.direction)


def of_student(data: DataConfig) -> dict[str, object]:
    """The data config without the fields that concern the teacher only."""
    return {name: value for name, value in data.model_dump().items() if name not in data.teacher_only}


def gain_of(group: Group | None, baseline: Group | None, results: StudyResults) -> PairedDifference | None:
    """Test metric minus the baseline's by seed, with the sign that makes positive better; None without both.

    Args:
        group: The configuration.
        baseline: The configuration to compare with.
        results: The study's results.
    """
    pair = paired_difference(values_by_seed(group, results.test_metric), values_by_seed(baseline, results.test_metric))
    return pair if pair is None or results.direction == "maximize" else flipped(pair)


def flipped(pair: PairedDifference) -> PairedDifference:
    """The difference with the opposite sign."""
    low, high = (None if end is None else -end for end in (pair.high, pair.low))
    return PairedDifference(-pair.mean, low, high, pair.n)
