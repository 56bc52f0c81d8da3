"""RAVDESS from its official clips: frames of the videos, MFCC of the sound, splits by frame or by actor."""

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
"""Samples a second from which the MFCC are made."""

NAME = re.compile(r"(\d\d)-(0[12])-(0[1-8])-(\d\d)-(\d\d)-(\d\d)-(\d\d)\.(mp4|wav)")
CHANNELS: dict[str, str] = {"01": "speech", "02": "song"}
SOUND_AND_PICTURE, PICTURE, SOUND = "01", "02", "03"

FIRST_CHOICE: dict[Modality, tuple[tuple[str, str], ...]] = {
    "image": ((SOUND_AND_PICTURE, "mp4"), (PICTURE, "mp4")),
    "audio": ((SOUND, "wav"), (SOUND_AND_PICTURE, "mp4")),
}
"""Files from which a modality is read, the first that is there."""


class Take(NamedTuple):
    """One recording, in any modality."""

    channel: str
    emotion: int
    """From 0."""
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
    """Every recording that has picture and sound, with its frames dealt to the splits.

    Raises:
        FileNotFoundError: if there are no clips.

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
    deal = split_by_actor if by_actor else split_by_frame
    splits = deal(takes, len(source.seconds), shares, seed)
    next_row = dict.fromkeys(SPLITS, 0)
    clips = []
    for take, own in zip(takes, splits, strict=True):
        places = tuple(place_in(split, next_row) for split in own)
        audio, image = (root / str(names[take][modality]) for modality in ("audio", "image"))
        clips.append(Clip(image.name, source._replace(audio=audio, image=image), take.emotion, places))
    return clips


def find_files(root: Path) -> dict[Take, dict[tuple[str, str], str]]:
    """For each recording its files, by modality code and ending."""
    found: dict[Take, dict[tuple[str, str], str]] = {}
    for folder in sorted(root.glob("Actor_*")):
        for path in folder.iterdir():
            match = NAME.fullmatch(path.name)
            if match:
                code, channel, emotion, *rest, actor, ending = match.groups()
                take = Take(CHANNELS[channel], int(emotion) - 1, "-".join(rest), int(actor))
                found.setdefault(take, {})[code, ending] = f"{folder.name}/{path.name}"
    return found


def choose(files: dict[tuple[str, str], str], modality: Modality) -> str | None:
    """The file of a recording from which a modality is read."""
    return next((files[kind] for kind in FIRST_CHOICE[modality] if kind in files), None)


def place_in(split: Split, next_row: dict[Split, int]) -> Place:
    """The next free row of a split."""
    next_row[split] += 1
    return Place(split, next_row[split] - 1)


def split_by_frame(takes: list[Take], frames: int, shares: tuple[float, float], seed: int) -> Iterator[list[Split]]:
    """A split for every frame; in each, the classes have the same share of their frames (rounded, one at least)."""
    generator = np.random.default_rng(seed)
    emotions = np.repeat([take.emotion for take in takes], frames)
    dealt = np.full(len(emotions), "train", dtype="U5")
    for emotion in range(len(EMOTIONS)):
        rows = generator.permutation(np.flatnonzero(emotions == emotion))
        val, test = (max(1, round(share * len(rows))) for share in shares)
        dealt[rows[:val]], dealt[rows[val : val + test]] = "val", "test"
    return ([str(split) for split in own] for own in dealt.reshape(len(takes), frames))


def split_by_actor(takes: list[Take], frames: int, shares: tuple[float, float], seed: int) -> Iterator[list[Split]]:
    """All frames of an actor in one split; women (even numbers) and men take turns. Raises ValueError for too few."""
    generator = np.random.default_rng(seed)
    actors = sorted({take.actor for take in takes})
    if len(actors) < len(SPLITS):
        raise ValueError(f"split: 'actors' needs 3 actors or more, but there are {len(actors)}; use `split: random`")
    turn = {}
    for sex in (0, 1):
        own = generator.permutation([actor for actor in actors if actor % 2 == sex])
        turn |= {int(actor): (place, sex) for place, actor in enumerate(own)}
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
    """The MFCC of the whole clip, the same for each of its frames."""
    coefficients = normalised(mfcc(read_sound(source.audio, RATE), RATE, MFCC))
    return np.broadcast_to(coefficients, (len(source.seconds), *coefficients.shape))


def read_face(source: Source) -> ndarray:
    """The frames."""
    return read_frames(source.image, source.seconds, source.size)


READERS: dict[Modality, Callable[[Source], ndarray]] = {"audio": read_voice, "image": read_face}
