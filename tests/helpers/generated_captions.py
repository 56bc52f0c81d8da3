"""Tiny copies of COCO 2014, Flickr8k and 30k, Food-101 and ImageNet in their official layouts, with real jpeg files.

A picture is a ramp of red from left to right and of green from top to bottom; blue encodes its number. Captions name
the number, and image 1 has a sixth caption.
"""

import json
from pathlib import Path

import numpy as np

SIZE = (40, 48)
"""Height and width."""
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
WNIDS = {
    "n01440764": "tench, Tinca tinca",
    "n02084071": "dog, domestic dog, Canis familiaris",
    "n03995372": "power drill",
}


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """The pixels of a file, except for jpeg's losses."""
    height, width = size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 250, width)
    pixels[..., 1] = np.linspace(0, 250, height)[:, None]
    pixels[..., 2] = 20 * number
    return pixels


def write_photo(path: Path, number: int) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    size = SIZE if number % 2 == 0 else SIZE[::-1]
    Image.fromarray(picture(number, size)).save(path, quality=95, subsampling=0)


def sentences(number: int) -> list[str]:
    count = 6 if number == 1 else 5
    return [f"Picture number {NUMBERS[number]}, caption {NUMBERS[place]}." for place in range(count)]


def karpathy(path: Path, entries: list[tuple[str, dict[str, str]]]) -> None:
    images = []
    for number, (split, place) in enumerate(entries):
        raw = [{"tokens": text.lower().split(), "raw": text, "imgid": number} for text in sentences(number)]
        images.append({**place, "split": split, "imgid": number, "sentences": raw})
    path.write_text(json.dumps({"images": images, "dataset": "made up"}))


def coco(path: Path) -> None:
    """Images 0 to 5 in train2014, 6 to 11 in val2014, of which 6 and 7 are restval, 8 and 9 val, 10 and 11 test."""
    entries, annotations = [], {part: {"images": [], "annotations": []} for part in ("train2014", "val2014")}
    for number in range(12):
        part = "train2014" if number < 6 else "val2014"
        name = f"COCO_{part}_{number:012d}.jpg"
        write_photo(path / part / name, number)
        split = ("restval", "val", "test")[(number - 6) // 2] if number >= 6 else "train"
        entries.append((split, {"filepath": part, "filename": name}))
        annotations[part]["images"].append({"id": number, "file_name": name})
        for which, text in reversed(list(enumerate(sentences(number)))):
            about = {"image_id": number, "id": 100 * number + which, "caption": f"{text}\n"}
            annotations[part]["annotations"].append(about)
    karpathy(path / "dataset_coco.json", entries)
    (path / "annotations").mkdir()
    for part, whole in annotations.items():
        (path / "annotations" / f"captions_{part}.json").write_text(json.dumps(whole))


def write_tokens(path: Path, names: list[str]) -> None:
    lines = [
        f"{name}#{which}\t{text}" for number, name in enumerate(names) for which, text in enumerate(sentences(number))
    ]
    path.write_text("\n".join([*lines, "not_there.jpg#0\tA picture that is in no list ."]) + "\n")


def flickr8k(path: Path) -> None:
    """Token file and lists: images 0 to 7 train, 8 and 9 dev, 10 and 11 test."""
    names = [f"{1000 + number}_abc.jpg" for number in range(12)]
    for number, name in enumerate(names):
        write_photo(path / "Flicker8k_Dataset" / name, number)
    write_tokens(path / "Flickr8k.token.txt", names)
    for part, own in (("train", names[:8]), ("dev", names[8:10]), ("test", names[10:])):
        (path / f"Flickr_8k.{part}Images.txt").write_text("\n".join(own) + "\n")


def flickr30k(path: Path) -> None:
    """Karpathy's file, and the token file with lists of names without file ending, as in Flickr30k Entities."""
    names = [f"{2000 + number}.jpg" for number in range(12)]
    for number, name in enumerate(names):
        write_photo(path / "flickr30k-images" / name, number)
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    karpathy(
        path / "dataset_flickr30k.json",
        [(split, {"filename": name}) for split, name in zip(splits, names, strict=True)],
    )
    write_tokens(path / "results_20130124.token", names)
    for part in ("train", "val", "test"):
        own = [name.removesuffix(".jpg") for split, name in zip(splits, names, strict=True) if split == part]
        (path / f"{part}.txt").write_text("\n".join(own) + "\n")


def food101(path: Path) -> None:
    """Three dishes: four training and two test images of each; text lists and their json twins."""
    classes = ("apple_pie", "baby_back_ribs", "sushi")
    lists = {"train": {name: [] for name in classes}, "test": {name: [] for name in classes}}
    for label, name in enumerate(classes):
        for number in range(6):
            image = f"{name}/{100 * label + number}"
            write_photo(path / "images" / f"{image}.jpg", 4 * label + number % 4)
            lists["train" if number < 4 else "test"][name].append(image)
    meta = path / "meta"
    meta.mkdir()
    (meta / "classes.txt").write_text("\n".join(classes) + "\n")
    (meta / "labels.txt").write_text("Apple pie\nBaby back ribs\nSushi\n")
    for part, own in lists.items():
        (meta / f"{part}.json").write_text(json.dumps(own))
        (meta / f"{part}.txt").write_text("\n".join(image for images in own.values() for image in images) + "\n")


def imagenet(path: Path) -> None:
    """Three classes: four training and two validation images of each, in folders."""
    write_class_list(path)
    for label, wnid in enumerate(WNIDS):
        for number in range(4):
            write_photo(path / "train" / wnid / f"{wnid}_{number}.JPEG", 4 * label + number)
        for number in range(2):
            write_photo(path / "val" / wnid / f"ILSVRC2012_val_{1 + label + 3 * number:08d}.JPEG", 4 * label + number)


def imagenet_flat(path: Path) -> None:
    """The same with all validation images in one folder, classes 0, 1, 2, 0, 1, 2, and the development kit."""
    from scipy.io import savemat

    imagenet(path)
    for image in sorted((path / "val").glob("*/*.JPEG")):
        image.rename(path / "val" / image.name)
    for wnid in WNIDS:
        (path / "val" / wnid).rmdir()
    kit = path / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    ids = (2, 3, 1)  # the kit numbers the classes in another order than the list
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(str(ids[row % 3]) for row in range(6)) + "\n")
    rows = np.zeros(4, dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)])
    for row, (number, wnid) in enumerate(sorted(zip((*ids, 4), (*WNIDS, "n00001740"), strict=True))):
        rows[row] = (number, wnid, WNIDS.get(wnid, "entity"), 0 if wnid in WNIDS else 3)
    savemat(kit / "meta.mat", {"synsets": rows})


def write_class_list(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "LOC_synset_mapping.txt").write_text("".join(f"{wnid} {names}\n" for wnid, names in WNIDS.items()))
    (path / "two_classes.txt").write_text("".join(f"{wnid} {names}\n" for wnid, names in list(WNIDS.items())[:2]))


CAPTION_LAYOUTS = {
    "coco": coco,
    "flickr8k": flickr8k,
    "flickr30k": flickr30k,
    "food101": food101,
    "imagenet": imagenet,
    "imagenet_flat": imagenet_flat,
}
