"""flickr8k and flickr30k: photographs of people and animals with five captions each.

One row of `Flickr8k.token.txt`: `1000268201_693b08cb0e.jpg`, "A child in a pink dress is climbing up a set of stairs in
an entry way ." and four more.

Under `root`, for Flickr8k: `Flicker8k_Dataset/` (so it is spelt), and either `Flickr8k.token.txt` with
`Flickr_8k.trainImages.txt`, `Flickr_8k.devImages.txt` and `Flickr_8k.testImages.txt` (6,000, 1,000 and 1,000 names), or
Karpathy's `dataset_flickr8k.json`. For Flickr30k: `flickr30k-images/`, and either `dataset_flickr30k.json` (29,000,
1,014 and 1,000), or `results_20130124.token` with Flickr30k Entities' lists `train.txt`, `val.txt` and `test.txt`.
Where both are there, the json is read.
"""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from trainables.data.common.raw_files import require_path
from trainables.data.image_text.caption_files import read_karpathy, read_lists, read_tokens
from trainables.data.image_text.captioned import Captions, CaptionsConfig, captioned_photos
from trainables.data.readers.preparation import Split

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""


class Layout(NamedTuple):
    """File names of one of the two."""

    folder: str
    karpathy: str
    tokens: str
    lists: dict[Split, str]


LAYOUTS = {
    "flickr8k": Layout(
        "Flicker8k_Dataset",
        "dataset_flickr8k.json",
        "Flickr8k.token.txt",
        {
            split: f"Flickr_8k.{part}Images.txt"
            for split, part in (("train", "train"), ("val", "dev"), ("test", "test"))
        },
    ),
    "flickr30k": Layout(
        "flickr30k-images",
        "dataset_flickr30k.json",
        "results_20130124.token",
        {split: f"{split}.txt" for split in ("train", "val", "test")},
    ),
}


class Flickr8kConfig(CaptionsConfig):
    """Flickr8k; teacher and student see images and captions."""

    dataset: Literal["flickr8k"] = "flickr8k"
    """8,000 photographs of people and dogs with five captions each."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with `Flicker8k_Dataset/` and the captions; a relative one starts at the study file's folder."""


class Flickr30kConfig(CaptionsConfig):
    """Flickr30k; teacher and student see images and captions."""

    dataset: Literal["flickr30k"] = "flickr30k"
    """31,014 photographs of people and their doings with five captions each."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with `flickr30k-images/` and the captions; a relative one starts at the study file's folder."""


def index(config: Flickr8kConfig | Flickr30kConfig) -> Captions:
    """Images and captions. Raises FileNotFoundError or ValueError."""
    name, layout = config.dataset, LAYOUTS[config.dataset]
    what = f"the folder of {name} ({layout.folder}/, {layout.karpathy} or {layout.tokens})"
    root = require_path(name, Path(config.root), what)
    if (root / layout.karpathy).exists():
        images = read_karpathy(name, root / layout.karpathy, lambda entry: layout.folder)
        return Captions(images, [root / layout.karpathy])
    require_path(name, root / layout.tokens, f"the captions ({layout.karpathy}, or {layout.tokens} with lists)")
    lists = {split: root / file for split, file in layout.lists.items()}
    captions = read_tokens(name, root / layout.tokens)
    images = read_lists(name, lists, captions, layout.folder, layout.tokens)
    return Captions(images, [root / layout.tokens, *lists.values()])


FLICKR8K = captioned_photos("flickr8k", lambda: VERSION, Flickr8kConfig, index)
FLICKR30K = captioned_photos("flickr30k", lambda: VERSION, Flickr30kConfig, index)
