"""coco: COCO 2014, photographs of everyday scenes with five captions each.

One row of `annotations/captions_val2014.json`, image 203564: `val2014/COCO_val2014_000000203564.jpg`, "A bicycle
replica with a clock as the front wheel." and four more.

Under `root`: `train2014/` (82,783 jpg), `val2014/` (40,504 jpg), and for `splits: karpathy` the file
`dataset_coco.json` (113,287 images of train and restval, 5,000 of val, 5,000 of test); for `splits: official`
`annotations/captions_train2014.json` and `annotations/captions_val2014.json`, whose images by ascending id are the
validation split (first half) and the test split, since the official test images have no captions.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from trainables.data.common.raw_files import require_path
from trainables.data.image_text.caption_files import Captioned, read_annotations, read_karpathy
from trainables.data.image_text.captioned import Captions, CaptionsConfig, captioned_photos

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""

KARPATHY = "dataset_coco.json"


class COCOConfig(CaptionsConfig):
    """COCO 2014; teacher and student see images and captions."""

    dataset: Literal["coco"] = "coco"
    """Photographs of everyday scenes with five captions each."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with `train2014/`, `val2014/` and the captions; a relative one starts at the study file's folder."""
    splits: Literal["karpathy", "official"] = "karpathy"
    """Whose splits: those of `dataset_coco.json`, or train2014 and the halves of val2014 of `annotations/`."""


def index(config: COCOConfig) -> Captions:
    """Images and captions. Raises FileNotFoundError or ValueError."""
    root = require_path(
        "coco", Path(config.root), f"the folder of COCO 2014 (train2014/, val2014/, {KARPATHY} or annotations/)"
    )
    if config.splits == "karpathy":
        images = read_karpathy("coco", root / KARPATHY, lambda entry: entry["filepath"])
        return Captions(images, [root / KARPATHY])
    files = {part: root / "annotations" / f"captions_{part}.json" for part in ("train2014", "val2014")}
    parts = {part: read_annotations("coco", path) for part, path in files.items()}
    images = [Captioned(f"train2014/{name}", captions, "train") for name, captions in parts["train2014"].items()]
    for number, (name, captions) in enumerate(parts["val2014"].items()):
        split = "val" if number < len(parts["val2014"]) // 2 else "test"
        images.append(Captioned(f"val2014/{name}", captions, split))
    return Captions(images, list(files.values()))


COCO = captioned_photos("coco", lambda: VERSION, COCOConfig, index)
