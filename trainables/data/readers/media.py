"""Reads images, sound and video with Pillow, soundfile (wav, flac, ogg) and PyAV (everything else).

A file that cannot be read raises UnreadableError with the reason; the caller adds the name of the file.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from trainables.data.readers.audio_features import resample

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

SOUND_FILES = (".wav", ".flac", ".ogg")
"""File endings that soundfile reads."""


class UnreadableError(ValueError):
    """A media file or array is missing, broken or of a wrong form."""


@contextmanager
def unreadable(*errors: type[Exception]) -> Iterator[None]:
    """Turn a library's `errors` into an UnreadableError of one line."""
    try:
        yield
    except UnreadableError:
        raise
    except errors as error:
        raise UnreadableError(" ".join(f"{type(error).__name__}: {error}".split())) from error


def read_image(path: Path, size: tuple[int, int], resize: bool = False) -> UInt8[ndarray, "3 height width"]:
    """An image in RGB.

    Args:
        path: the file.
        size: (height, width) in pixels.
        resize: whether an image of another size is resized bilinearly.

    Raises:
        UnreadableError: if it cannot be read, or has another size and `resize` is false.

    """
    from PIL import Image

    height, width = size
    with unreadable(OSError, ValueError, Image.DecompressionBombError):
        with Image.open(path) as image:
            if image.size != (width, height) and not resize:
                raise UnreadableError(f"the image has {image.size[1]} x {image.size[0]} pixels, not {height} x {width}")
            rgb = image.convert("RGB")
            pixels = np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR) if resize else rgb)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_sound(path: Path, rate: int) -> Float32[ndarray, " samples"]:
    """The sound of an audio or video file as one channel (the mean of all) in [-1, 1], resampled to `rate` Hz.

    Raises:
        UnreadableError: if the file cannot be read or has no sound.

    """
    file_rate, samples = read_sound_file(path) if path.suffix.lower() in SOUND_FILES else read_sound_track(path)
    if not len(samples):
        raise UnreadableError("there is no sound in it")
    return resample(samples, file_rate, rate).astype(np.float32)


def read_sound_file(path: Path) -> tuple[int, Float32[ndarray, " samples"]]:
    """Rate and samples of a wav, flac or ogg file."""
    import soundfile

    with unreadable(soundfile.SoundFileError, OSError):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return int(rate), samples.mean(axis=1)


def read_sound_track(path: Path) -> tuple[int, Float32[ndarray, " samples"]]:
    """Rate and samples of the sound track of a video."""
    import av
    from av.error import FFmpegError

    with unreadable(FFmpegError, OSError), av.open(str(path)) as container:
        if not container.streams.audio:
            raise UnreadableError("there is no sound track in it")
        rate = container.streams.audio[0].codec_context.sample_rate
        to_float = av.AudioResampler(format="fltp")
        frames = [part for frame in container.decode(audio=0) for part in to_float.resample(frame)]
        parts = [frame.to_ndarray().mean(axis=0) for frame in frames]
    return rate, np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def read_frames(path: Path, seconds: Sequence[float], size: tuple[int, int]) -> UInt8[ndarray, "frames 3 height width"]:
    """The frames of a video at some times.

    Args:
        path: the file.
        seconds: ascending times after the first frame.
        size: (height, width) to which frames are scaled.

    Raises:
        UnreadableError: if the video cannot be read, or ends before the last time.

    """
    import av
    from av.error import FFmpegError

    height, width = size
    shown: list[ndarray] = []
    until = 0.0
    with unreadable(FFmpegError, OSError), av.open(str(path)) as container:
        for frame, until in pictures(container):
            while len(shown) < len(seconds) and seconds[len(shown)] < until:
                shown.append(frame.reformat(width=width, height=height, format="rgb24").to_ndarray())
            if len(shown) == len(seconds):
                break
    if len(shown) < len(seconds):
        raise UnreadableError(f"it ends after {until:.2f} s, before its frame at {seconds[len(shown)]:.2f} s")
    return np.ascontiguousarray(np.stack(shown).transpose(0, 3, 1, 2))


def pictures(container: "InputContainer") -> "Iterator[tuple[VideoFrame, float]]":
    """Each frame of a video, and the time until which it is shown, in seconds after the first frame."""
    if not container.streams.video:
        raise UnreadableError("there is no picture in it")
    rate = container.streams.video[0].average_rate
    start, previous = 0.0, None
    for frame in container.decode(video=0):
        if previous is None:
            start = frame.time or 0.0
        else:
            yield previous, (frame.time or 0.0) - start
        previous = frame
    if previous is not None:
        yield previous, (previous.time or 0.0) - start + (1 / float(rate) if rate else 0.0)
