"""MM-IMDB from its raw films: the longest plot and the poster, with feature files or computed features."""

import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy import ndarray

from trainables.common.types import PairedData
from trainables.data.common.raw_files import require_path
from trainables.data.readers.media import UnreadableError, read_image, unreadable
from trainables.data.readers.preparation import Clip, Layout, Place, paired, prepare

GENRES = (
    *("Drama", "Comedy", "Romance", "Thriller", "Crime", "Action", "Adventure", "Horror", "Documentary", "Mystery"),
    *("Sci-Fi", "Fantasy", "Family", "Biography", "War", "History", "Music", "Animation", "Musical", "Western"),
    *("Sport", "Short", "Film-Noir"),
)
"""The 23 genres of the labels; other genres of a film are ignored."""

SPLIT_NAMES = {"train": "train", "val": "dev", "test": "test"}
WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


class FilmSource(NamedTuple):
    """The files of a film and how its features are made."""

    root: Path
    film: str
    """Id of the film; empty for the data set as a whole."""
    features: Literal["made", "files"]
    text_dim: int
    image: int
    """Side of the shrunk poster (`made`), or numbers of an image (`files`)."""
    views: tuple[Literal["image", "text"], Literal["image", "text"]]
    """The modality of the teacher and that of the student."""

    def path(self, view: str) -> Path:
        """The file from which a view is read."""
        if self.features == "files":
            return self.root / "features" / view / f"{self.film}.npy"
        return self.root / "dataset" / f"{self.film}.{'jpeg' if view == 'image' else 'json'}"

    def metadata(self) -> Path:
        """The JSON file with the genres and plots."""
        return self.root / "dataset" / f"{self.film}.json"

    def files(self) -> set[Path]:
        """Every file that is read for the film."""
        return {self.metadata(), *(self.path(view) for view in self.views)}


def list_films(source: FilmSource) -> list[Clip]:
    """Every film of split.json. Raises FileNotFoundError or ValueError."""
    require_path("mmimdb", source.root, "the folder of MM-IMDB (dataset/ and split.json)")
    path = require_path("mmimdb", source.root / "split.json", "the splits")
    require_path("mmimdb", source.root / "dataset", "the folder of films (<id>.json and <id>.jpeg)")
    if source.features == "files":
        require_path(
            "mmimdb", source.root / "features", "features (text/<id>.npy and image/<id>.npy), or `features: made`"
        )
    try:
        splits = json.loads(path.read_bytes())
        films = [(str(film), split) for split, name in SPLIT_NAMES.items() for film in splits[name]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"mmimdb: {str(path)!r} must map train, dev and test to lists of film ids, but does not "
            f"({type(error).__name__}: {error}); restore it"
        ) from None
    twice = len(films) - len({film for film, _ in films})
    if twice:
        raise ValueError(
            f"mmimdb: every film must be in one split, but {twice} of {str(path)!r} are listed twice; restore it"
        )
    next_row = dict.fromkeys(SPLIT_NAMES, 0)
    clips = []
    for film, split in films:
        place = Place(split, next_row[split])
        next_row[split] += 1
        clips.append(Clip(f"film {film}", source._replace(film=film), None, (place,)))
    return clips


def load_films(source: FilmSource, folder: Path, skip_bad: int) -> PairedData:
    """The splits, read into `folder`. Raises ValueError if more than `skip_bad` films cannot be read."""
    films = list_films(source)
    layout = {
        name: Layout((width_of(source, view),), np.float32) for name, view in zip(SIDES, source.views, strict=True)
    }
    arrays, bad, notes = prepare("mmimdb", read_film, films, layout, folder, skip_bad)
    skipped = set(bad)
    labelled = [
        film if number in skipped else film._replace(label=read_genres(film.source))
        for number, film in enumerate(films)
    ]
    return paired(labelled, bad, arrays, len(GENRES), notes)


SIDES = ("teacher", "student")


def width_of(source: FilmSource, view: str) -> int:
    """Number of features of one view."""
    if view == "text":
        return source.text_dim
    return source.image if source.features == "files" else 3 * source.image**2


def read_film(source: FilmSource) -> dict[str, ndarray]:
    """Both views of one film. Raises UnreadableError."""
    read_genres(source)
    return {side: READERS[source.features, view](source)[None] for side, view in zip(SIDES, source.views, strict=True)}


def read_metadata(source: FilmSource) -> dict[str, object]:
    """The JSON object of the film. Raises UnreadableError."""
    with unreadable(OSError, ValueError):
        metadata = json.loads(source.metadata().read_bytes())
    if not isinstance(metadata, dict):
        raise UnreadableError("its JSON must be an object")
    return metadata


def read_genres(source: FilmSource) -> ndarray:
    """0 or 1 for each genre, float32. Raises UnreadableError if the film has none of them."""
    names = read_metadata(source).get("genres")
    labels = np.array([isinstance(names, list) and genre in names for genre in GENRES], dtype=np.float32)
    if not labels.any():
        raise UnreadableError(f"its `genres` must name one of {len(GENRES)} such as 'Drama', but they are {names!r}")
    return labels


def hashed_words(source: FilmSource) -> ndarray:
    """The words of the longest plot, hashed with a sign into `text_dim` buckets and scaled to length 1, float32."""
    plots = read_metadata(source).get("plot")
    texts = [plots] if isinstance(plots, str) else plots if isinstance(plots, list) else []
    longest = max((text for text in texts if isinstance(text, str)), key=len, default="")
    counts = np.zeros(source.text_dim, dtype=np.float32)
    for word in WORD.findall(longest.lower()):
        code = zlib.crc32(word.encode())
        counts[(code >> 1) % source.text_dim] += 1 if code & 1 else -1
    if not longest:
        raise UnreadableError("it has no plot")
    return counts / max(1.0, float(np.linalg.norm(counts)))


def small_poster(source: FilmSource) -> ndarray:
    """The pixels of the poster, shrunk to a square, in [0, 1], float32."""
    pixels = read_image(source.path("image"), (source.image, source.image), resize=True)
    return pixels.reshape(-1).astype(np.float32) / 255


def text_from_file(source: FilmSource) -> ndarray:
    """The text features in their .npy file."""
    return read_vector(source.path("text"), source.text_dim)


def image_from_file(source: FilmSource) -> ndarray:
    """The image features in their .npy file."""
    return read_vector(source.path("image"), source.image)


def read_vector(path: Path, width: int) -> ndarray:
    """`width` finite numbers from an .npy file, float32. Raises UnreadableError."""
    with unreadable(OSError, ValueError, EOFError):
        vector = np.load(path, allow_pickle=False)
    if vector.shape != (width,) or not np.isfinite(vector).all():
        raise UnreadableError(
            f"{path.name} must contain {width} finite numbers, but has the shape {vector.shape} or numbers that are "
            "not finite"
        )
    return vector.astype(np.float32)


READERS: dict[tuple[str, str], Callable[[FilmSource], ndarray]] = {
    ("made", "text"): hashed_words,
    ("made", "image"): small_poster,
    ("files", "text"): text_from_file,
    ("files", "image"): image_from_file,
}
