"""Parts of both RAVDESS layouts: emotions, modalities, and the files of one pair."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from trainables.data.readers.audio_features import fit_frames

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""Emotions by label; file names count them from 01."""

MFCC, FRAMES = 40, 256
"""Number of coefficients, and number of frames to which they are cut or padded with zeros."""

MEAN, SCALE = -10.59, 85.66
"""MFH's constants for normalising the MFCC."""

Modality = Literal["audio", "image"]


class Source(NamedTuple):
    """The files of one clip, and how its rows are read."""

    audio: Path
    image: Path
    seconds: tuple[float, ...]
    """Times of the frames; (0,) for a single picture."""
    size: tuple[int, int]
    """Height and width of the pictures."""
    views: tuple[Modality, Modality]
    """The modality of the teacher and that of the student."""


def normalised(mfcc: Float[ndarray, "40 frames"]) -> Float[ndarray, "1 40 256"]:
    """MFCC as inputs of the networks: (x - MEAN) / SCALE, cut or padded to 256 frames, float32."""
    return ((fit_frames(mfcc, FRAMES)[None] - MEAN) / SCALE).astype(np.float32)
