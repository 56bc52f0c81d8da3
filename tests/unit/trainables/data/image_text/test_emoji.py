"""emoji: bases and splits, captions, pictures in both styles, missing packages, broken pictures."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.unit.trainables.data.image_text.test_captioned import words
from trainables.common.types import PairedData
from trainables.data import DATASETS
from trainables.data.image_text import emoji, emoji_names
from trainables.data.image_text.emoji import EmojiConfig
from trainables.data.image_text.emoji_names import base_of, captions_of, code, every_emoji, is_toned, pictures
from trainables.data.image_text.emoji_pictures import open_picture

SMALL: dict[str, Any] = {"skin_tones": "none", "train": 20, "val": 0.01, "test": 0.01, "size": 24}


def config_of(**changes: Any) -> EmojiConfig:
    return EmojiConfig(**{**SMALL, **changes})


@cache
def load(**changes: Any) -> PairedData:
    return emoji.load(config_of(**changes))


SAME_BASE = (
    ("👩🏽‍🚀", "🧑‍🚀", "👨🏿‍🚀"),
    ("🏃", "🏃‍♀️", "🏃🏾‍♂️‍➡️"),
    ("🎅", "🤶🏿", "🧑‍🎄"),
    ("👫", "👬", "👭🏽", "🧑‍🤝‍🧑", "👩🏻‍🤝‍👨🏿"),
    ("💏", "👨‍❤️‍💋‍👨", "🧑🏻‍❤️‍💋‍🧑🏿"),
    ("👪", "👨‍👩‍👧‍👦", "🧑‍🧒", "👩‍👦"),
    ("👸", "🤴🏿", "🫅"),
    ("🤝", "🫱🏻‍🫲🏿"),
    ("👴", "👵🏿", "🧓"),
    ("🇫🇷", "🇨🇵", "🇲🇫"),
    ("🕺", "💃🏿"),
)


@pytest.mark.parametrize("same", SAME_BASE)
def test_variants_have_one_base(same: tuple[str, ...]) -> None:
    assert len({base_of(text) for text in same}) == 1


def test_other_things_have_other_bases() -> None:
    different = "🏃 🚶 🧑 🧒 🧓 👶 🧑‍🚀 🧑‍🚒 👪 🧑‍🎄 ♀️ ➡️ 🏻 🇫🇷 🇮🇹 💃 🤝 💏 💑 👭 👯 🤼".split()
    assert len({base_of(text) for text in different}) == len(different)


def test_a_tone_makes_a_variant_and_a_name_without_it_has_the_same_base() -> None:
    """By the names: an emoji whose name differs from another only by skin tones has the same base."""
    by_name: dict[str, set[Any]] = {}
    for one in every_emoji():
        name = emoji_names.names("en")[one.text][0].strip(":")
        assert one.toned == ("skin_tone" in name and one.text not in "🏻🏼🏽🏾🏿"), name
        for tone in ("medium-light", "medium-dark", "light", "dark", "medium"):
            name = name.replace(f"_{tone}_skin_tone", "")
        for prefix in ("man_", "woman_", "person_", "men_", "women_", "people_"):
            name = name.removeprefix(prefix)
        by_name.setdefault(name, set()).add(one.base)
    assert {name for name, bases in by_name.items() if len(bases) > 1} == set()


def test_there_are_as_many_as_the_document_says() -> None:
    everyone = every_emoji()
    assert len(everyone) == 3944 and sum(not one.toned for one in everyone) == 1914
    assert len({one.base for one in everyone}) == 1686
    assert is_toned("👍🏽") and not is_toned("👍") and not is_toned("🏽")


@pytest.mark.parametrize("tones", ["none", "train", "all"])
def test_no_base_is_in_two_splits_and_both_styles_have_the_same_rows(tones: str) -> None:
    chosen = {"skin_tones": tones, "train": None, "val": 0.15, "test": 0.15}
    rows = {style: emoji.rows_of(config_of(style=style, **chosen)) for style in ("twemoji", "openmoji")}
    places = {style: [(row.name, row.split, row.number) for row in own] for style, own in rows.items()}
    assert places["twemoji"] == places["openmoji"]
    bases = {
        split: {base_of(row.name) for row in rows["twemoji"] if row.split == split}
        for split in ("train", "val", "test")
    }
    assert sum(len(own) for own in bases.values()) == len(set.union(*bases.values())) == 1686
    assert len(bases["val"]) == len(bases["test"]) == round(0.15 * 1686)
    toned = {row.split for row in rows["twemoji"] if is_toned(row.name)}
    assert toned == {"none": set(), "train": {"train"}, "all": {"train", "val", "test"}}[tones]
    other = emoji.rows_of(config_of(**chosen, split_seed=1))
    assert [row.name for row in other if row.split == "test"] != [
        row[0] for row in places["twemoji"] if row[1] == "test"
    ]


def test_no_picture_is_in_two_splits() -> None:
    """Flags that look the same in a style have one base."""
    for style in ("twemoji", "openmoji"):
        bases: dict[bytes, set[Any]] = {}
        for one in every_emoji():
            bases.setdefault(pictures(style)[code(one.text)].read_bytes(), set()).add(one.base)
        assert max(len(own) for own in bases.values()) == 1


def test_captions_are_names_then_aliases_each_once() -> None:
    assert captions_of("🍹", ["en"]) == ("tropical drink",)
    assert captions_of("🏋️", ["en"]) == ("person lifting weights", "weight lifting", "weight lifter")
    assert captions_of("🏋️", ["de", "en"])[1:] == captions_of("🏋️", ["en"])
    assert captions_of("🍹", ["en", "de", "fr"]) == ("tropical drink", "cocktail", "cocktail tropical")
    assert captions_of("🇦🇫", ["en"]) == ("Afghanistan", "flag for Afghanistan"), "capitals make no other caption"


def test_captions_may_name_the_subgroup() -> None:
    shark, lifter, ballet_dancer = "🦈", "🏋🏽‍♀️", "🧑‍🩰"
    assert captions_of(shark, ["en", "de"], True) == ("shark, animal marine", "hai, animal marine")
    assert {caption.rpartition(", ")[2] for caption in captions_of(lifter, ["en"], True)} == {"person sport"}
    assert captions_of(ballet_dancer, ["en"], True) == captions_of(ballet_dancer, ["en"]), "newer than the package"
    everyone = [one for one in every_emoji() if not one.toned]
    assert sum(code(one.text) not in emoji_names.subgroups() for one in everyone) == 16


def test_a_row_has_its_emojis_picture_and_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["🟥", "🍹", "🏋️", "🐇", "🏠"]
    few = tuple(one for one in every_emoji() if one.text in texts)
    monkeypatch.setattr(emoji, "every_emoji", lambda: few)
    data = emoji.load(config_of(train=None, views=1, val=0.2, test=0.2))
    images, captions, labels, _, index = (
        torch.cat(parts) for parts in zip(data.train, data.val, data.test, strict=True)
    )
    red, drink, lifter = (index.tolist().index([one.text for one in few].index(text)) for text in texts[:3])
    assert images[red, 0, :, 12, 12].tolist() == [221, 46, 68], "Twemoji's red, #dd2e44"
    assert images[drink, 0, :, 0, 0].tolist() == [255, 255, 255], "over white"
    assert words(captions[red, 0]) == "red square" and not captions[red, 1:].any()
    assert labels[red].tolist() == [True, False, False] and labels[lifter].tolist() == [True] * 3


def test_openmojis_red_square_is_drawn_in_its_own_red() -> None:
    drawn = open_picture(pictures("openmoji")[code("🟥")], 72)
    assert drawn.size == (72, 72) and drawn.getpixel((36, 36)) == (210, 47, 39), "OpenMoji's red, #d22f27"
    assert drawn.getpixel((0, 0)) == (255, 255, 255)


def test_views_are_the_picture_and_variations_of_it() -> None:
    data = load(views=4)
    assert data.train.teacher.shape == (20, 4, 3, 24, 24) and data.val.teacher.shape[1] == 1
    views = data.train.teacher.double()
    assert torch.equal(data.train.teacher[:, 0], load(views=1).train.teacher[:, 0])
    assert all(len({view.numpy().tobytes() for view in row}) == 4 for row in data.train.teacher)
    distance = (views[:, 1:] - views[:, :1]).abs().mean(dim=(2, 3, 4))
    assert 0 < distance.min() and distance.mean() < (views[:, 0] - views.roll(1, 0)[:, 0]).abs().mean()
    assert torch.equal(load(views=2).train.teacher[:, :2], data.train.teacher[:, :2]), "more views add to the same"
    assert not torch.equal(load(views=4, view_seed=1).train.teacher, data.train.teacher)


def test_fewer_training_pictures_are_the_first_of_the_same_order() -> None:
    few, many = load(train=10), load()
    assert torch.equal(few.train.indices, many.train.indices[:10]) and torch.equal(few.test.indices, many.test.indices)


def test_the_shape_is_known_without_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emoji, "read_emoji_views", None)
    shape = emoji.shape(EmojiConfig())
    assert shape == ((5, 3, 40, 40), (4, 16), 4, 2724, 290, 280)
    assert emoji.shape(EmojiConfig(captions=2)).student == (2, 16)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(emoji_names.PACKAGES, "resvg-py", "no_such_module")
    for ask in (emoji.shape, emoji.fingerprint, emoji.load):
        with pytest.raises(
            FileNotFoundError, match=r"resvg-py cannot be imported; .*pip install 'distillation-study\[emoji\]'"
        ):
            ask(config_of())


def test_the_fingerprint_follows_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    before = emoji.fingerprint(config_of())
    assert before == emoji.fingerprint(config_of(style="openmoji"))
    monkeypatch.setattr(emoji_names.metadata, "version", lambda name: "99")
    assert emoji.fingerprint(config_of()) != before


@pytest.mark.parametrize("style", ["twemoji", "openmoji"])
def test_a_picture_that_cannot_be_decoded_is_named(style: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = emoji.rows_of(config_of())[0].name
    broken = tmp_path / f"broken{pictures(style)[code(text)].suffix}"
    broken.write_bytes(b"<svg no picture")
    monkeypatch.setattr(emoji, "pictures", lambda style: {**pictures(style), code(text): broken})
    with pytest.raises(ValueError, match=f"emoji: {text} cannot be read") as error:
        emoji.load(config_of(style=style))
    assert "\n" not in str(error.value) and "skip_bad" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"languages": ["en", "xx"]}, "'en', 'es', 'ja'"),
        ({"languages": []}, "at least 1"),
        ({"style": "noto"}, "'twemoji' or 'openmoji'"),
        ({"val": 0.6, "test": 0.5}, r"val \+ test must be at most 0.9, but got 0.6 \+ 0.5 = 1.1; lower one of them"),
        ({"context_length": 2}, "greater than or equal to 3"),
    ],
)
def test_a_wrong_config_is_refused_with_its_remedy(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EmojiConfig(**values)


def test_more_training_pictures_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"emoji: data\.train asks for 9999 images, but there are \d+; lower it"):
        emoji.shape(config_of(train=9999))


def test_the_first_view_does_not_depend_on_the_style_of_numbers() -> None:
    """uint8 from the files, as the loop expects it of pictures."""
    data = load()
    assert data.train.teacher.dtype == torch.uint8 and data.train.student.dtype == torch.int32
    assert data.train.labels.dtype == torch.bool and np.asarray(data.train.indices).max() < 3944
    assert DATASETS["emoji"].not_comparable(config_of())
