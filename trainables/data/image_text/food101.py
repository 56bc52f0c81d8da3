"""food101: Food-101, photographs of 101 dishes.

One line of `meta/train.txt`: `apple_pie/1005649`, the file `images/apple_pie/1005649.jpg`, class 0, the prompt "a photo
of apple pie, a type of food.".

Under `root`, the unpacked `food-101/`: `images/<class>/<id>.jpg` (101,000), `meta/classes.txt` (a class a line),
`meta/train.txt` (75,750) and `meta/test.txt` (25,250), or the json twins of the last two.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from trainables.data.common.raw_files import require_path
from trainables.data.image_text.caption_files import read_json
from trainables.data.image_text.classified import Classes, ClassesConfig, classified_photos
from trainables.data.image_text.prompts import FOOD

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""


class Food101Config(ClassesConfig):
    """Food-101; teacher and student see photographs and prompts."""

    dataset: Literal["food101"] = "food101"
    """Photographs of 101 dishes, classified by prompts."""
    root: Annotated[str, Field(min_length=1)]
    """The unpacked `food-101/`, with `images/` and `meta/`; a relative one starts at the study file's folder."""


def index(config: Food101Config) -> Classes:
    """Images and classes. Raises FileNotFoundError or ValueError."""
    root = require_path("food101", Path(config.root), "the unpacked folder food-101 (images/ and meta/)")
    path = require_path("food101", root / "meta" / "classes.txt", "the list of classes")
    classes = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    place = {name: number for number, name in enumerate(classes)}
    parts, files = {}, [path]
    for part in ("train", "test"):
        listed, read = read_list(root / "meta", part)
        files.append(read)
        unknown = [image for image in listed if image.partition("/")[0] not in place]
        if unknown:
            raise ValueError(
                f"food101: {read.name} lists {unknown[0]!r}, which is of none of the {len(classes)} classes of "
                "classes.txt; restore both files"
            )
        parts[part] = [(f"images/{image}.jpg", place[image.partition("/")[0]]) for image in listed]
    return Classes([name.replace("_", " ") for name in classes], parts["train"], parts["test"], files)


def read_list(meta: Path, part: str) -> tuple[list[str], Path]:
    """The `class/id` of a part, from its text file or its json twin ({class: [class/id, ...]})."""
    text, twin = meta / f"{part}.txt", meta / f"{part}.json"
    if not text.exists() and twin.exists():
        by_class = read_json("food101", twin)
        return [image for name in sorted(by_class) for image in by_class[name]], twin
    require_path("food101", text, f"the list of {part} images")
    return [line.strip() for line in text.read_text(encoding="utf-8-sig").splitlines() if line.strip()], text


FOOD101 = classified_photos("food101", lambda: VERSION, Food101Config, index, FOOD)
