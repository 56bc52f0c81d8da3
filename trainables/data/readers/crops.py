"""Views of a photograph: one by CLIP's evaluation geometry, the others by its training crops, drawn once and stored.

View 0: the short side resized to `size` (bicubic), the centre cut out. Views 1..: 90 to 100 % of the area at an aspect
ratio of 3/4 to 4/3, anywhere in the photograph, resized to `size` x `size`; no flip, since captions say left and right.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from trainables.data.readers.media import unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

SCALE, RATIO = (0.9, 1.0), (3 / 4, 4 / 3)


class Photo(NamedTuple):
    """What to make of one file."""

    path: str
    size: int
    views: int
    seed: tuple[int, ...]
    """Of the random views: the config's, and the row's number."""


class Box(NamedTuple):
    """A rectangle of pixels."""

    left: float
    top: float
    right: float
    bottom: float


def read_photo_views(photo: Photo) -> dict[str, UInt8[ndarray, "1 views 3 size size"]]:
    """The single row of a photograph. Raises UnreadableError."""
    return {"teacher": some_views(photo, range(photo.views))}


def some_views(photo: Photo, places: Iterable[int]) -> UInt8[ndarray, "1 places 3 size size"]:
    """The views at some places; each is the same, whichever others are asked for. Raises UnreadableError."""
    from PIL import Image

    with unreadable(OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        with Image.open(photo.path) as image:
            rgb = image.convert("RGB")
    generator = np.random.default_rng(photo.seed)
    boxes = [random_box(*rgb.size, generator) for _ in range(1, photo.views)]
    pictures = [
        fixed_view(rgb, photo.size) if place == 0 else cut(rgb, boxes[place - 1], photo.size) for place in places
    ]
    return stacked(pictures)


def stacked(pictures: "list[Image]") -> UInt8[ndarray, "1 views 3 height width"]:
    """Views as the array of a single row."""
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))[None]


def fixed_view(image: "Image", size: int) -> "Image":
    """Short side to `size`, then the centre, rounded as torchvision rounds."""
    from PIL.Image import Resampling

    short = min(image.size)
    width, height = (int(size * side / short) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.resize((width, height), Resampling.BICUBIC).crop((left, top, left + size, top + size))


def cut(image: "Image", box: Box, size: int) -> "Image":
    """A piece, resized to a square."""
    from PIL.Image import Resampling

    return image.resize((size, size), Resampling.BICUBIC, box=box)


def random_box(width: int, height: int, generator: np.random.Generator) -> Box:
    """A rectangle of a random area, of a random ratio among those that fit, at a random place.

    Where no allowed ratio fits the area, in elongated images, the largest rectangle of the nearest allowed ratio.
    """
    area = width * height * generator.uniform(*SCALE)
    low, high = max(RATIO[0], area / height**2), min(RATIO[1], width**2 / area)
    if low < high:
        ratio = float(np.exp(generator.uniform(np.log(low), np.log(high))))
        across, down = float(np.sqrt(area * ratio)), float(np.sqrt(area / ratio))
    else:
        ratio = float(np.clip(width / height, *RATIO))
        across, down = min(width, height * ratio), min(height, width / ratio)
    left, top = generator.random(2) * np.maximum(0, (width - across, height - down))
    return Box(float(left), float(top), min(left + across, width), min(top + down, height))
