"""Base of the classified photographs (Food-101, ImageNet): fields, arrays, shape, fingerprint.

The caption of a row is the prompt of its class. There is no official validation split; it is drawn from the training
images, balanced by class. A data set only defines its config and `index(config) -> Classes`.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Int32, Int64
from numpy import ndarray
from pydantic import Field

from trainables.common.types import PairedData
from trainables.data.common.base import Dataset, DataShape
from trainables.data.common.raw_files import fingerprint_of_files
from trainables.data.common.splits import balanced_split
from trainables.data.image_text.base import PhotosConfig, decoded, photo_row, read_photos
from trainables.data.image_text.captioned import check_images
from trainables.data.image_text.image_arrays import ImageRow, Images, Limit, sizes_of, to_batch
from trainables.data.image_text.prompts import class_prompts, single_prompts
from trainables.data.readers.preparation import SPLITS, Split

NOT_COMPARABLE = "published zero-shot numbers are of models trained on other image-text pairs"


class ClassesConfig(PhotosConfig):
    """Config fields of classified photographs; teacher and student see images and prompts."""

    task: ClassVar[str] = "zero_shot"
    train: Limit = None
    """Training images, balanced; null: all that are not used for `val`; 0: none, for data that are only evaluated on
    (`evaluate:`)."""
    val: Annotated[int, Field(ge=0)] = 5000
    """Validation images, balanced, taken from the official training images."""
    test: Limit = None
    """Test images, balanced; null: all official ones."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the selection of images; not the trial's seed."""


class Labelled(NamedTuple):
    """One image."""

    file: str
    """Its path within the root."""
    label: int
    split: Split


class Classes(NamedTuple):
    """The content of the lists of a data set."""

    names: list[str]
    """Name of each class in the prompts."""
    train: list[tuple[str, int]]
    """Path within the root and class of every official training image."""
    test: list[tuple[str, int]]
    """Path within the root and class of every official test image."""
    files: list[Path]
    """The lists that were read."""


Index = Callable[..., Classes]


def choose(dataset: str, config: ClassesConfig, classes: Classes) -> list[Labelled]:
    """The images of each split.

    Args:
        dataset: name of the data set, for messages.
        config: the data config.
        classes: the official images.

    Raises:
        ValueError: if there are fewer images than the config needs.

    """
    official = {"train": classes.train, "test": classes.test}
    labels = {part: np.array([label for _, label in rows], dtype=np.int64) for part, rows in official.items()}
    train = len(labels["train"]) - config.val if config.train is None else config.train
    needed = {"train": max(train, 0) + config.val, "test": config.test or 0}
    for part, count in needed.items():
        if count > len(labels[part]):
            fields = "train + data.val" if part == "train" else part
            raise ValueError(
                f"{dataset}: data.{fields} asks for {count} images, but there are {len(labels[part])}; lower it"
            )
    parts = balanced_split(labels["train"], train, config.val, config.split_seed)
    test = len(labels["test"]) if config.test is None else config.test
    rows = {"train": parts["train"], "val": parts["val"]}
    rows["test"] = np.sort(balanced_split(labels["test"], test, 0, config.split_seed)["train"])
    chosen = []
    for split in SPLITS:
        listed = official["test" if split == "test" else "train"]
        chosen += [Labelled(*listed[row], split=split) for row in rows[split]]
    return chosen


def with_prompts(
    images: Images,
    rows: Sequence[ImageRow],
    labels: Int64[ndarray, " rows"],
    prompts: Int32[ndarray, "classes templates length"],
) -> PairedData:
    """Splits of the task `zero_shot`: images, the single prompt of their class, and their class.

    Args:
        images: the images that were read.
        rows: all images.
        labels: class of each of `rows`.
        prompts: token ids of every class in every template.

    """
    batches = {}
    for split, positions in images.rows.items():
        chosen = labels[positions]
        batches[split] = to_batch(images, rows, split, single_prompts(prompts, chosen), torch.from_numpy(chosen))
    return PairedData(**batches, num_classes=len(prompts), notes=images.notes, prompts=torch.from_numpy(prompts))


def classified_photos(
    name: str, version: Callable[[], int], config: type[ClassesConfig], index: Index, templates: Sequence[str]
) -> Dataset:
    """The entry in `DATASETS` of classified photographs.

    Args:
        name: name of the data set.
        version: version of the code that makes arrays from the files.
        config: its config class.
        index: reads its images and classes, in the order of the files.
        templates: sentences for a class, the single prompt first.

    """

    def read_index(config: ClassesConfig) -> tuple[Classes, list[Labelled]]:
        classes = index(config)
        images = choose(name, config, classes)
        source = ", ".join(path.name for path in classes.files)
        check_images(name, Path(config.root), [image.file for image in images], source)
        return classes, images

    def load_in(config: ClassesConfig, folder: Path) -> PairedData:
        classes, images = read_index(config)
        labels = np.array([image.label for image in images], dtype=np.int64)
        rows = [photo_row(config, image.file, image.split, number) for number, image in enumerate(images)]
        read = read_photos(name, config, rows, folder)
        return with_prompts(read, rows, labels, class_prompts(classes.names, templates, config.context_length))

    def load(config: ClassesConfig) -> PairedData:
        with tempfile.TemporaryDirectory() as folder:
            return load_in(config, Path(folder))

    def fingerprint(config: ClassesConfig) -> str:
        classes, images = read_index(config)
        root = Path(config.root)
        more = [*templates, *classes.names]
        return fingerprint_of_files(name, version(), classes.files, (root / image.file for image in images), root, more)

    def shape(config: ClassesConfig) -> DataShape:
        return shape_of(config, *read_index(config))

    return Dataset(config, load, fingerprint, shape, load_in, lambda config: NOT_COMPARABLE, decoded)


def shape_of(config: ClassesConfig, classes: Classes, images: Sequence[Labelled]) -> DataShape:
    """Shapes and sizes, read from the lists only."""
    pixels = (config.views, 3, config.size, config.size)
    return DataShape(pixels, (1, config.context_length), len(classes.names), *sizes_of(images))
