"""MM-IMDB from its raw films: the longest plot, the poster, and plain features of both where there are no better."""

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
"""The 23 that are kept; others of a film are left out."""

SPLIT_NAMES = {"train": "train", "val": "dev", "test": "test"}
WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


class FilmSource(NamedTuple):
    """Where a film is and how it is turned into numbers."""

    root: Path
    film: str
    """Its id; empty for the data set as a whole."""
    features: Literal["made", "files"]
    text_dim: int
    image: int
    """Side of the shrunk poster (made), or numbers of an image (files)."""
    views: tuple[Literal["image", "text"], Literal["image", "text"]]
    """What teacher and student see."""

    def path(self, view: str) -> Path:
        """The file from which a view is read."""
        if self.features == "files":
            return self.root / "features" / view / f"{self.film}.npy"
        return self.root / "dataset" / f"{self.film}.{'jpeg' if view == 'image' else 'json'}"

    def about(self) -> Path:
        """The file with the genres."""
        return self.root / "dataset" / f"{self.film}.json"

    def files(self) -> set[Path]:
        """Every file that is read for the film."""
        return {self.about(), *(self.path(view) for view in self.views)}


def list_films(source: FilmSource) -> list[Clip]:
    """Every film of split.json. Raises FileNotFoundError or ValueError, one line each."""
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
        raise ValueError(f"mmimdb: every film may be in one split, but {twice} of {str(path)!r} are listed again")
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
    """Numbers of one input."""
    if view == "text":
        return source.text_dim
    return source.image if source.features == "files" else 3 * source.image**2


def read_film(source: FilmSource) -> dict[str, ndarray]:
    """Both views of one film. Raises UnreadableError."""
    read_genres(source)
    return {side: READERS[source.features, view](source)[None] for side, view in zip(SIDES, source.views, strict=True)}


def read_about(source: FilmSource) -> dict[str, object]:
    """The film's JSON object. Raises UnreadableError."""
    with unreadable(OSError, ValueError):
        about = json.loads(source.about().read_bytes())
    if not isinstance(about, dict):
        raise UnreadableError("its JSON is no object")
    return about


def read_genres(source: FilmSource) -> ndarray:
    """0 or 1 for each genre. Raises UnreadableError if the film has none of them."""
    given = read_about(source).get("genres")
    found = np.array([isinstance(given, list) and genre in given for genre in GENRES], dtype=np.float32)
    if not found.any():
        raise UnreadableError(f"its `genres` must name one of {len(GENRES)} such as 'Drama', but they are {given!r}")
    return found


def hashed_words(source: FilmSource) -> ndarray:
    """The words of the longest plot, hashed with a random sign onto `text_dim` counts, scaled to length 1."""
    plots = read_about(source).get("plot")
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
    """The poster's pixels, shrunk to a square, in [0, 1]."""
    pixels = read_image(source.path("image"), (source.image, source.image), resize=True)
    return pixels.reshape(-1).astype(np.float32) / 255


def text_from_file(source: FilmSource) -> ndarray:
    """The text's numbers in their .npy file."""
    return numbers(source.path("text"), source.text_dim)


def image_from_file(source: FilmSource) -> ndarray:
    """The image's numbers in their .npy file."""
    return numbers(source.path("image"), source.image)


def numbers(path: Path, width: int) -> ndarray:
    """`width` finite numbers from an .npy file. Raises UnreadableError."""
    with unreadable(OSError, ValueError, EOFError):
        found = np.load(path, allow_pickle=False)
    if found.shape != (width,) or not np.isfinite(found).all():
        raise UnreadableError(f"{path.name} must hold {width} finite numbers, but its shape is {found.shape}")
    return found.astype(np.float32)


READERS: dict[tuple[str, str], Callable[[FilmSource], ndarray]] = {
    ("made", "text"): hashed_words,
    ("made", "image"): small_poster,
    ("files", "text"): text_from_file,
    ("files", "image"): image_from_file,
}
