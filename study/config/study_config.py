"""StudyConfig: one study, resolved. `study.parsing.loader` makes it from a YAML file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from search_spaces.domains import Domain, Value
from search_spaces.space import domain_from_json, domain_to_json
from study.config.criterion import CriterionConfig
from study.config.spectrum_rule import BOTTLENECK, SpectrumRule, configurations
from trainables.common.types import Frozen
from trainables.config import TrainingConfig, TrialConfig

Params = dict[str, Value]
"""Values of the swept hyperparameters, by their canonical names."""

StoredDomain = Annotated[Domain, BeforeValidator(domain_from_json), PlainSerializer(domain_to_json)]
"""A domain that JSON stores exactly: a range of floats is never read as one of integers."""

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""A name that is valid as a folder on every system and is one word in a table."""

Seed = Annotated[int, Field(ge=0)]


def expand_seeds(seeds: object) -> object:
    """The seeds 0 ... n-1 for a number n; a list of seeds as it is.

    Raises:
        ValueError: if there is no such number of seeds, or if a seed is repeated (it would count twice in every mean).
    """
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        if not 1 <= seeds <= 1000:
            raise ValueError(f"must be between 1 and 1000, but got {seeds}; write 3 for the seeds 0, 1 and 2")
        return tuple(range(seeds))
    if isinstance(seeds, list | tuple):
        listed = list(cast(Iterable[object], seeds))
        if len(set(map(repr, listed))) < len(listed):
            raise ValueError(f"each seed may be listed once, but got {listed!r}; remove the repeated one")
    if isinstance(seeds, str | float | dict):
        raise ValueError(
            f"must be a whole number or a list of seeds, but got {seeds!r}; write 3 for the seeds 0, 1 and 2"
        )
    return cast(object, seeds)


class Objective(Frozen):
    """What a study optimises: the mean over seeds of one metric."""

    metric: str = "val/accuracy"
    """Metric key. Never a test metric: those are measured once, after the choice."""
    direction: Literal["maximize", "minimize"] = "maximize"
    """Whether more or less of it is better."""


class SearchConfig(Frozen):
    """How configurations are proposed and weak ones stopped. Every arm has the same budget."""

    sampler: Literal["grid", "random", "tpe", "gp", "cmaes", "qmc"] = "tpe"
    """Algorithm that proposes configurations: the whole grid in order, or Optuna's random, TPE, GP, CMA-ES or QMC."""
    pruner: Literal["none", "median", "asha"] = "median"
    """Rule that stops weak configurations early. They are judged on their first seed within their own arm."""
    trials: Annotated[int, Field(ge=1)] = 12
    """Configurations for each arm (fewer if an arm's space is smaller). Each is run with every seed."""
    seeds: Annotated[
        tuple[Seed, ...],
        Field(min_length=1),
        BeforeValidator(expand_seeds, json_schema_input_type=int | tuple[Seed, ...]),
    ] = (0, 1, 2)
    """Seeds with which every configuration is repeated; a number n means the seeds 0 ... n-1."""
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)] = (Objective(),)
    """One objective, or several for a multi-objective study."""
    sampler_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the proposals."""
    startup_trials: Annotated[int, Field(ge=0)] = 5
    """Configurations per arm before the sampler models and the median pruner prunes."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 5
    """Epochs of each trial in which nothing is pruned (the grace period of ASHA)."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """ASHA promotes the best 1 / reduction_factor at each rung."""


GPUS_SCHEMA = {"anyOf": [{"type": "number", "minimum": 0}, {"const": "auto"}]}


def resolve_auto_gpus(gpus: object) -> object:
    """The value of `gpus`; `auto` is 1 on a machine with a GPU, else 0."""
    if gpus != "auto":
        return gpus
    import torch  # takes seconds, and most studies give a number

    return 1.0 if torch.cuda.is_available() else 0.0


class ResourcesConfig(Frozen):
    """What one trial may use, and how many run at once."""

    workers: Annotated[int, Field(ge=0)] = 1
    """Ray Train workers (ranks) of one trial; 0 runs it in Ray Train's local mode, for a debugger."""
    cpus: Annotated[float, Field(gt=0)] = 1.0
    """CPUs of one worker."""
    gpus: Annotated[float, Field(ge=0), BeforeValidator(resolve_auto_gpus), WithJsonSchema(GPUS_SCHEMA)] = 0.0
    """GPUs of one worker; a fraction lets several workers share one; `auto` is 1 where there is a GPU, else 0."""
    concurrency: Annotated[int, Field(ge=1)] = 1
    """Trials that run at the same time, each in its own slot of workers."""
    pack: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Trials of one shape (their networks and batch size) that are trained together as one stacked network, by one
    worker: `auto` measures how many are worthwhile and does not change the search; a number takes up to that many at
    once, like a higher `concurrency`; 1 trains each trial alone."""
    ray: str = "auto"
    """`auto` starts a local Ray for this study; an address joins a running cluster."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 5.0
    """Least time between two checkpoints of a trial: the most training that a kill can cost a trial."""


