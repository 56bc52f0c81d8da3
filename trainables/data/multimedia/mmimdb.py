"""MM-IMDB: 25,959 films, their posters and plots, each with one or more of 23 genres.

One row of `multimodal_imdb.hdf5`: features = 300 numbers (mean word2vec vector of the plot), vgg_features = 4,096
numbers (VGG activations of the poster), genres = 23 of 0 and 1; rows [0, 15552) are train, [15552, 18160) dev,
[18160, 25959) test.

The other layout is the raw one, `dataset/<id>.json` (`plot`: one text or more, of which the longest is taken;
`genres`: words), `dataset/<id>.jpeg` and `split.json` ({"train": [ids], "dev": [ids], "test": [ids]}). The word2vec
and VGG features cannot be had from it. They are read from `features/text/<id>.npy` and `features/image/<id>.npy` with
`features: files`; else plainer ones are made (`features: made`).
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
"""Raise it when `load` makes other arrays from the same files and config."""

Modality = Literal["image", "text"]
HDF5_NAME = "multimodal_imdb.hdf5"
HDF5_ARRAYS: dict[Modality, str] = {"image": "vgg_features", "text": "features"}
OFFICIAL_ROWS, OFFICIAL_ENDS = 25_959, (15_552, 18_160)

only_raw, only_hdf5 = only_with("layout", "raw"), only_with("layout", "hdf5")


class MMIMDBConfig(DataConfig):
    """Posters and plots of films; each film has one genre or more."""

    task: ClassVar[str] = "multilabel"
    location: ClassVar[tuple[str, ...]] = ("root",)
    teacher_only: ClassVar[tuple[str, ...]] = ("teacher",)
    dataset: Literal["mmimdb"] = "mmimdb"
    """Films: posters and plots, several genres each."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with the data; a relative one starts at the study file's folder."""
    layout: Literal["hdf5", "raw"] = "hdf5"
    """What `root` holds: `multimodal_imdb.hdf5`, or `dataset/<id>.{json,jpeg}` and `split.json`."""
    teacher: Modality = "image"
    """What the teacher sees."""
    student: Modality = "text"
    """What the student sees. The teacher's own modality is allowed."""
    ends: Annotated[
        tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=2)]], AfterValidator(only_hdf5(OFFICIAL_ENDS))
    ] = OFFICIAL_ENDS
    """hdf5: the first row after the training rows, and the first after the validation rows."""
    features: Annotated[Literal["made", "files"], AfterValidator(only_raw("made"))] = "made"
    """raw: `files` reads `features/text/<id>.npy` and `features/image/<id>.npy`; `made` hashes the plot's words and
    shrinks the poster."""
    text_dim: Annotated[int, Field(ge=1), AfterValidator(only_raw(300))] = 300
    """raw: numbers of a text; words are hashed onto so many, files must hold so many."""
    image_side: Annotated[int, Field(ge=1), AfterValidator(only_raw(32))] = 32
    """raw with `features: made`: side in pixels of the shrunk poster (3 side^2 numbers)."""
    image_dim: Annotated[int, Field(ge=1), AfterValidator(only_raw(4096))] = 4096
    """raw with `features: files`: numbers that an image's file must hold."""
    standardised: bool = True
    """Whether each number gets mean 0 and deviation 1 over the training rows."""
    skip_bad: Annotated[int, Field(ge=0), AfterValidator(only_raw(0))] = 0
    """raw: films that may be unreadable; they are left out and counted in the report."""


def film_source(config: MMIMDBConfig) -> FilmSource:
    """How raw films are read."""
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
    """What `load_in` gives, in a folder that lasts as long as the arrays."""
    with tempfile.TemporaryDirectory() as folder:
        return load_in(config, Path(folder))


def standardised(data: PairedData, view: str) -> dict[str, torch.Tensor]:
    """One view of each split, every column by the mean and deviation of the training rows."""
    parts = {split: getattr(data.split(split), view).numpy() for split in ("train", "val", "test")}
    train = np.arange(len(parts["train"]))
    result = standardise(np.concatenate(list(parts.values())), train)
    cuts = np.cumsum([len(part) for part in parts.values()])[:-1]
    return {
        split: torch.from_numpy(np.ascontiguousarray(part))
        for split, part in zip(parts, np.split(result, cuts), strict=True)
    }


