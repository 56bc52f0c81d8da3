"""MM-IMDB: 25,959 films, their posters and plots, each with one or more of 23 genres.

One row of `multimodal_imdb.hdf5`: features = 300 numbers (mean word2vec vector of the plot), vgg_features = 4,096
numbers (VGG activations of the poster), genres = 23 numbers, 0 or 1. Rows [0, 15552) are train, [15552, 18160) dev,
[18160, 25959) test.

The raw layout is `dataset/<id>.json` (`plot`: texts, the longest is used; `genres`: words), `dataset/<id>.jpeg` and
`split.json` ({"train": [ids], "dev": [ids], "test": [ids]}). It does not contain the word2vec and VGG features. With
`features: files` they are read from `features/text/<id>.npy` and `features/image/<id>.npy`; with `features: made`
simpler features are computed.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy import ndarray
from pydantic import AfterValidator, Field

from trainables.common.types import Batch, PairedData
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.field_checks import only_with
from trainables.data.common.raw_files import fingerprint_of_files, require_path, without_file_errors
from trainables.data.common.splits import standardise
from trainables.data.multimedia.mmimdb_raw import GENRES, FilmSource, list_films, load_films, width_of

if TYPE_CHECKING:
    import h5py

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""

Modality = Literal["image", "text"]
HDF5_NAME = "multimodal_imdb.hdf5"
HDF5_ARRAYS: dict[Modality, str] = {"image": "vgg_features", "text": "features"}
OFFICIAL_ROWS, OFFICIAL_ENDS = 25_959, (15_552, 18_160)

only_raw, only_hdf5 = only_with("layout", "raw"), only_with("layout", "hdf5")


class MMIMDBConfig(DataConfig):
    """Posters and plots of films; each film has one or more genres."""

    task: ClassVar[str] = "multilabel"
    location: ClassVar[tuple[str, ...]] = ("root",)
    teacher_only: ClassVar[tuple[str, ...]] = ("teacher",)
    dataset: Literal["mmimdb"] = "mmimdb"
    """Films: posters and plots, several genres each."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with the data; a relative one starts at the study file's folder."""
    layout: Literal["hdf5", "raw"] = "hdf5"
    """Content of `root`: `multimodal_imdb.hdf5`, or `dataset/<id>.{json,jpeg}` and `split.json`."""
    teacher: Modality = "image"
    """What the teacher sees."""
    student: Modality = "text"
    """What the student sees. The teacher's own modality is allowed."""
    ends: Annotated[
        tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=2)]], AfterValidator(only_hdf5(OFFICIAL_ENDS))
    ] = OFFICIAL_ENDS
    """First validation row and first test row (`layout: hdf5`)."""
    features: Annotated[Literal["made", "files"], AfterValidator(only_raw("made"))] = "made"
    """Features (`layout: raw`): `files` reads `features/text/<id>.npy` and `features/image/<id>.npy`; `made` hashes the
    words of the plot and shrinks the poster."""
    text_dim: Annotated[int, Field(ge=1), AfterValidator(only_raw(300))] = 300
    """Numbers of a text (`layout: raw`): hash buckets of the words, or the length that feature files must have."""
    image_side: Annotated[int, Field(ge=1), AfterValidator(only_raw(32))] = 32
    """Side of the shrunk poster in pixels, 3 side^2 numbers (`layout: raw`, `features: made`)."""
    image_dim: Annotated[int, Field(ge=1), AfterValidator(only_raw(4096))] = 4096
    """Numbers of an image: the length that feature files must have (`layout: raw`, `features: files`)."""
    standardised: bool = True
    """Whether each feature is standardised to mean 0 and deviation 1 over the training rows."""
    skip_bad: Annotated[int, Field(ge=0), AfterValidator(only_raw(0))] = 0
    """Number of films that may be unreadable; they are skipped and counted in the report (`layout: raw`)."""


def film_source(config: MMIMDBConfig) -> FilmSource:
    """The source of raw films: their folder and how they are read."""
    folder = Path(config.root)
    image = config.image_dim if config.features == "files" else config.image_side
    return FilmSource(folder, "", config.features, config.text_dim, image, (config.teacher, config.student))


def load_in(config: MMIMDBConfig, folder: Path) -> PairedData:
    """The three splits; raw films are read into `folder`.

    Raises:
        FileNotFoundError: if root, index or hdf5 file are missing.
        ValueError: if they are truncated or wrong, or more films than `skip_bad` cannot be read.

    """
    data = load_hdf5(config) if config.layout == "hdf5" else load_films(film_source(config), folder, config.skip_bad)
    if not config.standardised:
        return data
    views = {view: standardised(data, view) for view in ("teacher", "student")}
    splits = {
        split: data.split(split)._replace(teacher=views["teacher"][split], student=views["student"][split])
        for split in ("train", "val", "test")
    }
    return replace(data, train=splits["train"], val=splits["val"], test=splits["test"])


