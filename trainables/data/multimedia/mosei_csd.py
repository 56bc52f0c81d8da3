"""Reads the csd files of CMU-MOSEI (CMU-MultimodalSDK): for each video, features with their time intervals."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from trainables.data.common.raw_files import require_path

if TYPE_CHECKING:
    import h5py

CSD_FILES = {
    "text": "CMU_MOSEI_TimestampedWordVectors.csd",
    "audio": "CMU_MOSEI_COVAREP.csd",
    "vision": "CMU_MOSEI_VisualFacet42.csd",
    "labels": "CMU_MOSEI_Labels.csd",
}
OFFICIAL = ("train", "valid", "test")


class CSDIndex(NamedTuple):
    """The content of labels and headers."""

    widths: dict[str, int]
    """Features of each modality."""
    sentiment: dict[str, ndarray]
    """Sentiment of each row, by official split."""
    segments: dict[str, list[tuple[str, float, float]]]
    """Video, first and last second of each row, by official split."""


@contextmanager
def csd_videos(root: Path, kind: str) -> "Iterator[dict[str, h5py.Group]]":
    """The videos of a file by name. Raises FileNotFoundError, or ValueError if the file is truncated or wrong."""
    import h5py

    path = require_path("cmu_mosei", root / CSD_FILES[kind], f"the {kind} of the CMU-MultimodalSDK")
    try:
        with h5py.File(path, "r") as file:
            groups = [file, *(group for group in file.values() if isinstance(group, h5py.Group))]
            data = next((group["data"] for group in groups if "data" in group), None)
            if not isinstance(data, h5py.Group):
                raise ValueError(f"cmu_mosei: {str(path)!r} must contain a group `data`, but has none; copy it again")
            yield {name: video for name, video in data.items() if isinstance(video, h5py.Group)}
    except OSError as error:
        raise ValueError(f"cmu_mosei: {str(path)!r} is truncated or no csd file ({error}); copy it again") from None
    except KeyError as error:
        raise ValueError(
            f"cmu_mosei: every video of {str(path)!r} must have features and intervals ({error.args[0]}); copy it again"
        ) from None


def read_folds(root: Path) -> dict[str, list[str]]:
    """Videos of each official split. Raises ValueError or FileNotFoundError."""
    path = require_path(
        "cmu_mosei", root / "splits.json", "the standard folds, lists of videos for train, valid and test,"
    )
    try:
        folds = json.loads(path.read_text(encoding="utf-8"))
        return {split: [str(video) for video in folds[split]] for split in OFFICIAL}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"cmu_mosei: {str(path)!r} must be JSON with a list of videos for each of {', '.join(OFFICIAL)} "
            f"({type(error).__name__}: {error}); restore it"
        ) from None


def csd_index(root: Path) -> CSDIndex:
    """Widths, sentiments and segments. A process reads them once, and again only if a file changes."""
    paths = [root / "splits.json", *(root / name for name in CSD_FILES.values())]
    stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else (0, 0) for path in paths)
    return index_of(root, stamps)


@lru_cache(maxsize=4)
def index_of(root: Path, stamps: tuple[tuple[int, int], ...]) -> CSDIndex:
    """See `csd_index`. Videos without labels are left out. Raises ValueError if no video of a split has labels."""
    folds = read_folds(root)
    sentiment: dict[str, ndarray] = {}
    segments: dict[str, list[tuple[str, float, float]]] = {}
    with csd_videos(root, "labels") as videos:
        for split, listed in folds.items():
            labelled = [video for video in listed if video in videos]
            if not labelled:
                raise ValueError(
                    f"cmu_mosei: none of the {len(listed)} videos of {split} in splits.json is in "
                    f"{CSD_FILES['labels']}, which has {', '.join(sorted(videos)[:3])}, ...; use these names"
                )
            spans = {video: np.asarray(videos[video]["intervals"], dtype=np.float64) for video in labelled}
            labels = [np.asarray(videos[video]["features"], dtype=np.float64)[:, 0] for video in labelled]
            sentiment[split] = np.concatenate(labels)
            segments[split] = [
                (video, float(start), float(end)) for video, each in spans.items() for start, end in each
            ]
    widths = {}
    for kind in ("text", "audio", "vision"):
        with csd_videos(root, kind) as videos:
            first = next((np.shape(np.asarray(video["features"])) for video in videos.values()), ())
            if len(first) != 2:
                raise ValueError(
                    f"cmu_mosei: {CSD_FILES[kind]} must contain tables of features, but the first has the shape "
                    f"{first}; copy it again"
                )
            widths[kind] = int(first[1])
    return CSDIndex(widths, sentiment, segments)


def csd_means(root: Path, view: str) -> dict[str, Float[ndarray, "rows features"]]:
    """Mean features of each segment, by official split.

    Args:
        root: folder with the csd files.
        view: text, audio or vision.

    Returns:
        For each row the mean of the time steps whose middle is in its segment; 0 if there is none.

    """
    index = csd_index(root)
    with csd_videos(root, view) as videos:
        found = {}
        for split, segments in index.segments.items():
            means = np.zeros((len(segments), index.widths[view]))
            last, steps, middle = "", means[:0], means[:0, 0]
            for mean, (video, start, end) in zip(means, segments, strict=True):
                if video != last:
                    last, (steps, middle) = video, steps_of(videos.get(video), index.widths[view])
                inside = (start <= middle) & (middle < end)
                if inside.any():
                    mean[:] = steps[inside].mean(axis=0)
            found[split] = means
    return found


def steps_of(
    video: "h5py.Group | None", width: int
) -> tuple[Float[ndarray, "steps features"], Float[ndarray, " steps"]]:
    """Features (NaN and infinities become 0) and the middle of each step in seconds; no steps if `video` is None."""
    if video is None:
        return np.zeros((0, width)), np.zeros(0)
    features = np.nan_to_num(np.asarray(video["features"], dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return features, np.asarray(video["intervals"], dtype=np.float64).mean(axis=1)
