"""RAVDESS: actors say two sentences in eight emotions; a pair is a video frame and the sound of its clip.

One row of the layout `clips`: the frame at 0.5 s of `Actor_01/01-01-03-02-01-02-01.mp4` (modality 01 sound and
picture, channel 01 speech, emotion 03 happy, intensity 02 strong, statement 01, repetition 02, actor 01) as uint8
(3, 256, 512), the 40 MFCC of `Actor_01/03-01-03-02-01-02-01.wav` as float32 (1, 40, 256), label 2 (happy).

There are two layouts of `root`. `features` is that of the MFH repository, whose features the CIBA paper uses:

    data_file/spa_dl.csv spa_val.csv spa_test.csv      lines "sound file,picture file,label"
    aud_features/*.npy                                 (40, about 256) MFCC
    vid_features/*                                     pictures of 256 x 512

`clips` is the original one, `Actor_NN/MM-VV-EE-II-SS-RR-AA.{mp4,wav}`; frames and MFCC are computed from the clips. How
MFH drew its splits is unknown. MFCC become (x + 10.59) / 85.66 (MFH's constants); pictures stay uint8, and the networks
apply ImageNet's mean and deviation.
"""

import tempfile
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, Field

from trainables.common.types import PairedData
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.field_checks import only_with
from trainables.data.common.raw_files import fingerprint_of_files, without_file_errors
from trainables.data.multimedia.ravdess_clips import list_clips, read_clip
from trainables.data.multimedia.ravdess_features import CSV_FILES, list_features, read_features
from trainables.data.multimedia.ravdess_source import EMOTIONS, FRAMES, MFCC, Modality, Source
from trainables.data.readers.preparation import Clip, Layout, paired, prepare

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""

SPEECH_CLIPS = 1440
"""Number of spoken clips of the official data, for each modality."""

only_clips = only_with("layout", "clips")


class RavdessConfig(DataConfig):
    """Faces and voices of actors in eight emotions; teacher and student each see one of the two."""

    location: ClassVar[tuple[str, ...]] = ("root",)
    teacher_only: ClassVar[tuple[str, ...]] = ("teacher",)
    dataset: Literal["ravdess"] = "ravdess"
    """Emotional speech of actors: pictures and sound."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with the data; a relative one starts at the study file's folder."""
    layout: Literal["features", "clips"] = "features"
    """Content of `root`: the MFH features (`data_file/`, `aud_features/`, `vid_features/`) or the official clips
    (`Actor_NN/`)."""
    teacher: Modality = "audio"
    """What the teacher sees."""
    student: Modality = "image"
    """What the student sees. The teacher's own modality is allowed."""
    image: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (256, 512)
    """Height and width of the pictures. Frames of clips are scaled to it; the pictures of `features` must have it."""
    split: Annotated[Literal["random", "actors"], AfterValidator(only_clips("random"))] = "random"
    """How clips are split: `random` draws single frames, balanced by class, so that all splits have the same clips and
    actors; `actors` puts all clips of an actor into one split."""
    val: Annotated[float, Field(gt=0, lt=0.5), AfterValidator(only_clips(0.1))] = 0.1
    """Share of the frames (or actors) for validation."""
    test: Annotated[float, Field(gt=0, lt=0.5), AfterValidator(only_clips(0.1))] = 0.1
    """Share of the frames (or actors) for the test."""
    split_seed: Annotated[int, Field(ge=0), AfterValidator(only_clips(0))] = 0
    """Seed of the split; not the trial's seed."""
    channel: Annotated[Literal["speech", "song", "both"], AfterValidator(only_clips("speech"))] = "speech"
    """Which clips are used."""
    frames: Annotated[int, Field(ge=1), AfterValidator(only_clips(6))] = 6
    """Frames of each clip."""
    every: Annotated[float, Field(gt=0), AfterValidator(only_clips(0.5))] = 0.5
    """Seconds between two frames of a clip; the first frame is at 0."""
    skip_bad: Annotated[int, Field(ge=0)] = 0
    """Number of clips that may be unreadable; they are skipped and counted in the report."""


def clips_of(config: RavdessConfig) -> list[Clip]:
    """Every clip (or pair of feature files) with its rows. Raises ValueError or FileNotFoundError."""
    root = Path(config.root)
    if config.layout == "features":
        return list_features(root, config.image, (config.teacher, config.student))
    shares, times = (config.val, config.test), tuple(config.every * number for number in range(config.frames))
    source = Source(root, root, times, config.image, (config.teacher, config.student))
    return list_clips(root, config.channel, source, config.split == "actors", shares, config.split_seed)


def load_in(config: RavdessConfig, folder: Path) -> PairedData:
    """The three splits, memory-mapped in `folder`.

    Raises:
        FileNotFoundError: if root, lists or clips are missing.
        ValueError: if lists are wrong, or more clips than `skip_bad` cannot be read.

    """
    clips = clips_of(config)
    views = {"teacher": layout_of(config, config.teacher), "student": layout_of(config, config.student)}
    read = read_features if config.layout == "features" else read_clip
    arrays, bad, notes = prepare("ravdess", read, clips, views, folder, config.skip_bad)
    if config.layout == "clips" and config.split == "random":
        notes["warning"] = (
            "random split of frames: the same clips and actors are in all splits, so that accuracy says little about "
            "other people; `split: actors` puts all clips of an actor into one split"
        )
    return paired(clips, bad, arrays, len(EMOTIONS), notes)


def load(config: RavdessConfig) -> PairedData:
    """The result of `load_in`, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return load_in(config, Path(folder))


def layout_of(config: RavdessConfig, modality: Modality) -> Layout:
    """Shape and dtype of one input."""
    return {"audio": Layout((1, MFCC, FRAMES), np.float32), "image": Layout((3, *config.image), np.uint8)}[modality]


def fingerprint(config: RavdessConfig) -> str:
    """Hash of the lists and of names and sizes of the listed files."""
    root, clips = Path(config.root), clips_of(config)
    lists = [root / "data_file" / name for name in CSV_FILES.values()] if config.layout == "features" else []
    files = sorted({path for clip in clips for path in (clip.source.audio, clip.source.image)})
    return fingerprint_of_files("ravdess", VERSION, lists, files, root)


def shape(config: RavdessConfig) -> DataShape:
    """Shapes and sizes, read from the lists only. Raises ValueError or FileNotFoundError."""
    places = [place for clip in clips_of(config) for place in clip.places]
    sizes = [sum(place.split == split for place in places) for split in ("train", "val", "test")]
    teacher, student = (layout_of(config, modality).shape for modality in (config.teacher, config.student))
    return DataShape(teacher, student, len(EMOTIONS), *sizes)


@without_file_errors
def not_comparable(config: RavdessConfig) -> str | None:
    """The published numbers are of the complete MFH features and their splits."""
    if config.layout == "clips":
        return "frames, MFCC and splits are computed from the clips; they are not those of the MFH features"
    clips = len({clip.source.audio for clip in clips_of(config)})
    if clips < SPEECH_CLIPS:
        return f"the features come from {clips:,} clips, but the official speech data has {SPEECH_CLIPS:,}"
    return None


RAVDESS = Dataset(RavdessConfig, load, fingerprint, shape, load_in, not_comparable)
