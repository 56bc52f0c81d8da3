"""The keys of a study file as users write them. `study.parsing` reads them; schema and reference describe them."""

from pydantic import BaseModel, JsonValue

from search_spaces.space import names_of
from study.config.criterion import CriterionConfig
from study.config.study_config import FileName, ReportConfig, ResourcesConfig, SearchConfig, TrackingConfig
from trainables.common.types import Frozen
from trainables.config import CHOICES, TrainingConfig
from trainables.data.common.base import DataConfig
from trainables.methods import METHODS
from trainables.models.base import ModelConfig


class ArmSection(Frozen):
    """One arm: a method, its fixed hyperparameters, its own space, and what it changes of the study.

    `training`, `pretraining`, `data`, `teacher` and `student` here change single values of the study's sections.
    """

    method: str
    """Name of the method. Default: the arm's name. The method's hyperparameters are keys next to this one."""
    data: DataConfig
    """Values of the study's `data` that this arm changes."""
    teacher: ModelConfig
    """Values of the study's `teacher` that this arm changes."""
    student: ModelConfig
    """Values of the study's `student` that this arm changes."""
    training: TrainingConfig
    """Values of the study's `training` that this arm changes; the shared stages use the study's."""
    pretraining: TrainingConfig
    """Values of the study's `pretraining` that this arm changes."""
    space: dict[str, JsonValue]
    """Swept by this arm, in addition to the shared `space`. A name that is in both is swept as it is here."""


class StudyFile(Frozen):
    """One file is one study. Paths are relative to the file's folder."""

    study: FileName
    """Name of the study and of its folder: letters, digits, `_`, `-` and `.`."""
    data: DataConfig
    """Data set, and which of its views or modalities teacher and student see."""
    teacher: ModelConfig
    """Teacher network."""
    student: ModelConfig
    """Student network."""
    training: TrainingConfig = TrainingConfig()
    """How students are trained. The default of `monitor` is the first objective, if that is a validation metric."""
    pretraining: TrainingConfig = TrainingConfig()
    """How the unimodal teacher and student of the shared stages are trained; a missing key is as in `training`."""
    equal_architectures: bool = False
    """Whether teacher and student must be the same network up to the size of their inputs, so that no gain is due
    to a larger network. Students that see both modalities are exempt."""
    space: dict[str, JsonValue]
    """Hyperparameters that are swept by every arm that has them and does not set them itself."""
    arms: dict[str, ArmSection]
    """The arms by name, all with the same budget. If none has the method `none` and `report.baseline` names no
    other arm, an arm `none` (no distillation) is added in front."""
    pairs: dict[str, tuple[JsonValue, ...]]
    """Fields of `data`, each with a list of values: every arm is made once for each combination, as `kd-pix-fou`. A
    combination whose `teacher` is its `student` is left out. An arm without a teacher is made once for each student;
    each arm is compared with the baseline that has its student."""
    criterion: CriterionConfig
    """Estimates before the search whether distillation will pay, and may skip what will not. Default: neither;
    `criterion: {}` reports with every default."""
    evaluate: tuple[JsonValue, ...] = ()
    """Additional data, a list of `{name, data}`: every trained student is measured on their test splits and not
    trained on them. The metrics are `<name>/i2t_r1` and so on. Like test metrics, they are never used for choices."""
    search: SearchConfig = SearchConfig()
    """How hyperparameters are proposed and trials pruned."""
    resources: ResourcesConfig = ResourcesConfig()
    """What a trial may use."""
    tracking: TrackingConfig
    """Where the study is logged in MLflow."""
    report: ReportConfig
    """What the report compares."""
    studies: str = "studies"
    """Folder of the study's directory, the stages that studies share, and the MLflow database."""


REQUIRED_KEYS = ("study", "data", "teacher", "student", "arms")
"""Keys that every file has."""

OBJECTIVE_KEYS = ("metric", "direction")
"""Keys of `search` that are short for a single entry of `objectives`."""

ARM_SECTIONS = ("data", "teacher", "student", "training", "pretraining")
"""Parts of a trial that a study sets and an arm may change."""

FIXED_SECTIONS: dict[str, type[BaseModel]] = {
    "training": TrainingConfig,
    "search": SearchConfig,
    "resources": ResourcesConfig,
    "tracking": TrackingConfig,
    "report": ReportConfig,
    "criterion": CriterionConfig,
}
"""Sections whose keys do not depend on a choice within them."""

RESERVED_STUDY_NAMES = ("stages",)
"""Other folders in the folder of the studies."""


def sections_of(name: str) -> tuple[str, ...]:
    """The sections that have a key called `name`, for errors about a key in the wrong section."""
    fixed = tuple(section for section, config in FIXED_SECTIONS.items() if name in names_of(config))
    return fixed or tuple(
        part
        for part in ("data", "teacher", "student")
        if any(name in names_of(config) for config in CHOICES[part][1].values())
    )


def methods_with(name: str) -> list[str]:
    """The methods that have a hyperparameter called `name`."""
    return [method for method, entry in METHODS.items() if name in names_of(entry.config)]
