"""Draws emoji over white, with stored augmentations.

View 0 is the picture itself. Views 1.. are shifted by at most 8 % of the side, scaled by 0.8 to 1.05, and changed by at
most 20 % in brightness, contrast and saturation. There is no flip, because it would change arrows and clocks.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from trainables.data.readers.crops import stacked
from trainables.data.readers.media import unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 72
"""Side of a Twemoji picture in pixels, and of an OpenMoji drawing in its units."""
SHIFT, SCALE, COLOUR = 0.08, (0.8, 1.05), (0.8, 1.2)
WHITE = (255, 255, 255)


class Drawing(NamedTuple):
    """The file of an emoji, and the views that are made of it."""

    path: str
    size: int
    views: int
    seed: tuple[int, ...]
    """Seed of the augmentations: that of the config, and the code points of the emoji."""


def read_emoji_views(drawing: Drawing) -> dict[str, UInt8[ndarray, "1 views 3 size size"]]:
    """The single row of an emoji. Raises UnreadableError."""
    from PIL.Image import Resampling

    original = open_picture(Path(drawing.path), max(SIDE, drawing.size))
    generator = np.random.default_rng(drawing.seed)
    pictures = [original.resize((drawing.size, drawing.size), Resampling.BICUBIC)]
    pictures += [augmented(original, drawing.size, generator) for _ in range(1, drawing.views)]
    return {"teacher": stacked(pictures)}


def open_picture(path: Path, side: int) -> "Image":
    """A png file in its size, or an svg file drawn with `side` pixels, over white. Raises UnreadableError."""
    from PIL import Image

    with unreadable(OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        raw = path.read_bytes() if path.suffix == ".png" else draw(path, side)
        with Image.open(io.BytesIO(raw)) as image:
            picture = image.convert("RGBA")
    white = Image.new("RGBA", picture.size, (*WHITE, 255))
    return Image.alpha_composite(white, picture).convert("RGB")


def draw(path: Path, side: int) -> bytes:
    """An svg drawing as png. System fonts are not used, so that the picture is equal on every machine."""
    from resvg_py import svg_to_bytes

    return svg_to_bytes(svg_string=path.read_text(encoding="utf-8"), width=side, height=side, skip_system_fonts=True)


def augmented(image: "Image", size: int, generator: np.random.Generator) -> "Image":
    """The picture shifted, scaled and recoloured; new pixels at the edges are white."""
    from PIL import ImageEnhance
    from PIL.Image import Resampling, Transform

    side = image.size[0]
    scale = generator.uniform(*SCALE)
    across, down = generator.uniform(-SHIFT, SHIFT, size=2) * side
    step = side / (size * scale)  # pixels of the picture for one of the view
    start = (side - size * step) / 2
    matrix = (step, 0.0, start - across, 0.0, step, start - down)
    view = image.transform((size, size), Transform.AFFINE, matrix, Resampling.BICUBIC, fillcolor=WHITE)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        view = change(view).enhance(generator.uniform(*COLOUR))
    return view
