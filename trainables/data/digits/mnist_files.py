"""The files of MNIST (idx, gz or not) and of MNIST-M (png pictures and a list of labels)."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray

from trainables.data.common.raw_files import require_path
from trainables.data.readers.media import UnreadableError, read_image

IDX_NAMES = {"train": "train", "test": "t10k"}
IDX_TYPES = {"images": ("images-idx3-ubyte", 3), "labels": ("labels-idx1-ubyte", 1)}
PLACES = ("mnist", "mnist/MNIST/raw", "MNIST/raw", ".")
"""Folders under `root` that are searched for the idx files; torchvision creates the two `raw` ones."""
SIDE = 28
UNSIGNED_BYTES = 8
"""Type code of an idx file's third byte."""


def idx_path(root: Path, part: str, kind: str) -> Path:
    """The path of one of the four idx files. Raises FileNotFoundError."""
    name = f"{IDX_NAMES[part]}-{IDX_TYPES[kind][0]}"
    for place in PLACES:
        for path in (root / place / name, root / place / f"{name}.gz"):
            if path.exists():
                return path
    return require_path("mnist_m", root / PLACES[0] / name, f"MNIST's {kind} ({name}, .gz or not)")


def read_idx(path: Path, dims: int, header_only: bool = False) -> tuple[tuple[int, ...], bytes]:
    """Shape and bytes of an idx file.

    Args:
        path: the file, gzipped or not.
        dims: number of dimensions that it must have.
        header_only: whether to return no bytes.

    Raises:
        ValueError: if it is truncated or wrong.

    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            head = file.read(4 + 4 * dims)
            magic = bytes((0, 0, UNSIGNED_BYTES, dims))
            if len(head) < 4 + 4 * dims or head[:4] != magic:
                raise ValueError(f"it begins with {head[:4].hex(' ')}, not {magic.hex(' ')}")
            shape = tuple(int(size) for size in np.frombuffer(head[4:], dtype=">u4"))
            body = b"" if header_only else file.read()
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(
            f"mnist_m: {str(path)!r} must be an idx file of bytes, but is truncated or wrong ({error}); copy it again"
        ) from None
    if not header_only and len(body) != prod(shape):
        raise ValueError(
            f"mnist_m: {str(path)!r} must have {' x '.join(map(str, shape))} bytes, but has {len(body)}; copy it again"
        )
    return shape, body


def idx_shape(root: Path, part: str) -> tuple[int, ...]:
    """(rows, height, width) of the digits of a part. Raises ValueError if images and labels have other row counts."""
    images, labels = (
        read_idx(idx_path(root, part, kind), IDX_TYPES[kind][1], header_only=True)[0] for kind in ("images", "labels")
    )
    if images[0] != labels[0]:
        raise ValueError(
            f"mnist_m: the {part} files must have equally many rows, but have {images[0]} images and {labels[0]} "
            "labels; copy them again"
        )
    if images[1:] != (SIDE, SIDE):
        raise ValueError(
            f"mnist_m: digits must have {SIDE} x {SIDE} pixels, but those of {part} have {images[1:]}; copy MNIST again"
        )
    return images


def digits_of(root: Path, part: str) -> tuple[UInt8[ndarray, "rows height width"], Int64[ndarray, " rows"]]:
    """Digits and labels of a part. Raises ValueError if a label is above 9."""
    idx_shape(root, part)
    (shape, pixels), (_, labels) = (
        read_idx(idx_path(root, part, kind), IDX_TYPES[kind][1]) for kind in ("images", "labels")
    )
    classes = np.frombuffer(labels, dtype=np.uint8).astype(np.int64)
    if classes.max(initial=0) > 9:
        path = str(idx_path(root, part, "labels"))
        raise ValueError(f"mnist_m: labels must be 0 to 9, but {path!r} contains {classes.max()}; copy it again")
    return np.frombuffer(pixels, dtype=np.uint8).reshape(shape), classes


def picture_list(root: Path, part: str) -> list[tuple[str, int]]:
    """Names and labels of MNIST-M's pictures in the order of the list. Raises ValueError with the first wrong line."""
    path = require_path("mnist_m", root / "mnist_m" / f"mnist_m_{part}_labels.txt", "MNIST-M's labels")
    pictures = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        name, *label = line.split()[:3] or [""]
        if name and (len(label) != 1 or not label[0].isdigit() or int(label[0]) > 9):
            raise ValueError(
                f"mnist_m: line {number} of {str(path)!r} must be `name.png label` with a label from 0 to 9, but is "
                f"{line.strip()!r}; restore the file"
            )
        if name:
            pictures.append((name, int(label[0])))
    if not pictures:
        raise ValueError(f"mnist_m: {str(path)!r} has no entries; restore the file")
    return pictures


def picture_labels(root: Path, part: str) -> Int64[ndarray, " pictures"]:
    """Classes of the pictures."""
    return np.array([label for _, label in picture_list(root, part)], dtype=np.int64)


def picture_paths(root: Path, part: str) -> list[Path]:
    """Files of the pictures."""
    return [root / "mnist_m" / f"mnist_m_{part}" / name for name, _ in picture_list(root, part)]


def picture_pixels(root: Path, part: str, side: int) -> UInt8[ndarray, "pictures 3 {side} {side}"]:
    """The pictures (published with 32 x 32 pixels) scaled to `side`. Raises ValueError."""
    paths = picture_paths(root, part)
    pixels = np.empty((len(paths), 3, side, side), dtype=np.uint8)
    for row, path in zip(pixels, paths, strict=True):
        try:
            row[:] = read_image(path, (side, side), resize=True)
        except UnreadableError as error:
            raise ValueError(f"mnist_m: {str(path)!r} cannot be read ({error}); copy it again") from None
    return pixels