def hdf5_shapes(config: MMIMDBConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of the two views and of the genres. Raises FileNotFoundError or ValueError, one line each."""
    path = require_path("mmimdb", Path(config.root) / HDF5_NAME, "the features of MM-IMDB")
    wanted = [HDF5_ARRAYS[config.teacher], HDF5_ARRAYS[config.student], "genres"]
    with hdf5_tables(path) as tables:
        shapes = {name: tables[name].shape for name in wanted if name in tables}
    for name in wanted:
        if len(shapes.get(name, ())) != 2:
            raise ValueError(f"mmimdb: {str(path)!r} must hold a table {name!r}, but has none; copy it again")
    rows = {name: shape[0] for name, shape in shapes.items()}
    if len(set(rows.values())) > 1 or rows["genres"] <= config.ends[1]:
        raise ValueError(
            f"mmimdb: the tables of {str(path)!r} must have the same number of rows, more than ends = {config.ends}, "
            f"but have {rows}; copy the file again or set data.ends"
        )
    return shapes


@contextmanager
def hdf5_tables(path: Path) -> "Iterator[dict[str, h5py.Dataset]]":
    """The tables of an hdf5 file by name. Raises ValueError if it is truncated or something else."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield {name: table for name, table in file.items() if isinstance(table, h5py.Dataset)}
    except OSError as error:
        raise ValueError(f"mmimdb: {str(path)!r} is truncated or no hdf5 file ({error}); copy it again") from None


def load_hdf5(config: MMIMDBConfig) -> PairedData:
    """The splits of the hdf5 file as they stand there."""
    hdf5_shapes(config)
    wanted = (HDF5_ARRAYS[config.teacher], HDF5_ARRAYS[config.student], "genres")
    with hdf5_tables(Path(config.root) / HDF5_NAME) as tables:
        teacher, student, genres = (np.asarray(tables[name][:], dtype=np.float32) for name in wanted)
    if not np.isin(genres, (0, 1)).all():
        raise ValueError(f"mmimdb: genres must be 0 or 1, but {HDF5_NAME} holds {genres.max():g}; copy it again")
    cuts = (slice(0, config.ends[0]), slice(*config.ends), slice(config.ends[1], None))
    rows = np.arange(len(genres))
    batches = [to_batch(teacher[cut], student[cut], genres[cut], rows[cut]) for cut in cuts]
    return PairedData(*batches, num_classes=genres.shape[1])


def to_batch(teacher: ndarray, student: ndarray, genres: ndarray, rows: ndarray) -> Batch:
    """One split as contiguous tensors."""
    inputs, outputs, labels = (torch.from_numpy(part.copy()) for part in (teacher, student, genres))
    return Batch(inputs, outputs, labels, torch.ones(len(rows), dtype=torch.bool), torch.from_numpy(rows.copy()))


def fingerprint(config: MMIMDBConfig) -> str:
    """Hash of the index, and of names and sizes of what it names; for hdf5 of its name and size."""
    root = Path(config.root)
    if config.layout == "hdf5":
        hdf5_shapes(config)
        return fingerprint_of_files("mmimdb", VERSION, [], [root / HDF5_NAME], root)
    source = film_source(config)
    files = sorted({file for clip in list_films(source) for file in clip.source.files()})
    return fingerprint_of_files("mmimdb", VERSION, [root / "split.json"], files, root)


def shape(config: MMIMDBConfig) -> DataShape:
    """Sizes from the index alone. Raises ValueError or FileNotFoundError (what to put where)."""
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
    """Only the official features, complete and in the official splits, are those of the published numbers."""
    if config.layout == "raw":
        return "the features are made from the raw films, not the word2vec and VGG features of the published numbers"
    rows = hdf5_shapes(config)["genres"][0]
    if rows != OFFICIAL_ROWS or config.ends != OFFICIAL_ENDS:
        return f"there are {rows:,} films cut at {config.ends}, not {OFFICIAL_ROWS:,} cut at {OFFICIAL_ENDS}"
    return None


MMIMDB = Dataset(MMIMDBConfig, load, fingerprint, shape, load_in, not_comparable)
