"""imagenet: ImageNet-1k (ILSVRC 2012), photographs of 1,000 kinds of things.

One row, `train/n01440764/n01440764_10026.JPEG`: class 0, the prompt "a photo of a tench.".

Under `root`: `train/<wnid>/*.JPEG` (1,281,167; not needed for `train: 0, val: 0`), `val/` (50,000) with a folder for
each class, or flat (`ILSVRC2012_val_00000001.JPEG`) with `LOC_val_solution.csv` or the development kit
`ILSVRC2012_devkit_t12/`, and the list of classes. The official validation images are the test split here.

At 224 pixels the training images take 193 GB when prepared, once more while they are stored. Where the disk is smaller
they are decoded while training.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from trainables.data.common.raw_files import require_path
from trainables.data.image_text.classified import Classes, ClassesConfig, classified_photos
from trainables.data.image_text.imagenet_files import class_folders, read_classes, validation_images
from trainables.data.image_text.prompts import PHOTOS

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""


class ImageNetConfig(ClassesConfig):
    """ImageNet-1k; teacher and student see photographs and prompts."""

    dataset: Literal["imagenet"] = "imagenet"
    """Photographs of 1,000 kinds of things, classified by prompts."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with `train/`, `val/` and the list of classes; a relative one starts at the study file's folder."""
    class_list: Annotated[str, Field(min_length=1)] = "LOC_synset_mapping.txt"
    """File in `root` with a class on each line, `n01440764 tench, Tinca tinca`: the first name is the prompt's. Fewer
    classes than 1,000 make a smaller data set, if `val/` has a folder for each."""


def index(config: ImageNetConfig) -> Classes:
    """Images and classes. Raises FileNotFoundError or ValueError."""
    root = require_path("imagenet", Path(config.root), "the folder of ImageNet-1k (train/, val/ and a list of classes)")
    classes = read_classes(root / config.class_list)
    test, files = validation_images(root, classes)
    train = [] if (config.train, config.val) == (0, 0) else class_folders(root / "train", classes, "train")
    return Classes(list(classes.values()), train, test, [root / config.class_list, *files])


IMAGENET = classified_photos("imagenet", lambda: VERSION, ImageNetConfig, index, PHOTOS)
