"""Encodes the projection of a camera as an additional row of pixels of its image.

Every sample has its own calibration (rigs differ, and the vehicle moves between the shutters), and a network takes one
tensor of bytes for each sample. So each image gets one more row, whose first 12 pixels are the 3 x 4 matrix from the
flat ego frame to the image: each entry is a number of 24 bits, with its three bytes in red, green and blue.
"""

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

ENTRIES = 12
LIMIT = 16.0
"""Entries are in [-LIMIT, LIMIT); one step of the 24 bits is 2e-6."""

HALF = 2**23


def encode_projections(matrices: Float[ndarray, "cameras 3 4"], width: int) -> UInt8[ndarray, "cameras 3 1 {width}"]:
    """The row of pixels for each camera.

    Args:
        matrices: projections from the flat ego frame to the image.
        width: width of the images, at least `ENTRIES`.

    Raises:
        ValueError: if an entry is too large to be a calibration in metres and image sizes.

    """
    flat = matrices.reshape(-1, ENTRIES)
    if not (abs(flat) < LIMIT).all():
        raise ValueError(
            f"entries of a camera's projection must be within {LIMIT} (metres, image sizes), but got "
            f"{float(flat.flat[abs(flat).argmax()])!r}; check calibrated_sensor.json and ego_pose.json"
        )
    numbers = np.round((flat / LIMIT + 1) * HALF).clip(max=2 * HALF - 1).astype(np.int64)
    row = np.zeros((len(flat), 3, 1, width), dtype=np.uint8)
    row[:, :, 0, :ENTRIES] = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=1)
    return row


def decode_projections(row: Float[Tensor, "*cameras 3 width"]) -> Float[Tensor, "*cameras 3 4"]:
    """The matrices of rows of pixels in [0, 1] (bytes divided by 255)."""
    high, middle, low = (row[..., :ENTRIES] * 255).round().unbind(dim=-2)
    numbers = high * 65536 + middle * 256 + low
    return ((numbers / HALF - 1) * LIMIT).unflatten(-1, (3, 4))
