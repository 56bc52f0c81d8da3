"""RAVDESS from its official clips: frames of the videos, MFCC of the sound, and splits by frame or by actor."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy import ndarray

from trainables.data.common.raw_files import require_path
from trainables.data.multimedia.ravdess_source import EMOTIONS, MFCC, Modality, Source, normalised
from trainables.data.readers.audio_features import mfcc
from trainables.data.readers.media import read_frames, read_sound
from trainables.data.readers.preparation import SPLITS, Clip, Place, Split

RATE = 22_050
"""Sampling rate in Hz for the MFCC."""

NAME = re.compile(r"(\d\d)-(0[12])-(0[1-8])-(\d\d)-(\d\d)-(\d\d)-(\d\d)\.(mp4|wav)")
CHANNELS: dict[str, str] = {"01": "speech", "02": "song"}
SOUND_AND_PICTURE, PICTURE, SOUND = "01", "02", "03"

FIRST_CHOICE: dict[Modality, tuple[tuple[str, str], ...]] = {
    "image": ((SOUND_AND_PICTURE, "mp4"), (PICTURE, "mp4")),
    "audio": ((SOUND, "wav"), (SOUND_AND_PICTURE, "mp4")),
}
"""For each modality the files (modality code, ending) that contain it; the first that exists is read."""


class Take(NamedTuple):
    """One recording; it has a file for each modality."""

    channel: str
    emotion: int
    """Label, from 0."""
    rest: str
    """Intensity, statement and repetition, as in the file names."""
    actor: int


def list_clips(
    root: Path,
    channel: Literal["speech", "song", "both"],
    source: Source,
    by_actor: bool,
    shares: tuple[float, float],
    seed: int,
) -> list[Clip]:
    """Every recording with picture and sound, and the split of each of its frames.

    Args:
        root: folder of the `Actor_NN` folders.
        channel: which recordings are used.
        source: times and size of the frames, and the modalities.
        by_actor: whether all frames of an actor are in one split.
        shares: shares of validation and test.
        seed: seed of the split.

    Raises:
        FileNotFoundError: if there are no clips.
        ValueError: if there are too few actors for `by_actor`.

    """
    require_path("ravdess", root, "the folder of the official clips (Actor_01/ to Actor_24/)")
    files = find_files(root)
    takes = sorted(take for take in files if channel in ("both", take.channel))
    names = {take: {modality: choose(files[take], modality) for modality in FIRST_CHOICE} for take in takes}
    takes = [take for take in takes if all(names[take].values())]
    if not takes:
        raise FileNotFoundError(
            f"ravdess needs clips such as Actor_01/01-01-03-02-01-02-01.mp4 (and 03-….wav) under {str(root)!r}, but no "
            f"{channel} clip there has both picture and sound; put the official Actor_NN folders there"
        )
    split_frames = split_by_actor if by_actor else split_by_frame
    splits = split_frames(takes, len(source.seconds), shares, seed)
    next_row = dict.fromkeys(SPLITS, 0)
    clips = []
    for take, take_splits in zip(takes, splits, strict=True):
        places = tuple(place_in(split, next_row) for split in take_splits)
        audio, image = (root / str(names[take][modality]) for modality in ("audio", "image"))
        clips.append(Clip(image.name, source._replace(audio=audio, image=image), take.emotion, places))
    return clips


def find_files(root: Path) -> dict[Take, dict[tuple[str, str], str]]:
    """The files of each recording, by modality code and ending."""
    files: dict[Take, dict[tuple[str, str], str]] = {}
    for folder in sorted(root.glob("Actor_*")):
        for path in folder.iterdir():
            match = NAME.fullmatch(path.name)
            if match:
                code, channel, emotion, *rest, actor, ending = match.groups()
                take = Take(CHANNELS[channel], int(emotion) - 1, "-".join(rest), int(actor))
                files.setdefault(take, {})[code, ending] = f"{folder.name}/{path.name}"
    return files


def choose(files: dict[tuple[str, str], str], modality: Modality) -> str | None:
    """The file of a recording from which a modality is read, or None."""
    return next((files[kind] for kind in FIRST_CHOICE[modality] if kind in files), None)


def place_in(split: Split, next_row: dict[Split, int]) -> Place:
    """The next free row of a split."""
    next_row[split] += 1
    return Place(split, next_row[split] - 1)


def split_by_frame(takes: list[Take], frames: int, shares: tuple[float, float], seed: int) -> Iterator[list[Split]]:
    """The split of every frame of each recording. Each split gets the same share of every class, at least one frame.

    Args:
        takes: the recordings.
        frames: frames of each.
        shares: shares of validation and test.
        seed: seed of the split.

    """
    generator = np.random.default_rng(seed)
    emotions = np.repeat([take.emotion for take in takes], frames)
    splits = np.full(len(emotions), "train", dtype="U5")
    for emotion in range(len(EMOTIONS)):
        rows = generator.permutation(np.flatnonzero(emotions == emotion))
        val, test = (max(1, round(share * len(rows))) for share in shares)
        splits[rows[:val]], splits[rows[val : val + test]] = "val", "test"
    return ([str(split) for split in take_splits] for take_splits in splits.reshape(len(takes), frames))


def split_by_actor(takes: list[Take], frames: int, shares: tuple[float, float], seed: int) -> Iterator[list[Split]]:
    """The split of every frame of each recording; all frames of an actor are in one split.

    Women (even numbers) and men take turns in the order from which the splits are cut. Arguments as for
    `split_by_frame`.

    Raises:
        ValueError: if there are fewer than three actors.

    """
    generator = np.random.default_rng(seed)
    actors = sorted({take.actor for take in takes})
    if len(actors) < len(SPLITS):
        raise ValueError(f"split: 'actors' needs 3 actors or more, but there are {len(actors)}; use `split: random`")
    turn = {}
    for sex in (0, 1):
        shuffled = generator.permutation([actor for actor in actors if actor % 2 == sex])
        turn |= {int(actor): (place, sex) for place, actor in enumerate(shuffled)}
    order = sorted(actors, key=turn.__getitem__)
    val, test = (max(1, round(share * len(order))) for share in shares)
    split = dict.fromkeys(order[val + test :], "train")
    split |= dict.fromkeys(order[:val], "val") | dict.fromkeys(order[val : val + test], "test")
    return ([split[take.actor]] * frames for take in takes)


def read_clip(source: Source) -> dict[str, ndarray]:
    """One row for each frame. Raises UnreadableError."""
    arrays = {view: READERS[view](source) for view in set(source.views)}
    return dict(zip(("teacher", "student"), (arrays[view] for view in source.views), strict=True))


def read_voice(source: Source) -> ndarray:
    """The MFCC of the whole clip, repeated for each of its frames."""
    coefficients = normalised(mfcc(read_sound(source.audio, RATE), RATE, MFCC))
    return np.broadcast_to(coefficients, (len(source.seconds), *coefficients.shape))


def read_face(source: Source) -> ndarray:
    """The frames."""
    return read_frames(source.image, source.seconds, source.size)


READERS: dict[Modality, Callable[[Source], ndarray]] = {"audio": read_voice, "image": read_face}
