"""Divides the scenes of nuScenes into train, val and test."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from trainables.data.nuscenes.tables import Row

MINI = {
    "train": "scene-0061 scene-0553 scene-0655 scene-0757 scene-0796 scene-1077 scene-1094 scene-1100".split(),
    "val": "scene-0103 scene-0916".split(),
}
"""The split of v1.0-mini."""

SPLIT_FILE = "splits.json"

HASHED_VAL = 0.15
"""Share of the test scenes with `split: hash`, as in the official split."""


def scenes_of_splits(
    root: Path, version: str, split: Literal["official", "mini", "hash"], held_out: float, samples: list[Row]
) -> dict[str, set[str]]:
    """Names of the scenes of train, val and test.

    Args:
        root: folder of the data set.
        version: name of the folder of tables, for messages.
        split: source of the lists of scenes.
        held_out: share of the training scenes that become the validation split.
        samples: the samples with the names of their scenes.

    Raises:
        FileNotFoundError: if the split file is missing.
        ValueError: if a list is wrong, or a split would have no scene.

    """
    known = sorted({row["scene"] for row in samples})
    if split == "mini":
        lists = MINI
    else:
        lists = listed(root) if split == "official" else hashed(known)
    present = {name: [scene for scene in known if scene in set(lists[name])] for name in ("train", "val")}
    held = by_hash(present["train"], held_out)
    splits = {"train": set(present["train"]) - held, "val": held, "test": set(present["val"])}
    problems = [f"the {name} split has no scene" for name, scenes in splits.items() if not scenes]
    problems += [f"{scene!r} is in two lists" for scene in sorted(splits["test"] & set(present["train"]))]
    if problems:
        raise ValueError(
            f"data.split = {split!r} needs at least two training scenes and one other scene of "
            f"{version!r}, but {problems[0]}; correct {SPLIT_FILE} or write another split or version"
        )
    return splits


def listed(root: Path) -> dict[str, list[str]]:
    """The scenes listed in the split file. Raises FileNotFoundError or ValueError."""
    path = root / SPLIT_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"data.split = 'official' needs the lists of scenes in {str(path)!r}, but there is no such file; write "
            "nuscenes-devkit's create_splits_scenes() there as JSON, or use `split: mini` or `split: hash`"
        )
    try:
        lists = json.loads(path.read_text())
        return {name: [str(scene) for scene in lists[name]] for name in ("train", "val")}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(path)!r} must be JSON with lists of scene names under 'train' and 'val', but cannot be read "
            f"({error!r}); write it again"
        ) from None


def hashed(known: list[str]) -> dict[str, list[str]]:
    """Scenes divided by a hash of their names."""
    val = by_hash(known, HASHED_VAL)
    return {"train": [scene for scene in known if scene not in val], "val": sorted(val)}


def by_hash(scenes: list[str], share: float) -> set[str]:
    """About `share` of the scenes, at least one if there are two: those whose names have the lowest hashes."""
    ranked = sorted(scenes, key=lambda scene: hashlib.sha256(scene.encode()).hexdigest())
    return set(ranked[: max(1, round(share * len(ranked)))]) if len(ranked) > 1 else set()
