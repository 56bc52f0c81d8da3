"""The clips of VGG-Sound: reads the lists and a subset, draws the validation split, and finds the files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from trainables.data.common.raw_files import read_csv, require_path
from trainables.data.readers.preparation import SPLITS, Clip, Place, Split

WHOLE, PARTS, FOLDER = "vggsound.csv", {"train": "train.csv", "test": "test.csv"}, "video"


class Source(NamedTuple):
    """The file of one clip, and how its row is read."""

    path: Path
    seconds: tuple[float, ...]
    """Times of the frames."""
    size: tuple[int, int]
    """Height and width of the frames."""
    views: tuple[Literal["video", "audio"], Literal["video", "audio"]]
    """The modality of the teacher and that of the student."""


class Listed(NamedTuple):
    """One line of the lists."""

    name: str
    """`<id>_<start, six digits>`."""
    label: str
    split: Split


class Index(NamedTuple):
    """The clips and classes of a config."""

    clips: list[Clip]
    classes: list[str]
    """Names in alphabetical order; a label is an index of this list."""
    missing: int
    """Listed clips that are not on disk."""

    def sizes(self) -> tuple[int, int, int]:
        """Clips of train, val and test."""
        splits = [clip.places[0].split for clip in self.clips]
        return splits.count("train"), splits.count("val"), splits.count("test")


def read_index(root: Path, subset: str | None, val: float, seed: int, skip_missing: bool, source: Source) -> Index:
    """The clips of the lists that are in the subset, ordered by name.

    Args:
        root: folder of the data set.
        subset: name of the subset file in `root`; None: all clips.
        val: share of the training clips of each class for validation.
        seed: seed of the validation split.
        skip_missing: whether clips without a file are left out.
        source: how a clip is read; its path is set here.

    Raises:
        FileNotFoundError: if a list, the folder of clips, or (without `skip_missing`) a clip is missing.
        ValueError: if a list or the subset is wrong.

    """
    require_path("vggsound", root, "the folder of VGG-Sound (vggsound.csv and video/)")
    folder = require_path("vggsound", root / FOLDER, "the folder of clips (<id>_<start, six digits>.mp4)")
    chosen, divided = choose(read_lists(root), root, subset)
    have = {entry.name.removesuffix(".mp4") for entry in os.scandir(folder)}
    there = [clip for clip in chosen if clip.name in have]
    missing = len(chosen) - len(there)
    if missing and (not skip_missing or not there):
        first = next(clip.name for clip in chosen if clip.name not in have)
        raise FileNotFoundError(
            f"vggsound: {missing} of {len(chosen)} listed clips are not in {str(folder)!r}, for example {first}.mp4; "
            "put them there, or skip them with `skip_missing: true` under `data:`"
        )
    if not divided:
        there = with_validation(there, val, seed)
    classes = sorted({clip.label for clip in chosen})
    place, next_row, clips = {name: number for number, name in enumerate(classes)}, dict.fromkeys(SPLITS, 0), []
    for clip in sorted(there):
        row = Place(clip.split, next_row[clip.split])
        next_row[clip.split] += 1
        clips.append(Clip(clip.name, source._replace(path=folder / f"{clip.name}.mp4"), place[clip.label], (row,)))
    return Index(clips, classes, missing)


def index_files(root: Path, subset: str | None) -> list[Path]:
    """The lists that are read."""
    lists = [root / WHOLE] if (root / WHOLE).exists() else [root / name for name in PARTS.values()]
    return lists + ([root / subset] if subset else [])


def read_lists(root: Path) -> list[Listed]:
    """Every listed clip. Raises FileNotFoundError or ValueError."""
    if (root / WHOLE).exists():
        return read_whole(root / WHOLE)
    require_path("vggsound", root / PARTS["train"], "vggsound.csv, or train.csv and test.csv")
    found = []
    for split, name in PARTS.items():
        for _, (clip, label, *_) in read_csv("vggsound", root / name, 2, "clip and label", header=False):
            found.append(Listed(clip.removesuffix(".mp4"), label, split))
    return found


def read_whole(path: Path) -> list[Listed]:
    """The lines of vggsound.csv."""
    found = []
    for number, (video, start, label, split, *_) in read_csv(
        "vggsound", path, 4, "YouTube id, start second, label and split", header=False
    ):
        if not start.isdigit() or split not in PARTS:
            raise ValueError(
                f"vggsound: line {number} of {str(path)!r} must be an id, whole seconds, a label, and train or test, "
                f"but got {start!r} and {split!r}; restore the file"
            )
        found.append(Listed(f"{video}_{int(start):06d}", label, split))
    return found


def choose(listed: list[Listed], root: Path, subset: str | None) -> tuple[list[Listed], bool]:
    """The clips of the subset, and whether it lists the validation clips. Raises ValueError or FileNotFoundError."""
    if subset is None:
        return listed, False
    lines = read_csv("vggsound", root / subset, 1, "a class or a clip on each line", header=False)
    by_name = {clip.name: clip for clip in listed}
    classes = {clip.label for clip in listed}
    wanted, found = set[str](), []
    for number, fields in lines:
        whole, name, split = ",".join(fields).strip(), fields[0].removesuffix(".mp4"), fields[-1].strip()
        if whole in classes:
            wanted.add(whole)
        elif name in by_name and (len(fields) == 1 or split in SPLITS):
            found.append(by_name[name]._replace(split=split if len(fields) > 1 else by_name[name].split))
        else:
            raise ValueError(
                f"vggsound: line {number} of {str(root / subset)!r} must be a class, or a clip with or without its "
                f"split, but the lists have no {whole!r}; correct the line"
            )
    found += [clip for clip in listed if clip.label in wanted]
    return found, any(clip.split == "val" for clip in found)


def with_validation(clips: Sequence[Listed], share: float, seed: int) -> list[Listed]:
    """The clips, with a share of the training clips of each class (at least one) moved to the validation split.

    Args:
        clips: clips of train and test.
        share: share of the training clips of each class.
        seed: seed of the selection.

    """
    generator = np.random.default_rng(seed)
    result = sorted(clips)
    for label in sorted({clip.label for clip in result}):
        numbers = [number for number, clip in enumerate(result) if clip.label == label and clip.split == "train"]
        for number in generator.permutation(numbers)[: max(1, round(share * len(numbers)))]:
            result[number] = result[number]._replace(split="val")
    return result
