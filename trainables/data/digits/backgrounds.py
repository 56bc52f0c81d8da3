"""Backgrounds of MNIST-M: random pieces of photographs from a folder such as BSDS500."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from trainables.data.common.raw_files import require_path
from trainables.data.readers.media import UnreadableError, unreadable

ENDINGS = (".jpg", ".jpeg", ".png")


def photo_paths(folder: Path) -> list[Path]:
    """Every picture in the folder and its subfolders, by name. Raises FileNotFoundError."""
    require_path("mnist_m", folder, "photos for the backgrounds, such as those of BSDS500,")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not paths:
        raise FileNotFoundError(
            f"mnist_m needs photos: there is no jpg or png file in {str(folder)!r}; put for example BSDS500's there"
        )
    return paths


def read_photo(path: Path, min_side: int) -> UInt8[ndarray, "3 height width"]:
    """A photo in RGB. Raises ValueError if it cannot be read, or a side is shorter than `min_side` pixels."""
    from PIL import Image

    try:
        with unreadable(OSError, ValueError, Image.DecompressionBombError), Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            if min(pixels.shape[1:]) < min_side:
                raise UnreadableError(
                    f"its {pixels.shape[1]} x {pixels.shape[2]} pixels are fewer than {min_side} x {min_side}"
                )
    except UnreadableError as error:
        raise ValueError(f"mnist_m: photo {str(path)!r} cannot be used ({error}); replace or remove it") from None
    return pixels


def cut_patches(folder: Path, rows: int, side: int, seed: tuple[int, ...]) -> UInt8[ndarray, "{rows} 3 {side} {side}"]:
    """Random squares of random photos.

    Args:
        folder: folder of the photos.
        rows: number of squares.
        side: their side in pixels.
        seed: seed of the selection.

    """
    photos = [read_photo(path, side) for path in photo_paths(folder)]
    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(photos), size=rows)
    places = generator.random((rows, 2))
    patches = np.empty((rows, 3, side, side), dtype=np.uint8)
    for patch, number, place in zip(patches, chosen, places, strict=True):
        photo = photos[number]
        top, left = (int(share * (length - side + 1)) for share, length in zip(place, photo.shape[1:], strict=True))
        patch[:] = photo[:, top : top + side, left : left + side]
    return patches
