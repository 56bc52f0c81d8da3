"""Caption files: Karpathy's json, Flickr's token files, COCO's annotations.

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
    """Every image of one of Karpathy's files, in its order.

    Args:
        dataset: for messages.
        path: the file.
        folder: the folder, within the root, of an image's entry.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is something else.

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
    """A json file. Raises FileNotFoundError or ValueError."""
    require_path(dataset, path, "the captions")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{dataset}: {str(path)!r} is no json file ({error}); restore it") from None


def read_annotations(dataset: str, path: Path) -> dict[str, tuple[str, ...]]:
    """The captions of each file name in one of COCO's annotation files, images by id, captions by theirs."""
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
    """The captions of each file name in one of Flickr's files, by their number. Raises ValueError."""
    require_path(dataset, path, "the captions")
    found: dict[str, list[tuple[int, str]]] = {}
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
        found.setdefault(name, []).append((int(which), caption))
    return {name: filled(caption for _, caption in sorted(own)) for name, own in found.items()}


def read_lists(
    dataset: str, lists: Mapping[Split, Path], captions: Mapping[str, tuple[str, ...]], folder: str, source: str
) -> list[Captioned]:
    """The images that are listed for each split, one name a line (with or without `.jpg`).

    Raises:
        FileNotFoundError: if a list is missing.
        ValueError: if an image has no caption, or is in two lists.

    """
    found: dict[str, Captioned] = {}
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
            if name in found:
                raise ValueError(f"{dataset}: {name} is listed twice, the second time in {path.name!r}; restore it")
            found[name] = Captioned(f"{folder}/{name}", captions[name], split)
    return list(found.values())


def filled(captions: Any) -> tuple[str, ...]:
    """The captions that hold more than spaces, without spaces around them."""
    return tuple(text for caption in captions if (text := caption.strip()))


def check_captions(dataset: str, images: Sequence[Captioned], source: str) -> None:
    """Raises ValueError if there is no image in a split, or one without a caption."""
    without = [image.file for image in images if not image.captions]
    if without:
        raise ValueError(
            f"{dataset}: {len(without)} of {len(images)} images of {source!r} have no caption, for example {without[0]}"
            "; restore the file"
        )
