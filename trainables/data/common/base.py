"""What a data set is: a config, a fingerprint, a shape and a loader."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import model_serializer
from torch import Tensor

from trainables.common.types import IDENTITY, Frozen, PairedData, TableConfig


class DataShape(NamedTuple):
    """What a data set will deliver, known without loading it: for checks and for `--dry-run`."""

    teacher: tuple[int, ...]
    """Shape of one teacher input."""
    student: tuple[int, ...]
    """Shape of one student input."""
    num_classes: int
    """Classes; how many logits a network has for a row (or for each of its cells)."""
    train: int
    """Number of training pairs (labelled or not)."""
    val: int
    test: int


class DataConfig(TableConfig):
    """Base of the data configs. A subclass adds `dataset: Literal["its name"]` and its own fields."""

    kind_field: ClassVar[str] = "dataset"
    teacher_only: ClassVar[tuple[str, ...]] = ()
    """Fields that only say what the teacher sees. A method without a teacher is the same trial whatever they are."""
    task: ClassVar[str] = "classification"
    """The line of `trainables.tasks.TASKS` by which the labels are learnt and the outputs judged."""
    location: ClassVar[tuple[str, ...]] = ()
    """Fields that only say where raw files lie: part of no identity, so that data may be moved."""
    reading: ClassVar[tuple[str, ...]] = ()
    """Fields that only say how raw files are read: the arrays are the same, so they are part of no identity either."""
    axes: ClassVar[dict[str, tuple[str, Callable[[float], float]]]] = {}
    """How the papers plot a swept field: the axis label, and their value of ours."""

    @classmethod
    def task_of(cls, values: Mapping[str, object]) -> str:
        """The task of a config with these fields, the others at their defaults: for files that are not checked yet."""
        return cls.task

    def for_seed(self, seed: int) -> "DataConfig":
        """The data of the trial with this seed: every field called `..._seed` that is null becomes the trial's seed."""
        own = [name for name in type(self).model_fields if name.endswith("_seed") and getattr(self, name) is None]
        return self.model_copy(update=dict.fromkeys(own, seed)) if own else self

    def for_student(self) -> "DataConfig":
        """What a student on its own is trained on and known by: the same for configs that differ to the teacher only.

        The rows and the student's inputs must be those of this config. Where another preparation is too dear to be
        worth it, the config itself.
        """
        return self

    def shared_inputs(self) -> int | None:
        """How many leading inputs are the same for teacher and student (D_g of Theorem 1); None: not known."""
        return None

    @model_serializer(mode="wrap")
    def _leave_out_location(self, whole: Callable[[Any], dict[str, Any]], info: Any) -> dict[str, Any]:
        """All fields; without `location` and `reading` where the values are to identify something (`identity_of`)."""
        values = whole(self)
        if info.context is IDENTITY:
            for name in (*self.location, *self.reading):
                values.pop(name, None)
        return values


class Dataset(NamedTuple):
    """One line of `DATASETS`."""

    config: type[DataConfig]
    load: Callable[..., PairedData]
    """`load(config) -> PairedData`, the same arrays every time. Raises FileNotFoundError (what to put where).

    Contiguous tensors: inputs float32, labels and index int64, labelled bool. No row is in two splits, and whatever is
    fitted (a standardisation) is fitted to the training rows.
    """
    fingerprint: Callable[..., str]
    """`fingerprint(config) -> str`: changes whenever the raw data that `load` reads do, or what its code makes of them
    (the module's `VERSION`). It need not change with the config, which stands beside it in every key."""
    shape: Callable[..., DataShape]
    """`shape(config) -> DataShape`, without loading anything; of files it reads no more than their index.

    Raises ValueError or OSError, one clear line, where files are missing or wrong (what to put where).
    """
    load_in: Callable[..., PairedData] | None = None
    """For data whose preparation takes long: `load_in(config, folder)` gives what `load` gives, and keeps finished
    parts in `folder`, which outlives a kill and is deleted once the result is safe."""
    not_comparable: Callable[..., str | None] = lambda config: "the data set is none of the papers'"
    """`not_comparable(config)`: why results on this data must not be set beside published ones, or None."""
    decoded: Callable[..., Tensor] | None = None
    """`decoded(config, split, files, numbers)`: the teacher's inputs of a split whose pictures stayed in their files
    instead of being stored (`trainables.data.readers.lazy_images`); None for data that are always stored."""


def identity_of(config: Frozen) -> dict[str, Any]:
    """The fields of a config, at any depth, that belong to its identity: not where files lie or how they are read."""
    return config.model_dump(mode="json", context=IDENTITY)


def load_data(entry: Dataset, config: DataConfig, folder: Path) -> PairedData:
    """The splits; with finished parts kept in `folder` where the data set can do that."""
    return entry.load(config) if entry.load_in is None else entry.load_in(config, folder)
