"""mfh: the Gaussian data of the modality focusing hypothesis (Xue et al., "The modality focusing hypothesis", 2023).

A label is the side of a random hyperplane on which the decisive features lie, y = 1[a'x > 0], x ~ N(0, I),
a ~ N(0, I). Teacher and student each see some of the decisive features; the rest of their inputs is noise N(0, 1).

| mode | decisive | student (50 inputs) | teacher |
|---|---|---|---|
| gamma | 20 | the first 10 | 25 inputs: 10 decisive ones, `overlap` of them shared with the student |
| alpha | 50 | the first 10 | 50 inputs: the same 10 and the next `extra` |

gamma = overlap / (20 - overlap) is the share of the decisive features that both see; alpha = extra / (10 + extra) is
the share that only the teacher sees.
"""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy import ndarray
from pydantic import AfterValidator, Field

from search_spaces.domains import Choice
from trainables.common.types import EarlierFields, PairedData, earlier
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.raw_files import fingerprint_of
from trainables.data.common.splits import join_splits

VERSION = 1
"""Increase it when `load` makes other arrays from the same config."""

Mode = Literal["gamma", "alpha"]
DECISIVE: dict[Mode, int] = {"gamma": 20, "alpha": 50}
TEACHER_WIDTH: dict[Mode, int] = {"gamma": 25, "alpha": 50}
STUDENT_WIDTH, STUDENT_DECISIVE = 50, 10


def only_gamma(overlap: int, info: EarlierFields) -> int:
    """A check of `overlap`, after `mode`."""
    if earlier(info, "mode") == "alpha" and overlap != STUDENT_DECISIVE:
        raise ValueError(
            f"with `mode: alpha` the teacher sees all {STUDENT_DECISIVE} decisive features of the student, "
            f"but got {overlap!r}; leave overlap out, or choose `mode: gamma`"
        )
    return overlap


def only_alpha(extra: int, info: EarlierFields) -> int:
    """A check of `extra`, after `mode`."""
    if earlier(info, "mode") == "gamma" and extra != 0:
        raise ValueError(
            f"extra belongs to `mode: alpha`, but the mode is 'gamma' and extra is {extra!r}; "
            "leave extra out, or choose `mode: alpha`"
        )
    return extra


class MFHConfig(DataConfig):
    """How many of the features that decide the label are shared by teacher and student."""

    teacher_only: ClassVar[tuple[str, ...]] = ("overlap", "extra")
    axes: ClassVar[dict[str, tuple[str, Callable[[float], float]]]] = {
        "overlap": ("γ = overlap / (20 - overlap)", lambda overlap: overlap / (DECISIVE["gamma"] - overlap)),
        "extra": ("α = extra / (10 + extra)", lambda extra: extra / (STUDENT_DECISIVE + extra)),
    }
    dataset: Literal["mfh"] = "mfh"
    """Gaussian data of the modality focusing hypothesis."""
    mode: Mode = "gamma"
    """`gamma` varies the features that both see, `alpha` those that only the teacher sees."""
    overlap: Annotated[int, Field(ge=0, le=10), AfterValidator(only_gamma), Choice((0, 2, 4, 6, 8, 10))] = 10
    """Decisive features that teacher and student share, of 10 each (gamma mode)."""
    extra: Annotated[int, Field(ge=0, le=40), AfterValidator(only_alpha), Choice((0, 10, 20, 30, 40))] = 0
    """Decisive features that only the teacher sees, in addition to the student's 10 (alpha mode)."""
    train: Annotated[int, Field(ge=2)] = 200
    """Training pairs."""
    val: Annotated[int, Field(ge=2)] = 1000
    """Validation pairs."""
    test: Annotated[int, Field(ge=2)] = 1000
    """Test pairs."""
    data_seed: Annotated[int | None, Field(ge=0)] = 0
    """Seed of the hyperplane and of all pairs; null: the trial's seed, so that every seed has other data."""


def load(config: MFHConfig) -> PairedData:
    """The three splits, not standardised: every input has mean 0 and deviation 1 by construction.

    A config without a `data_seed` draws with seed 0; a trial sets `data_seed` to its seed first.
    """
    plane, *sources = [np.random.default_rng(seed) for seed in np.random.SeedSequence(config.data_seed or 0).spawn(4)]
    normal = plane.standard_normal(DECISIVE[config.mode])
    sizes = (config.train, config.val, config.test)
    return join_splits([draw(config, size, normal, source) for size, source in zip(sizes, sources, strict=True)], 2)


def draw(
    config: MFHConfig, rows: int, normal: ndarray, generator: np.random.Generator
) -> tuple[ndarray, ndarray, ndarray]:
    """One split.

    The teacher's noise is drawn last, so that student and labels do not depend on `overlap` and `extra`.

    Args:
        config: the config of the data.
        rows: number of pairs.
        normal: normal vector of the hyperplane, one entry for each decisive feature.
        generator: source of all draws.

    Returns:
        Teacher inputs (rows, teacher width), student inputs (rows, 50) and labels (rows,).
    """
    decisive = generator.standard_normal((rows, len(normal)))
    student = generator.standard_normal((rows, STUDENT_WIDTH))
    teacher = generator.standard_normal((rows, TEACHER_WIDTH[config.mode]))
    student[:, :STUDENT_DECISIVE] = decisive[:, :STUDENT_DECISIVE]
    first = STUDENT_DECISIVE - config.overlap
    seen = STUDENT_DECISIVE + config.extra
    teacher[:, :seen] = decisive[:, first : first + seen]
    return teacher, student, (decisive @ normal > 0).astype(np.int64)


def fingerprint(config: MFHConfig) -> str:
    """Hash of `VERSION`: everything else is in the config."""
    return fingerprint_of("mfh", VERSION)


def shape(config: MFHConfig) -> DataShape:
    """Widths of the mode and sizes of the config."""
    return DataShape((TEACHER_WIDTH[config.mode],), (STUDENT_WIDTH,), 2, config.train, config.val, config.test)


MFH = Dataset(MFHConfig, load, fingerprint, shape)
