"""Corruption of the teacher's inputs by blur and noise, so that a study can sweep the quality of the teacher."""

from typing import Annotated, Any

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from pydantic import Field

from search_spaces.domains import Choice

Blur = Annotated[float, Field(ge=0), Choice((0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0))]
"""Standard deviation in pixels."""
NoiseLevel = Annotated[float, Field(ge=0), Choice((0.0, 0.5, 1.0, 2.0, 4.0))]
"""Standard deviation of the noise, relative to that of each feature."""
NoiseSeed = Annotated[int | None, Field(ge=0)]

NO_NOISE: dict[str, Any] = {"teacher_noise": 0.0, "noise_seed": 0}
"""The two noise fields in the config of a student without a teacher."""


def blur(images: Float[ndarray, "rows side side"], sigma: float) -> Float[ndarray, "rows side side"]:
    """Each image convolved with a Gaussian of standard deviation `sigma` pixels; zeros outside the image."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(images, sigma=(0, sigma, sigma), mode="constant")


def add_noise(
    view: Float[ndarray, " rows *inputs"],
    level: float,
    seed: int | None,
    train: Int64[ndarray, " _"],
    axes: tuple[int, ...] = (0,),
) -> Float[ndarray, " rows *inputs"]:
    """Add Gaussian noise: view + level · s · e with e ~ N(0, 1), s the feature's standard deviation in training.

    Args:
        view: inputs of one modality.
        level: relative standard deviation of the noise; 0: `view` is returned.
        seed: seed of e; None: 0. All levels scale the same e.
        train: rows from which s is computed.
        axes: axes over which s is computed; the other axes are the features. Constant features stay constant.

    Returns:
        The noisy inputs, with the shape and dtype of `view`.

    """
    if level == 0:
        return view
    deviation = view[train].std(axis=axes, keepdims=True, dtype=np.float64)
    generator = np.random.default_rng([*b"teacher_noise", seed or 0])
    noise = generator.standard_normal(view.shape, dtype=np.float32)
    return (view + level * deviation * noise).astype(view.dtype)
