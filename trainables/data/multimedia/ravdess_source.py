"""What both layouts of RAVDESS share: its emotions, the modalities, where one pair comes from."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from trainables.data.readers.audio_features import fit_frames

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""By label; file names count them from 01."""

MFCC, FRAMES = 40, 256
"""Coefficients of the sound, and frames to which it is cut or filled with zeros."""

MEAN, SCALE = -10.59, 85.66
"""MFH's constants of the MFCC."""

Modality = Literal["audio", "image"]


class Source(NamedTuple):
    """Where the rows of one clip come from."""

    audio: Path
    image: Path
    seconds: tuple[float, ...]
    """Times of the frames; (0,) for a single picture."""
    size: tuple[int, int]
    """Height and width of the pictures."""
    views: tuple[Modality, Modality]
    """What teacher and student see."""


def normalised(mfcc: Float[ndarray, "40 frames"]) -> Float[ndarray, "1 40 256"]:
    """MFCC as the networks take them."""
    return ((fit_frames(mfcc, FRAMES)[None] - MEAN) / SCALE).astype(np.float32)
