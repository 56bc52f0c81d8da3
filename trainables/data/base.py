"""What a data set is: a config, a fingerprint, a shape and a loader."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

from trainables.types import Frozen, PairedData


class DataShape(NamedTuple):
    """What a data set will deliver, known without loading it: for checks and for `--dry-run`."""

    teacher: tuple[int, ...]
    """Shape of one teacher input."""
    student: tuple[int, ...]
    """Shape of one student input."""
    num_classes: int
    train: int
    """Number of training pairs (labelled or not)."""
    val: int
    test: int


class DataConfig(Frozen):
    """Base of the data configs. A subclass adds `dataset: Literal["its name"]` and its own fields."""

    teacher_only: ClassVar[tuple[str, ...]] = ()
    """Fields that only say what the teacher sees. A method without a teacher is the same trial whatever they are."""


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
    """`shape(config) -> DataShape`, without loading anything."""
