"""Reads ImageNet's files: the list of classes, and the classes of the validation images.

LOC_synset_mapping.txt       n01440764 tench, Tinca tinca
LOC_val_solution.csv         ILSVRC2012_val_00048981,n03995372 85 1 499 272
ILSVRC2012_validation_ground_truth.txt    490          (an ILSVRC2012_ID of meta.mat, for each image in turn)
"""

import os
from collections.abc import Mapping
from pathlib import Path

from trainables.data.common.raw_files import read_csv, require_path

SOLUTION = "LOC_val_solution.csv"
DEVKIT = "ILSVRC2012_devkit_t12/data"
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
VAL_NAME = "ILSVRC2012_val_{:08d}"


def read_classes(path: Path) -> dict[str, str]:
    """The name of each class (its first synonym) by wnid, in the order of the file. Raises ValueError."""
    require_path("imagenet", path, "the list of classes (a line each: `n01440764 tench, Tinca tinca`)")
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        wnid, _, names = line.strip().replace("\t", " ").partition(" ")
        if not (wnid[:1] == "n" and wnid[1:].isdigit() and names.strip()) or wnid in found:
            raise ValueError(
                f"imagenet: line {number} of {str(path)!r} must be a wnid and its name, each once, as in `n01440764 "
                f"tench, Tinca tinca`, but got {line[:60]!r}; correct the line"
            )
        found[wnid] = names.split(",")[0].strip()
    return found


def class_folders(folder: Path, classes: Mapping[str, str], dataset_path: str) -> list[tuple[str, int]]:
    """Path within the root and class of every image in `folder/<wnid>/`. Raises FileNotFoundError."""
    found = []
    for label, wnid in enumerate(classes):
        require_path("imagenet", folder / wnid, f"a folder of images for each class of the list in {dataset_path}/")
        names = sorted(
            entry.name for entry in os.scandir(folder / wnid) if entry.name.lower().endswith((".jpeg", ".jpg"))
        )
        found += [(f"{dataset_path}/{wnid}/{name}", label) for name in names]
    return found


def validation_images(root: Path, classes: Mapping[str, str]) -> tuple[list[tuple[str, int]], list[Path]]:
    """Path within the root and class of every validation image, and the files with their classes.

    The images are in `val/<wnid>/`, or all in `val/` with a separate file of their classes.

    Raises:
        FileNotFoundError: if the images or the file of their classes are missing.
        ValueError: if that file is wrong.

    """
    folder = require_path("imagenet", root / "val", "the folder of validation images")
    if any((folder / wnid).is_dir() for wnid in classes):
        return class_folders(folder, classes, "val"), []
    label_of = {wnid: label for label, wnid in enumerate(classes)}
    if (root / SOLUTION).exists():
        wnids, files = read_solution(root / SOLUTION), [root / SOLUTION]
    else:
        place = root / DEVKIT
        what = f"the classes of the validation images ({SOLUTION}, {DEVKIT}/{TRUTH}, or folders val/<wnid>/)"
        require_path("imagenet", place / TRUTH, what)
        wnids, files = read_ground_truth(place), [place / TRUTH, place / META]
    unknown = [name for name, wnid in wnids.items() if wnid not in label_of]
    if unknown:
        raise ValueError(
            f"imagenet: {unknown[0]} is of class {wnids[unknown[0]]}, which is not in the list of classes; "
            "complete the list, or put the images into folders val/<wnid>/"
        )
    return [(f"val/{name}.JPEG", label_of[wnid]) for name, wnid in sorted(wnids.items())], files


def read_solution(path: Path) -> dict[str, str]:
    """The wnid of each image, read from Kaggle's file."""
    lines = read_csv("imagenet", path, 2, "an image and its class", header=True)
    return {image: boxes.split()[0] for _, (image, boxes, *_) in lines if boxes.strip()}


def read_ground_truth(folder: Path) -> dict[str, str]:
    """The wnid of each image, read from the development kit. Raises FileNotFoundError or ValueError."""
    wnid_of = read_meta(require_path("imagenet", folder / META, "the classes of the development kit"))
    numbers = (folder / TRUTH).read_text(encoding="utf-8").split()
    wrong = [number for number in numbers if not number.isdigit() or int(number) not in wnid_of]
    if wrong:
        raise ValueError(
            f"imagenet: {TRUTH} must contain ILSVRC2012_IDs of {META}, but contains {wrong[0]!r}; restore both files"
        )
    return {VAL_NAME.format(place): wnid_of[int(number)] for place, number in enumerate(numbers, start=1)}


def read_meta(path: Path) -> dict[int, str]:
    """The wnid of each ILSVRC2012_ID, read from meta.mat. Raises ValueError if the file is wrong."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        synsets = loadmat(path, squeeze_me=True)["synsets"]
        return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
    except (MatReadError, KeyError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise ValueError(
            f"imagenet: {str(path)!r} must be the development kit's list of classes, but is not ({error}); restore it"
        ) from None
