"""CMU-MOSEI: 22,856 spoken opinions as text, audio and face features, with a sentiment from -3 to 3.

One row of MMSA's `aligned_50.pkl`: id = "-3g5yACwYnA$_$3", text = 50 x 768 (BERT), audio = 50 x 74 (COVAREP), vision =
50 x 35 (Facet), regression_labels = 1.0. Each modality is averaged over its time steps without padding.

`layout: csd` reads CMU-MultimodalSDK's files `CMU_MOSEI_{TimestampedWordVectors,COVAREP,VisualFacet42,Labels}.csd`
(hdf5: `<name>/data/<video>/{features, intervals}`), with the standard folds in `splits.json`
({"train": [videos], "valid": [videos], "test": [videos]}).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from pydantic import AfterValidator, Field

from trainables.common.types import PairedData
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.corruption import NO_NOISE, NoiseLevel, NoiseSeed, add_noise
from trainables.data.common.field_checks import only_with
from trainables.data.common.raw_files import fingerprint_of_files, require_path
from trainables.data.common.splits import standardise, to_batch
from trainables.data.multimedia.mosei_csd import CSD_FILES, csd_index, csd_means
from trainables.data.multimedia.mosei_mmsa import mmsa_index, mmsa_means, mmsa_path

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""

Modality = Literal["text", "audio", "vision"]
SPLITS = {"train": "train", "val": "valid", "test": "test"}
"""Our name of each split, and its name in the files."""
CLASSES = {"three": 3, "binary": 2, "seven": 7, "regression": 1}

only_mmsa = only_with("layout", "mmsa")


class MOSEIConfig(DataConfig):
    """Text, audio or face features of spoken opinions, each averaged over time."""

    location: ClassVar[tuple[str, ...]] = ("root",)
    teacher_only: ClassVar[tuple[str, ...]] = ("teacher", "teacher_noise", "noise_seed")
    dataset: Literal["cmu_mosei"] = "cmu_mosei"
    """Spoken opinions: text, audio and face features, and their sentiment."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with the data; a relative one starts at the study file's folder."""
    layout: Literal["mmsa", "csd"] = "mmsa"
    """Content of `root`: MMSA's pickle, or the csd files of CMU-MultimodalSDK and `splits.json`."""
    version: Annotated[Literal["aligned_50", "unaligned_50"], AfterValidator(only_mmsa("aligned_50"))] = "aligned_50"
    """Which pickle is read (`layout: mmsa`)."""
    teacher: Modality = "text"
    """What the teacher sees."""
    student: Modality = "audio"
    """What the student sees. The teacher's own modality is allowed."""
    target: Literal["three", "binary", "seven", "regression"] = "three"
    """`three`: negative, neutral, positive. `binary`: negative, positive, without the neutral rows. `seven`: -3 to 3,
    rounded. `regression`: the sentiment itself, with MOSEI's metrics (mae, pearson, acc7, acc5, acc2, f1)."""
    teacher_noise: NoiseLevel = 0.0
    """Gaussian noise added to the teacher's inputs: its deviation relative to that of each feature; 0: none."""
    noise_seed: NoiseSeed = 0
    """Seed of the teacher's noise; null: the trial's seed."""

    @property
    def task(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  (the target determines the task)
        return self.task_of({"target": self.target})

    @classmethod
    def task_of(cls, values: Mapping[str, object]) -> str:
        return "sentiment" if values.get("target") == "regression" else "classification"

    def for_student(self) -> DataConfig:
        return self.model_copy(update={"teacher": self.student, **NO_NOISE})


class Rows(NamedTuple):
    """One official split."""

    sentiment: Float[ndarray, " rows"]
    kept: Int64[ndarray, " kept"]
    """Rows with a label for the target."""


def rows_of(config: MOSEIConfig) -> dict[str, Rows]:
    """The official splits, read from the labels only. Raises ValueError or FileNotFoundError."""
    root = Path(config.root)
    index = mmsa_index(root, config.version).sentiment if config.layout == "mmsa" else csd_index(root).sentiment
    splits: dict[str, Rows] = {}
    for name, official in SPLITS.items():
        sentiment = index[official]
        kept = np.flatnonzero(sentiment) if config.target == "binary" else np.arange(len(sentiment))
        splits[name] = Rows(sentiment, kept)
    return splits


def labels_of(sentiment: Float[ndarray, " rows"], target: str) -> ndarray:
    """Classes as int64 (rows,); for regression the sentiments as float32 (rows, 1)."""
    return sentiment.astype(np.float32)[:, None] if target == "regression" else classes_of(sentiment, target)


def classes_of(sentiment: Float[ndarray, " rows"], target: str) -> Int64[ndarray, " rows"]:
    """The class of each sentiment: negative, neutral, positive; negative, positive; -3 ... 3 (halves to even)."""
    if target == "three":
        return np.sign(sentiment).astype(np.int64) + 1
    if target == "binary":
        return (sentiment > 0).astype(np.int64)
    return np.round(np.clip(sentiment, -3, 3)).astype(np.int64) + 3


def means_of(config: MOSEIConfig, view: Modality) -> dict[str, Float[ndarray, "rows features"]]:
    """Each row's mean over time, by official split."""
    root = Path(config.root)
    return mmsa_means(root, config.version, view) if config.layout == "mmsa" else csd_means(root, view)


def load(config: MOSEIConfig) -> PairedData:
    """The official splits, each feature standardised by the training rows.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is truncated or wrong, or if the pickle contains more than plain values.

    """
    rows = rows_of(config)
    starts = np.cumsum([0, *(len(split.sentiment) for split in rows.values())])
    index = np.concatenate([split.kept + start for split, start in zip(rows.values(), starts, strict=False)])
    sentiment = np.concatenate([split.sentiment for split in rows.values()])[index]
    ends = np.cumsum([len(split.kept) for split in rows.values()])
    train = np.arange(ends[0])
    views = []
    for view in (config.teacher, config.student):
        means = means_of(config, view)
        views.append(standardise(np.concatenate([means[name] for name in SPLITS.values()])[index], train))
    views[0] = add_noise(views[0], config.teacher_noise, config.noise_seed, train)
    labels, marked = labels_of(sentiment, config.target), np.ones(len(index), dtype=bool)
    batches = [
        to_batch(*(part[start:end] for part in (*views, labels, marked, index)))
        for start, end in zip((0, *ends[:-1]), ends, strict=True)
    ]
    return PairedData(*batches, num_classes=CLASSES[config.target])


def fingerprint(config: MOSEIConfig) -> str:
    """Hash of names and sizes of the large files, and of `splits.json`."""
    root = Path(config.root)
    if config.layout == "mmsa":
        return fingerprint_of_files("cmu_mosei", VERSION, [], [mmsa_path(root, config.version)], root)
    files = [root / name for name in CSD_FILES.values()]
    splits = require_path("cmu_mosei", root / "splits.json", "the standard folds")
    return fingerprint_of_files("cmu_mosei", VERSION, [splits], files, root)


def shape(config: MOSEIConfig) -> DataShape:
    """Shapes and sizes, read from labels and headers only. Raises ValueError or FileNotFoundError."""
    root = Path(config.root)
    rows = rows_of(config)
    widths = mmsa_index(root, config.version).widths if config.layout == "mmsa" else csd_index(root).widths
    sizes = [len(split.kept) for split in rows.values()]
    return DataShape((widths[config.teacher],), (widths[config.student],), CLASSES[config.target], *sizes)


def not_comparable(config: MOSEIConfig) -> str | None:
    """The paper publishes gains only."""
    return "the paper publishes gains on CMU-MOSEI, but no tables, features or networks"


CMU_MOSEI = Dataset(MOSEIConfig, load, fingerprint, shape, not_comparable=not_comparable)
