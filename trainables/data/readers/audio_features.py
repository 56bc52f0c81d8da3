"""Spectrograms and MFCC in numpy (torchaudio does not support this torch, and librosa has many dependencies).

Conventions are librosa's: periodic Hann windows, frames centred on multiples of the hop, Slaney's mel filters.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Complex, Float
from numpy import ndarray
from numpy.lib.stride_tricks import sliding_window_view

Pad = Literal["constant", "reflect"]
"""Padding before and after the sound: silence, or the sound mirrored."""


def stft(
    samples: Float[ndarray, " samples"], window: int, hop: int, pad: Pad
) -> Complex[ndarray, "{window}//2+1 frames"]:
    """Short-time Fourier transform.

    Args:
        samples: the sound, one channel.
        window: window length in samples.
        hop: distance of frames in samples.
        pad: padding at both ends.

    Returns:
        complex128 with 1 + samples // hop frames; frame t is centred on sample t * hop.

    Raises:
        ValueError: if the sound is too short to be mirrored.

    """
    half = window // 2
    if pad == "reflect" and len(samples) <= half:
        raise ValueError(f"a window of {window} samples needs more than {half} samples, but there are {len(samples)}")
    padded = np.pad(samples.astype(np.float64), half, mode=pad)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = sliding_window_view(padded, window)[::hop]
    return np.fft.rfft(frames * hann, axis=1).T


def stft_magnitude(samples: Float[ndarray, " samples"], window: int = 1024, hop: int = 512) -> Float[ndarray, "bins _"]:
    """|STFT| of the sound, mirrored at both ends, without scaling."""
    return np.abs(stft(samples, window, hop, "reflect"))


def mfcc(
    samples: Float[ndarray, " samples"],
    rate: int,
    count: int = 40,
    window: int = 2048,
    hop: int = 512,
    mels: int = 128,
    floor_db: float = 80.0,
) -> Float[ndarray, "{count} frames"]:
    """Mel-frequency cepstral coefficients: DCT-II (orthonormal) of the mel power spectrum in decibels.

    Args:
        samples: the sound, one channel.
        rate: sampling rate in Hz.
        count: number of coefficients.
        window: window length in samples.
        hop: distance of frames in samples.
        mels: number of mel filters.
        floor_db: powers further below the loudest of the clip, or below 1e-10, are set to this floor.

    Returns:
        float64 coefficients of each frame.

    """
    from scipy.fft import dct

    power = np.abs(stft(samples, window, hop, "constant")) ** 2
    decibels = 10 * np.log10(np.maximum(mel_filters(rate, window, mels) @ power, 1e-10))
    return np.asarray(dct(np.maximum(decibels, decibels.max() - floor_db), axis=0, type=2, norm="ortho"))[:count]


@lru_cache(maxsize=8)
def mel_filters(rate: int, window: int, mels: int) -> Float[ndarray, "{mels} {window}//2+1"]:
    """Triangular filters between 0 and rate / 2, evenly spaced in mel, each with area 1 over frequency (Slaney)."""
    edges = mel_to_hz(np.linspace(0.0, hz_to_mel(rate / 2), mels + 2))
    bins = np.arange(window // 2 + 1) * rate / window
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


MEL_HZ, LOG_FROM_HZ, LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27
"""Slaney's scale: linear (a mel is 66.7 Hz) up to 1 kHz, then 27 mel for each factor of 6.4."""


def hz_to_mel(hz: float) -> float:
    """Slaney's mel of a frequency of at least 1 kHz."""
    return LOG_FROM_HZ / MEL_HZ + float(np.log(hz / LOG_FROM_HZ)) / LOG_STEP


def mel_to_hz(mel: Float[ndarray, " mels"]) -> Float[ndarray, " mels"]:
    """The inverse of Slaney's scale."""
    bend = LOG_FROM_HZ / MEL_HZ
    return np.where(mel < bend, mel * MEL_HZ, LOG_FROM_HZ * np.exp(LOG_STEP * (np.maximum(mel, bend) - bend)))


def resample(samples: Float[ndarray, " samples"], rate: int, to: int) -> Float[ndarray, " _"]:
    """The sound at another sampling rate, by a polyphase filter."""
    if rate == to:
        return samples
    from scipy.signal import resample_poly

    common = np.gcd(rate, to)
    return resample_poly(samples, to // common, rate // common)


def fit_frames(spectrum: Float[ndarray, "rows _"], frames: int) -> Float[ndarray, "rows {frames}"]:
    """The spectrum cut or padded with zeros at its end to `frames` frames."""
    return np.pad(spectrum[:, :frames], ((0, 0), (0, max(0, frames - spectrum.shape[1]))))