def load(config: MMIMDBConfig) -> PairedData:
    """The result of `load_in`, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return load_in(config, Path(folder))


def standardised(data: PairedData, view: str) -> dict[str, torch.Tensor]:
    """One view of each split, standardised by the mean and deviation of the training rows."""
    parts = {split: getattr(data.split(split), view).numpy() for split in ("train", "val", "test")}
    train = np.arange(len(parts["train"]))
    result = standardise(np.concatenate(list(parts.values())), train)
    cuts = np.cumsum([len(part) for part in parts.values()])[:-1]
    return {
        split: torch.from_numpy(np.ascontiguousarray(part))
        for split, part in zip(parts, np.split(result, cuts), strict=True)
    }


def hdf5_shapes(config: MMIMDBConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of the two views and of the genres. Raises FileNotFoundError or ValueError."""
    path = require_path("mmimdb", Path(config.root) / HDF5_NAME, "the features of MM-IMDB")
    wanted = [HDF5_ARRAYS[config.teacher], HDF5_ARRAYS[config.student], "genres"]
    with hdf5_tables(path) as tables:
        shapes = {name: tables[name].shape for name in wanted if name in tables}
    for name in wanted:
        if len(shapes.get(name, ())) != 2:
            raise ValueError(f"mmimdb: {str(path)!r} must have a table {name!r}, but has none; copy it again")
    rows = {name: shape[0] for name, shape in shapes.items()}
    if len(set(rows.values())) > 1 or rows["genres"] <= config.ends[1]:
        raise ValueError(
            f"mmimdb: the tables of {str(path)!r} must have equally many rows, more than ends = {config.ends}, "
            f"but have {rows}; copy the file again or set data.ends"
        )
    return shapes


@contextmanager
def hdf5_tables(path: Path) -> "Iterator[dict[str, h5py.Dataset]]":
    """The tables of an hdf5 file by name. Raises ValueError if the file is truncated or wrong."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield {name: table for name, table in file.items() if isinstance(table, h5py.Dataset)}
    except OSError as error:
        raise ValueError(
            f"mmimdb: {str(path)!r} must be an hdf5 file, but cannot be read ({error}); copy it again"
        ) from None


def load_hdf5(config: MMIMDBConfig) -> PairedData:
    """The splits of the hdf5 file, not standardised."""
    hdf5_shapes(config)
    wanted = (HDF5_ARRAYS[config.teacher], HDF5_ARRAYS[config.student], "genres")
    with hdf5_tables(Path(config.root) / HDF5_NAME) as tables:
        teacher, student, genres = (np.asarray(tables[name][:], dtype=np.float32) for name in wanted)
    if not np.isin(genres, (0, 1)).all():
        raise ValueError(f"mmimdb: genres must be 0 or 1, but {HDF5_NAME} contains {genres.max():g}; copy it again")
    cuts = (slice(0, config.ends[0]), slice(*config.ends), slice(config.ends[1], None))
    rows = np.arange(len(genres))
    batches = [to_batch(teacher[cut], student[cut], genres[cut], rows[cut]) for cut in cuts]
    return PairedData(*batches, num_classes=genres.shape[1])


def to_batch(teacher: ndarray, student: ndarray, genres: ndarray, rows: ndarray) -> Batch:
    """One split as contiguous tensors."""
    inputs, outputs, labels = (torch.from_numpy(part.copy()) for part in (teacher, student, genres))
    return Batch(inputs, outputs, labels, torch.ones(len(rows), dtype=torch.bool), torch.from_numpy(rows.copy()))


def fingerprint(config: MMIMDBConfig) -> str:
    """Hash of the index and of names and sizes of the listed files; for hdf5 of the name and size of the file."""
    root = Path(config.root)
    if config.layout == "hdf5":
        hdf5_shapes(config)
        return fingerprint_of_files("mmimdb", VERSION, [], [root / HDF5_NAME], root)
    source = film_source(config)
    files = sorted({file for clip in list_films(source) for file in clip.source.files()})
    return fingerprint_of_files("mmimdb", VERSION, [root / "split.json"], files, root)


def shape(config: MMIMDBConfig) -> DataShape:
    """Shapes and sizes, read from the index only. Raises ValueError or FileNotFoundError."""
    if config.layout == "hdf5":
        shapes = hdf5_shapes(config)
        teacher, student = (shapes[HDF5_ARRAYS[view]][1:] for view in (config.teacher, config.student))
        first, second = config.ends
        rows, classes = shapes["genres"]
        return DataShape(teacher, student, classes, first, second - first, rows - second)
    source = film_source(config)
    places = [place for clip in list_films(source) for place in clip.places]
    sizes = [sum(place.split == split for place in places) for split in ("train", "val", "test")]
    teacher, student = ((width_of(source, view),) for view in source.views)
    return DataShape(teacher, student, len(GENRES), *sizes)


@without_file_errors
def not_comparable(config: MMIMDBConfig) -> str | None:
    """The published numbers are of the complete official features in the official splits."""
    if config.layout == "raw":
        return "the features are not the word2vec and VGG features of the published numbers, but from the raw layout"
    rows = hdf5_shapes(config)["genres"][0]
    if rows != OFFICIAL_ROWS or config.ends != OFFICIAL_ENDS:
        return f"there are {rows:,} films cut at {config.ends}, not {OFFICIAL_ROWS:,} cut at {OFFICIAL_ENDS}"
    return None


MMIMDB = Dataset(MMIMDBConfig, load, fingerprint, shape, load_in, not_comparable)
