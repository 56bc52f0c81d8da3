"""Views of a photograph: CLIP's evaluation view and random training crops, which are drawn once.

View 0: the short side resized to `size` (bicubic), then the centre cropped. Views 1..: a random crop of 90 to 100 % of
the area with an aspect ratio of 3/4 to 4/3, resized to `size` x `size`. There is no flip, because captions contain
left and right.
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
    """The file of an image, and the views that are made of it."""

    path: str
    size: int
    views: int
    seed: tuple[int, ...]
    """Seed of the random views: that of the config, and the number of the row."""


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
    """The views with the numbers `places`. A view does not depend on the other numbers. Raises UnreadableError."""
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
    """Resize the short side to `size`, then crop the centre, with torchvision's rounding."""
    from PIL.Image import Resampling

    short = min(image.size)
    width, height = (int(size * side / short) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.resize((width, height), Resampling.BICUBIC).crop((left, top, left + size, top + size))


def cut(image: "Image", box: Box, size: int) -> "Image":
    """A rectangle of the image, resized to a square."""
    from PIL.Image import Resampling

    return image.resize((size, size), Resampling.BICUBIC, box=box)


def random_box(width: int, height: int, generator: np.random.Generator) -> Box:
    """A rectangle with a random area, aspect ratio and position.

    The ratio is drawn from those that fit the area. If none fits (elongated images), the largest rectangle of the
    nearest allowed ratio is taken.
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
