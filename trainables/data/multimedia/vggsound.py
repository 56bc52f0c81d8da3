"""VGG-Sound: ten-second clips of events; a pair is a few video frames and the spectrogram of their clip.

One row, `---g-f_I2yQ_000001.mp4` ("people marching"): video = uint8 (frames, 3, 256, 256), audio = float16
(1, 513, 313), the magnitude of the STFT (window 1024, hop 512) of the sound at 16 kHz divided by 1.1 max |x|, resized
bilinearly.

`root` contains `vggsound.csv` (lines "YouTube id,start second,label,train or test", no header), or `train.csv` and
`test.csv` (lines "clip.mp4,label"), and the clips `<id>_<start, six digits>.mp4` in the folder `video/`. A `subset`
file selects classes or clips, and can give the split of each clip.
"""

import tempfile
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy import ndarray
from pydantic import Field
from torch.nn import functional

from trainables.common.types import PairedData
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.raw_files import fingerprint_of_files, without_file_errors
from trainables.data.multimedia.vggsound_index import Index, Source, index_files, read_index
from trainables.data.readers.audio_features import stft_magnitude
from trainables.data.readers.media import UnreadableError, read_frames, read_sound
from trainables.data.readers.preparation import Layout, paired, prepare

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""

Modality = Literal["video", "audio"]
RATE, SPECTRUM = 16_000, (513, 313)
HEADROOM = 1.1
"""The sound is divided by its largest sample times this factor."""

PUBLISHED_CLASSES, PUBLISHED_CLIPS = 100, (50_000, 5_000, 5_000)
"""The subset of the CIBA paper: number of classes; numbers of training, validation and test clips."""


class VGGSoundConfig(DataConfig):
    """Clips of events; the inputs of teacher and student are frames or sound."""

    location: ClassVar[tuple[str, ...]] = ("root",)
    teacher_only: ClassVar[tuple[str, ...]] = ("teacher",)
    dataset: Literal["vggsound"] = "vggsound"
    """Events in video clips: frames and sound."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with `vggsound.csv` (or `train.csv` and `test.csv`) and `video/`; a relative one starts at the study
    file's folder."""
    teacher: Modality = "video"
    """What the teacher sees."""
    student: Modality = "audio"
    """What the student sees. The teacher's own modality is allowed."""
    subset: str | None = None
    """File in `root` with a class name or a clip (`<id>_<start>`) on each line; `,train`, `,val` or `,test` may follow
    a clip. null: all 309 classes."""
    val: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the training clips of each class that become the validation split, unless `subset` lists its clips."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the selection of validation clips; not the trial's seed."""
    frames: Annotated[int, Field(ge=1)] = 4
    """Frames of each clip: the middles of equal parts of `seconds`."""
    seconds: Annotated[float, Field(gt=0)] = 10.0
    """Length of a clip."""
    image: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (256, 256)
    """Height and width to which frames are scaled."""
    skip_missing: bool = False
    """Whether listed clips that are not in `video/` (many were removed from YouTube) are skipped and counted."""
    skip_bad: Annotated[int, Field(ge=0)] = 0
    """Number of clips that may be unreadable; they are skipped and counted in the report."""


def index_of(config: VGGSoundConfig) -> Index:
    """The clips and classes. Raises ValueError or FileNotFoundError."""
    times = tuple((number + 0.5) * config.seconds / config.frames for number in range(config.frames))
    source = Source(Path(), times, config.image, (config.teacher, config.student))
    return read_index(Path(config.root), config.subset, config.val, config.split_seed, config.skip_missing, source)


def load_in(config: VGGSoundConfig, folder: Path) -> PairedData:
    """The three splits, memory-mapped in `folder`.

    Raises:
        FileNotFoundError: if root, lists or clips are missing.
        ValueError: if lists are wrong, or more clips than `skip_bad` cannot be read.

    """
    index = index_of(config)
    layout = {"teacher": layout_of(config, config.teacher), "student": layout_of(config, config.student)}
    arrays, bad, notes = prepare("vggsound", read_clip, index.clips, layout, folder, config.skip_bad)
    return paired(index.clips, bad, arrays, len(index.classes), {**notes, "clips_missing": index.missing})


def load(config: VGGSoundConfig) -> PairedData:
    """The result of `load_in`, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return load_in(config, Path(folder))


def layout_of(config: VGGSoundConfig, modality: Modality) -> Layout:
    """Shape and dtype of one input."""
    video = Layout((config.frames, 3, *config.image), np.uint8)
    return {"audio": Layout((1, *SPECTRUM), np.float16), "video": video}[modality]


def read_clip(source: Source) -> dict[str, ndarray]:
    """The single row of a clip. Raises UnreadableError."""
    readers = {"audio": spectrogram, "video": frames}
    arrays = {view: readers[view](source)[None] for view in set(source.views)}
    return dict(zip(("teacher", "student"), (arrays[view] for view in source.views), strict=True))


def frames(source: Source) -> ndarray:
    """The clip's frames."""
    return read_frames(source.path, source.seconds, source.size)


def spectrogram(source: Source) -> ndarray:
    """The clip's spectrogram."""
    return spectrum_of(read_sound(source.path, RATE)).astype(np.float16)


def spectrum_of(samples: ndarray) -> ndarray:
    """Magnitude of the STFT of the sound, which is first scaled to a common loudness.

    Args:
        samples: the sound, one channel.

    Returns:
        float32 (1, 513, 313), resized bilinearly.

    Raises:
        UnreadableError: if the sound is silent or shorter than half a window.

    """
    loudest = float(np.abs(samples).max())
    if loudest == 0:
        raise UnreadableError("it is silent")
    try:
        magnitude = stft_magnitude(samples / (HEADROOM * loudest))
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    resized = functional.interpolate(
        torch.from_numpy(magnitude)[None, None], SPECTRUM, mode="bilinear", align_corners=False
    )
    return resized[0].numpy()


def fingerprint(config: VGGSoundConfig) -> str:
    """Hash of the lists and of names and sizes of the clips."""
    root, index = Path(config.root), index_of(config)
    files = [clip.source.path for clip in index.clips]
    return fingerprint_of_files("vggsound", VERSION, index_files(root, config.subset), files, root)


def shape(config: VGGSoundConfig) -> DataShape:
    """Shapes and sizes, read from the lists only. Raises ValueError or FileNotFoundError."""
    index = index_of(config)
    teacher, student = (layout_of(config, modality).shape for modality in (config.teacher, config.student))
    return DataShape(teacher, student, len(index.classes), *index.sizes())


@without_file_errors
def not_comparable(config: VGGSoundConfig) -> str | None:
    """The published numbers are of 100 classes and 60,000 clips."""
    index = index_of(config)
    if len(index.classes) != PUBLISHED_CLASSES:
        return f"there are {len(index.classes)} classes, not the {PUBLISHED_CLASSES} of the published numbers"
    if any(size < published for size, published in zip(index.sizes(), PUBLISHED_CLIPS, strict=True)):
        return f"there are {index.sizes()} clips, fewer than the {PUBLISHED_CLIPS} of the published numbers"
    return None


VGGSOUND = Dataset(VGGSoundConfig, load, fingerprint, shape, load_in, not_comparable)
