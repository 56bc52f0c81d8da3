"""Spoiling what the teacher sees, by blur and by noise: how much a teacher is worth becomes a swept number."""

from typing import Annotated, Any

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from pydantic import Field

from search_spaces.domains import Choice

Blur = Annotated[float, Field(ge=0), Choice((0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0))]
"""Standard deviation in pixels."""
NoiseLevel = Annotated[float, Field(ge=0), Choice((0.0, 0.5, 1.0, 2.0, 4.0))]
"""Standard deviation, in units of each feature's own."""
NoiseSeed = Annotated[int | None, Field(ge=0)]

UNSPOILT: dict[str, Any] = {"teacher_noise": 0.0, "noise_seed": 0}
"""The values of the two noise fields that concern no student."""


def blur(images: Float[ndarray, "rows side side"], sigma: float) -> Float[ndarray, "rows side side"]:
    """Each image convolved with a Gaussian of deviation `sigma` pixels; what lies outside the image is blank."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(images, sigma=(0, sigma, sigma), mode="constant")


def add_noise(
    view: Float[ndarray, " rows *inputs"],
    level: float,
    seed: int | None,
    train: Int64[ndarray, " _"],
    axes: tuple[int, ...] = (0,),
) -> Float[ndarray, " rows *inputs"]:
    """The view plus level · s · e, e ~ N(0, 1) for every number of every row, s the feature's deviation in training.

    A feature is what remains beside `axes`; a constant one stays as it is. Levels scale one and the same draw e, so
    they differ in nothing but the level. A config without a seed draws with seed 0.
    """
    if level == 0:
        return view
    deviation = view[train].std(axis=axes, keepdims=True, dtype=np.float64)
    generator = np.random.default_rng([*b"teacher_noise", seed or 0])
    noise = generator.standard_normal(view.shape, dtype=np.float32)
    return (view + level * deviation * noise).astype(view.dtype)
