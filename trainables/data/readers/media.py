"""Reading pictures, sound and video: Pillow, soundfile (wav, flac, ogg) and PyAV (everything else).

What cannot be read raises UnreadableError with the reason alone; who asked knows the file's name.
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
"""Read by soundfile."""


class UnreadableError(ValueError):
    """A clip, picture or array that is missing, broken or not what it should be."""


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
    """A picture in RGB, `size` = (height, width).

    Raises:
        UnreadableError: also if it has another size, unless `resize` allows to change it (bilinearly).

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
    """The sound of an audio or video file as one channel (the mean of all), in [-1, 1], at `rate` samples a second.

    Raises:
        UnreadableError: if there is no sound in it.

    """
    found, samples = read_sound_file(path) if path.suffix.lower() in SOUND_FILES else read_sound_track(path)
    if not len(samples):
        raise UnreadableError("there is no sound in it")
    return resample(samples, found, rate).astype(np.float32)


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
    """What a video shows at each of the ascending times `seconds` after its first picture, scaled to `size`.

    Raises:
        UnreadableError: also if the video ends before the last of the times.

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
    """Each picture of a video, and the second, counted from the first picture, until which it is shown."""
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
