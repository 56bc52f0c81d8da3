"""What the criterion costs, to compare it with what skipping saves."""

from collections.abc import Iterator

from study.config.study_config import StudyConfig
from study.planning.criterion import study_cells
from study.storage.store import StudyStore
from trainables.stages.artifacts import Stage, StageStore
from trainables.stages.targets import required_stages


def criterion_seconds(study: StudyConfig) -> float:
    """Seconds of the existing estimates, and of the networks that were trained only for them.

    Stages that the distillations need anyway (data, teachers, for some methods the students too) are not counted. The
    estimator's self-test is not counted either, because skipping does not need it.
    """
    if study.criterion is None:
        return 0.0
    stages = StageStore(study.stages_directory)
    wanted, needed = dict[str, Stage](), set[str]()
    for cell in study_cells(study, StudyStore(study.directory)):
        for trial, estimate in zip(cell.trials, cell.stages(study.criterion.settings), strict=True):
            wanted |= {stage.key: stage for stage in lineage(estimate)}
            needed |= {stage.key for stage in required_stages(trial)}
    return sum(stages.seconds(stage) for key, stage in wanted.items() if key not in needed and stages.has(stage))


def lineage(stage: Stage) -> Iterator[Stage]:
    """A stage and everything that it is computed from."""
    yield stage
    for parent in stage.parents():
        yield from lineage(parent)
