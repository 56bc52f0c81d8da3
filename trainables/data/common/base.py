"""The parts of a data set: its config, and its entry in `DATASETS` with loader, fingerprint and shape."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import model_serializer
from torch import Tensor

from trainables.common.types import IDENTITY, Frozen, PairedData, TableConfig


class DataShape(NamedTuple):
    """Shapes and sizes of a data set, known without loading it: for checks and for `--dry-run`."""

    teacher: tuple[int, ...]
    """Shape of one teacher input."""
    student: tuple[int, ...]
    """Shape of one student input."""
    num_classes: int
    """Number of classes: the logits of a network for a row (or for each of its cells)."""
    train: int
    """Number of training pairs (labelled or not)."""
    val: int
    test: int


class DataConfig(TableConfig):
    """Base of the data configs. A subclass adds `dataset: Literal["its name"]` and its own fields."""

    kind_field: ClassVar[str] = "dataset"
    teacher_only: ClassVar[tuple[str, ...]] = ()
    """Fields that change the teacher's inputs only. A method without a teacher is one trial for all their values."""
    task: ClassVar[str] = "classification"
    """Key in `trainables.tasks.TASKS`: the task of the labels, with its loss and metrics."""
    location: ClassVar[tuple[str, ...]] = ()
    """Fields that only say where the raw files are. They are not part of any identity, so that files may be moved."""
    reading: ClassVar[tuple[str, ...]] = ()
    """Fields that only say how raw files are read. They do not change the arrays and are not part of any identity."""
    axes: ClassVar[dict[str, tuple[str, Callable[[float], float]]]] = {}
    """How the papers plot a swept field: the axis label, and a function from our value to theirs."""

    @classmethod
    def task_of(cls, values: Mapping[str, object]) -> str:
        """The task of a config with these field values (the others at their defaults), before they are checked."""
        return cls.task

    def for_seed(self, seed: int) -> "DataConfig":
        """The config of the trial with this seed: every field `..._seed` that is null becomes the trial's seed."""
        names = [name for name in type(self).model_fields if name.endswith("_seed") and getattr(self, name) is None]
        return self.model_copy(update=dict.fromkeys(names, seed)) if names else self

    def for_student(self) -> "DataConfig":
        """The config of a student without a teacher: equal for all configs that differ for the teacher only.

        The rows and the student's inputs are those of this config. Where a second preparation costs more than the
        shared trials save, it is the config itself.
        """
        return self

    def shared_inputs(self) -> int | None:
        """Number of leading inputs that teacher and student share (D_g of Theorem 1); None: unknown."""
        return None

    @model_serializer(mode="wrap")
    def _leave_out_location(self, serialize: Callable[[Any], dict[str, Any]], info: Any) -> dict[str, Any]:
        """All fields; without `location` and `reading` in the context IDENTITY (see `identity_of`)."""
        values = serialize(self)
        if info.context is IDENTITY:
            for name in (*self.location, *self.reading):
                values.pop(name, None)
        return values


class Dataset(NamedTuple):
    """An entry of `DATASETS`."""

    config: type[DataConfig]
    load: Callable[..., PairedData]
    """`load(config) -> PairedData`, the same arrays every time. Raises FileNotFoundError with the missing path.

    Contiguous tensors: inputs float32, labels and indices int64, labelled bool. No row is in two splits, and fitted
    transforms (a standardisation) are fitted to the training rows.
    """
    fingerprint: Callable[..., str]
    """`fingerprint(config) -> str`: changes when the raw data that `load` reads change, or when its code makes other
    arrays of them (the module's `VERSION`). It may ignore the config, which every stage key contains as well."""
    shape: Callable[..., DataShape]
    """`shape(config) -> DataShape`, without loading the data; it reads no more than the index of the files.

    Raises ValueError or OSError with a message of one line if files are missing or wrong.
    """
    load_in: Callable[..., PairedData] | None = None
    """For data sets that take long to prepare: `load_in(config, folder)` returns what `load` returns and keeps finished
    parts in `folder`, which survives a kill and is deleted when the result is stored."""
    not_comparable: Callable[..., str | None] = lambda config: "the data set is none of the papers'"
    """`not_comparable(config)`: the reason why results must not be compared with published ones, or None."""
    decoded: Callable[..., Tensor] | None = None
    """`decoded(config, split, files, numbers)`: the teacher's inputs of a split whose images stay in their files
    (`trainables.data.readers.lazy_images`); None for data sets whose arrays are always stored."""


def identity_of(config: Frozen) -> dict[str, Any]:
    """The fields of a config, at any depth, that identify it: all except the location and reading of files."""
    return config.model_dump(mode="json", context=IDENTITY)


def load_data(entry: Dataset, config: DataConfig, folder: Path) -> PairedData:
    """The splits of a data set.

    Args:
        entry: the entry of `DATASETS`.
        config: its config.
        folder: folder of finished parts, for a data set with `load_in`.
    """
    return entry.load(config) if entry.load_in is None else entry.load_in(config, folder)
