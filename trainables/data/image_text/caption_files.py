"""Reads caption files: Karpathy's json, Flickr's token files, COCO's annotations.

dataset_coco.json      {"images": [{"filepath": "val2014", "filename": "COCO_val2014_000000522418.jpg",
"split": "restval", "sentences": [{"raw": "A woman wearing a net on her head ..."}, ...]}]}
Flickr8k.token.txt     1000268201_693b08cb0e.jpg#0<tab>A child in a pink dress is climbing up a set of stairs ...
captions_val2014.json  {"images": [{"id": 203564, "file_name": "COCO_val2014_000000203564.jpg"}],
"annotations": [{"image_id": 203564, "id": 37, "caption": "A bicycle replica ..."}]}
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trainables.data.common.raw_files import require_path
from trainables.data.readers.preparation import Split

KARPATHY_SPLITS: dict[str, Split] = {"train": "train", "restval": "train", "val": "val", "test": "test"}


class Captioned(NamedTuple):
    """One image of a caption file."""

    file: str
    """Its path within the root."""
    captions: tuple[str, ...]
    split: Split


def read_karpathy(dataset: str, path: Path, folder: Callable[[Mapping[str, Any]], str]) -> list[Captioned]:
    """Every image of one of Karpathy's files, in the order of the file.

    Args:
        dataset: name of the data set, for messages.
        path: the file.
        folder: returns the folder, within the root, of an entry's image.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not of this form.

    """
    try:
        return [
            Captioned(
                f"{folder(entry)}/{entry['filename']}",
                filled(sentence["raw"] for sentence in entry["sentences"]),
                KARPATHY_SPLITS[entry["split"]],
            )
            for entry in read_json(dataset, path)["images"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{dataset}: {str(path)!r} must be Karpathy's file (images with filename, split and sentences with raw), "
            f"but {error!r} is missing or wrong; restore it"
        ) from None


def read_json(dataset: str, path: Path) -> Any:
    """The content of a json file. Raises FileNotFoundError or ValueError."""
    require_path(dataset, path, "the captions")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{dataset}: {str(path)!r} must be json, but cannot be read ({error}); restore it") from None


def read_annotations(dataset: str, path: Path) -> dict[str, tuple[str, ...]]:
    """The captions of each file name in one of COCO's annotation files; images and captions are ordered by id."""
    whole = read_json(dataset, path)
    try:
        by_id: dict[int, list[str]] = {image["id"]: [] for image in sorted(whole["images"], key=lambda one: one["id"])}
        for annotation in sorted(whole["annotations"], key=lambda one: one["id"]):
            by_id[annotation["image_id"]].append(annotation["caption"])
        name_of = {image["id"]: image["file_name"] for image in whole["images"]}
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{dataset}: {str(path)!r} must be COCO's annotations (images with id and file_name, annotations with id, "
            f"image_id and caption), but {error!r} is missing or wrong; restore it"
        ) from None
    return {name_of[number]: filled(captions) for number, captions in by_id.items()}


def read_tokens(dataset: str, path: Path) -> dict[str, tuple[str, ...]]:
    """The captions of each file name in one of Flickr's token files, ordered by number. Raises ValueError."""
    require_path(dataset, path, "the captions")
    numbered: dict[str, list[tuple[int, str]]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        key, tab, caption = line.partition("\t")
        name, mark, which = key.rpartition("#")
        if not (tab and mark and which.strip().isdigit()):
            raise ValueError(
                f"{dataset}: line {number} of {str(path)!r} must be `name.jpg#0<tab>caption`, but got {line[:60]!r}; "
                "restore the file"
            )
        numbered.setdefault(name, []).append((int(which), caption))
    return {name: filled(caption for _, caption in sorted(pairs)) for name, pairs in numbered.items()}


def read_lists(
    dataset: str, lists: Mapping[Split, Path], captions: Mapping[str, tuple[str, ...]], folder: str, source: str
) -> list[Captioned]:
    """The images listed for each split, one name on each line (with or without `.jpg`).

    Args:
        dataset: name of the data set, for messages.
        lists: the list of each split.
        captions: the captions of each file name.
        folder: folder of the images within the root.
        source: name of the caption file, for messages.

    Raises:
        FileNotFoundError: if a list is missing.
        ValueError: if an image has no caption, or is in two lists.

    """
    images: dict[str, Captioned] = {}
    for split, path in lists.items():
        require_path(dataset, path, f"the list of {split} images")
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        names = [name if name.endswith(".jpg") else f"{name}.jpg" for name in names]
        without = [name for name in names if not captions.get(name)]
        if without:
            raise ValueError(
                f"{dataset}: {len(without)} of {len(names)} images of {path.name!r} have no caption in {source!r}, for "
                f"example {without[0]}; the two files do not belong together: restore them"
            )
        for name in names:
            if name in images:
                raise ValueError(f"{dataset}: {name} is listed twice, the second time in {path.name!r}; restore it")
            images[name] = Captioned(f"{folder}/{name}", captions[name], split)
    return list(images.values())


def filled(captions: Any) -> tuple[str, ...]:
    """The captions that are not empty, without surrounding spaces."""
    return tuple(text for caption in captions if (text := caption.strip()))


def check_captions(dataset: str, images: Sequence[Captioned], source: str) -> None:
    """Raise ValueError if an image has no caption; `source` names the caption file in the message."""
    without = [image.file for image in images if not image.captions]
    if without:
        raise ValueError(
            f"{dataset}: {len(without)} of {len(images)} images of {source!r} have no caption, for example {without[0]}"
            "; restore the file"
        )
