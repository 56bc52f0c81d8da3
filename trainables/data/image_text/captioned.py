"""Base of the captioned photographs (COCO, Flickr8k, Flickr30k): fields, arrays, shape, fingerprint.

A data set only defines its config and `index(config) -> Captions`: its images and captions in the order of the files.
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
"""Most captions of an image that are used; a few images have more, which are left out, as usual."""

NOT_COMPARABLE = "the tables of the TE paper were not reachable, so there is nothing to compare with"


class CaptionsConfig(PhotosConfig):
    """Config fields of captioned photographs; teacher and student see images and captions."""

    task: ClassVar[str] = "retrieval"
    train: Limit = None
    """Training images, the first of the list; null: all; 0: none, for data that are only evaluated on (`evaluate:`)."""
    val: Limit = None
    """Validation images, the first of the list; null: all."""
    test: Limit = None
    """Test images, the first of the list; null: all."""


class Captions(NamedTuple):
    """The content of the caption files of a data set."""

    images: list[Captioned]
    files: list[Path]
    """The caption files and lists that were read."""


Index = Callable[..., Captions]


def read_index(dataset: str, index: Index, config: CaptionsConfig) -> tuple[list[Captioned], list[Path]]:
    """The images of the splits, after a check that their files exist, and the caption files.

    Args:
        dataset: name of the data set, for messages.
        index: function that reads the caption files.
        config: the data config.

    Raises:
        FileNotFoundError: if root, captions or images are missing.
        ValueError: if captions do not match images, or there are fewer images than the config needs.

    """
    captions = index(config)
    source = ", ".join(path.name for path in captions.files)
    check_captions(dataset, captions.images, source)
    limits = {"train": config.train, "val": config.val, "test": config.test}
    chosen: list[Captioned] = limited(dataset, limits, captions.images)
    check_images(dataset, Path(config.root), (image.file for image in chosen), source)
    return chosen, captions.files


def check_images(dataset: str, root: Path, files: Iterable[str], source: str) -> None:
    """Raise FileNotFoundError if a listed file is not on disk.

    Args:
        dataset: name of the data set, for messages.
        root: folder of the data set.
        files: paths (`folder/name`) within the root.
        source: name of the list, for messages.

    """
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
            f"example {missing[0]}; put them there, or replace the list by that of your images"
        )


def most_captions(images: list[Captioned]) -> int:
    """Largest number of captions of an image, at most `MOST`."""
    return min(MOST, max(len(image.captions) for image in images))


def captioned_photos(name: str, version: Callable[[], int], config: type[CaptionsConfig], index: Index) -> Dataset:
    """The entry in `DATASETS` of captioned photographs.

    Args:
        name: name of the data set.
        version: version of the code that makes arrays from the files.
        config: its config class.
        index: reads its images and captions, in the order of the files.

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
    """Shapes and sizes, read from the caption files only."""
    count, sizes = most_captions(images), sizes_of(images)
    return DataShape((config.views, 3, config.size, config.size), (count, config.context_length), count, *sizes)
