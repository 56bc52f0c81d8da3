"""What the captioned photographs have in common (COCO, Flickr8k, Flickr30k): fields, arrays, shape, fingerprint.

A data set brings `index(config) -> Captions`, its images and captions in the files' order; all the rest is here.
"""

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar, NamedTuple

from trainables.common.types import PairedData
from trainables.data.common.base import Dataset, DataShape
from trainables.data.common.raw_files import fingerprint_of_files, require_path
from trainables.data.image_text.base import PhotosConfig, decoded, photo_row, read_photos
from trainables.data.image_text.caption_files import Captioned, check_captions
from trainables.data.image_text.image_arrays import Limit, limited, sizes_of, with_captions

MOST = 5
"""Captions of an image; the few further ones of some images are left out, as is usual."""

NOT_COMPARABLE = "the tables of the TE paper were not reachable, so there is nothing to compare with"


class CaptionsConfig(PhotosConfig):
    """Fields of every data set of captioned photographs; teacher and student see both."""

    task: ClassVar[str] = "retrieval"
    train: Limit = None
    """Training images, the first ones of the list; null: all; 0 where nothing is trained on them (`evaluate:`)."""
    val: Limit = None
    """Validation images, likewise."""
    test: Limit = None
    """Test images, likewise."""


class Captions(NamedTuple):
    """What the caption files of a data set say."""

    images: list[Captioned]
    files: list[Path]
    """The caption files and lists that were read."""


Index = Callable[..., Captions]


def read_index(dataset: str, index: Index, config: CaptionsConfig) -> tuple[list[Captioned], list[Path]]:
    """The images of the config's splits, all of them on disk, and the files that say so.

    Raises:
        FileNotFoundError: if root, captions or images are missing.
        ValueError: if captions do not match images, or there are fewer images than asked for.

    """
    found = index(config)
    named = ", ".join(path.name for path in found.files)
    check_captions(dataset, found.images, named)
    limits = {"train": config.train, "val": config.val, "test": config.test}
    chosen: list[Captioned] = limited(dataset, limits, found.images)
    check_images(dataset, Path(config.root), (image.file for image in chosen), named)
    return chosen, found.files


def check_images(dataset: str, root: Path, files: Iterable[str], source: str) -> None:
    """Raises FileNotFoundError if a listed file (`folder/name`) is not in its folder."""
    listed = list(files)
    folders = sorted({file.rpartition("/")[0] for file in listed})
    there = {
        f"{folder}/{entry.name}"
        for folder in folders
        for entry in os.scandir(require_path(dataset, root / folder, "the folder of images"))
    }
    missing = [file for file in listed if file not in there]
    if missing:
        raise FileNotFoundError(
            f"{dataset}: {len(missing)} of {len(listed)} images named in {source} are not in {str(root)!r}, for "
            f"example {missing[0]}; put them there, or the caption file that belongs to the images"
        )


def most_captions(images: list[Captioned]) -> int:
    """The most captions that an image has, of those that are taken."""
    return min(MOST, max(len(image.captions) for image in images))


def captioned_photos(name: str, version: Callable[[], int], config: type[CaptionsConfig], index: Index) -> Dataset:
    """The line of `DATASETS` of captioned photographs.

    Args:
        name: of the data set.
        version: of the code that makes arrays from the files.
        config: its fields.
        index: its images and captions, in the files' order.

    """

    def load_in(config: CaptionsConfig, folder: Path) -> PairedData:
        images, _ = read_index(name, index, config)
        rows = [photo_row(config, image.file, image.split, number) for number, image in enumerate(images)]
        read = read_photos(name, config, rows, folder)
        captions = [image.captions for image in images]
        return with_captions(read, rows, captions, most_captions(images), config.context_length)

    def load(config: CaptionsConfig) -> PairedData:
        with tempfile.TemporaryDirectory() as folder:
            return load_in(config, Path(folder))

    def fingerprint(config: CaptionsConfig) -> str:
        images, files = read_index(name, index, config)
        root = Path(config.root)
        return fingerprint_of_files(name, version(), files, (root / image.file for image in images), root)

    def shape(config: CaptionsConfig) -> DataShape:
        return shape_of(config, read_index(name, index, config)[0])

    return Dataset(config, load, fingerprint, shape, load_in, lambda config: NOT_COMPARABLE, decoded)


def shape_of(config: CaptionsConfig, images: list[Captioned]) -> DataShape:
    """Sizes from the caption files alone."""
    count, sizes = most_captions(images), sizes_of(images)
    return DataShape((config.views, 3, config.size, config.size), (count, config.context_length), count, *sizes)