class TrackingConfig(Frozen):
    """Where the study is logged in MLflow."""

    uri: str
    """MLflow tracking URI. Default: SQLite in the studies folder."""
    experiment: str
    """MLflow experiment. Default: the study's name."""


class ReportConfig(Frozen):
    """What the report compares."""

    baseline: str
    """Arm that every other arm is tested against. Default: the arm without distillation."""
    published: str | None = None
    """Published table to show next to the results (a file of `search_spaces/published`); arms measure its rows."""


class Arm(Frozen):
    """One method with its own space. `base` has every value that is not swept."""

    name: FileName
    base: TrialConfig
    space: dict[str, StoredDomain]
    """Swept hyperparameters by canonical name: the shared space and the arm's own, which has precedence."""
    spectrum: SpectrumRule | None = None
    """The rule that chooses H from its domain before the search, if the file has one."""
    written: str = ""
    """Name in the file, if `pairs` makes several arms of it."""

    def trial(self, params: Params, seed: int) -> TrialConfig:
        """The trial with `params` in place of the base's values.

        Raises:
            ValueError: if the values do not fit together (pydantic's message names the field).
        """
        values: dict[str, Any] = dict(self.base)  # what is not swept need not be checked again
        for name, value in params.items():
            section, *parents, last = self.path(name).split(".")
            if not isinstance(values[section], dict):
                values[section] = values[section].model_dump(mode="json")
            target = values[section]
            for parent in parents:
                target = target[parent]
            target[last] = value
        return TrialConfig.model_validate({**values, "seed": seed})

    def path(self, name: str) -> str:
        """Path of the hyperparameter `name` in a TrialConfig: `temperature` is `method.temperature`."""
        if "." in name:
            return name
        return f"method.{name}" if name in type(self.base.method).model_fields else f"training.{name}"

    def size(self) -> int | None:
        """Number of configurations in the space (at most, while H is not chosen); None if it is infinite."""
        count = 1
        for name, domain in self.space.items():
            values = domain.size()
            if values is None:
                return None
            count *= configurations(values, self.spectrum if name == BOTTLENECK else None)
        return count


class StudyConfig(Frozen):
    """One study, complete: everything a run needs, with every default filled in."""

    study: FileName
    arms: tuple[Arm, ...]
    search: SearchConfig
    resources: ResourcesConfig
    tracking: TrackingConfig
    report: ReportConfig
    studies: Path
    """Folder of this study's directory, the shared stages and (by default) the MLflow database."""
    source: str
    """The YAML text that this was made from."""
    criterion: CriterionConfig | None = None
    """How to estimate before the search whether distillation pays; None: no estimate."""

    @property
    def directory(self) -> Path:
        """The study directory."""
        return self.studies / self.study

    @property
    def stages_directory(self) -> Path:
        """Content-addressed artifacts, shared by all studies in the same folder."""
        return self.studies / "stages"

    @property
    def training(self) -> TrainingConfig:
        """The first arm's training recipe: the values that are not swept."""
        return self.arms[0].base.training

    @property
    def planned_trials(self) -> int:
        """Number of trials if nothing is pruned or skipped."""
        return sum(map(self.planned_groups, self.arms)) * len(self.search.seeds)

    def planned_groups(self, arm: Arm) -> int:
        """Number of configurations that `arm` tries: `search.trials`, or fewer if its space is smaller."""
        size = arm.size()
        return self.search.trials if size is None else min(self.search.trials, size)

    def arm(self, name: str) -> Arm:
        """The arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def baseline_of(self, arm: Arm) -> str:
        """Name of the arm that `arm` is compared with; its own name if it is a baseline.

        If `pairs` makes several arms of the baseline, it is the one on the same data. Fields of the teacher's data are
        ignored if the baseline has no teacher.
        """
        first = self.arm(self.report.baseline)
        if not first.written:
            return first.name
        data = arm.base.data.model_dump(mode="json")
        for other in self.arms:
            values = other.base.canonical()["data"]
            if other.written == first.written and isinstance(values, dict) and values.items() <= data.items():
                return other.name
        return first.name
