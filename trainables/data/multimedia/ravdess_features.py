"""RAVDESS in the feature layout of the MFH repository: lists that pair MFCC arrays with pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy import ndarray

from trainables.data.common.raw_files import read_csv, require_path
from trainables.data.multimedia.ravdess_source import EMOTIONS, MFCC, Modality, Source, normalised
from trainables.data.readers.media import UnreadableError, read_image, unreadable
from trainables.data.readers.preparation import Clip, Place, Split

CSV_FILES: dict[Split, str] = {"train": "spa_dl.csv", "val": "spa_val.csv", "test": "spa_test.csv"}


def list_features(root: Path, size: tuple[int, int], views: tuple[Modality, Modality]) -> list[Clip]:
    """One clip with one row for each line of the three lists.

    Args:
        root: folder of the features.
        size: height and width that the pictures must have.
        views: modality of the teacher and that of the student.

    Raises:
        FileNotFoundError: if the root or a list is missing.
        ValueError: if a label is not 0 to 7.

    """
    require_path("ravdess", root, "the folder of the MFH features (data_file/, aud_features/, vid_features/)")
    clips = []
    for split, name in CSV_FILES.items():
        lines = read_csv("ravdess", root / "data_file" / name, 3, "sound file, picture file and label")
        for row, (number, (sound, picture, label, *_)) in enumerate(lines):
            if label.strip() not in map(str, range(len(EMOTIONS))):
                raise ValueError(
                    f"ravdess: line {number} of {str(root / 'data_file' / name)!r}: the third column must be a label "
                    f"from 0 to {len(EMOTIONS) - 1}, but got {label!r}; restore the file"
                )
            audio, image = root / "aud_features" / sound, root / "vid_features" / picture
            source = Source(audio, image, (0.0,), size, views)
            clips.append(Clip(f"{sound} with {picture}", source, int(label), (Place(split, row),)))
    return clips


def read_features(source: Source) -> dict[str, ndarray]:
    """The single row of a pair of files. Raises UnreadableError."""
    arrays = {view: READERS[view](source)[None] for view in set(source.views)}
    return dict(zip(("teacher", "student"), (arrays[view] for view in source.views), strict=True))


def read_mfcc(source: Source) -> ndarray:
    """The MFCC in an .npy file."""
    with unreadable(OSError, ValueError, EOFError):
        mfcc = np.load(source.audio, allow_pickle=False)
    if mfcc.ndim != 2 or mfcc.shape[0] != MFCC or not np.isfinite(mfcc).all():
        raise UnreadableError(
            f"it must be ({MFCC}, frames) finite MFCC, but has the shape {mfcc.shape} or numbers that are not finite"
        )
    return normalised(mfcc.astype(np.float64))


def read_picture(source: Source) -> ndarray:
    """The picture."""
    return read_image(source.image, source.size)


READERS: dict[Modality, Callable[[Source], ndarray]] = {"audio": read_mfcc, "image": read_picture}
