"""COCO, Flickr8k and 30k, Food-101 and ImageNet from tiny copies of their layouts: rows, tokens, wrong files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from tests.helpers.generated_captions import NUMBERS, picture
from tests.helpers.layouts import config_of, copy_of, load
from trainables.common.types import PairedData
from trainables.data import DATASETS
from trainables.data.common.tokenizer import caption_tokens, tokenize, tokenizer
from trainables.data.image_text import image_arrays
from trainables.data.image_text.caption_files import read_tokens
from trainables.data.image_text.captioned import MOST
from trainables.data.image_text.imagenet_files import read_classes
from trainables.data.image_text.prompts import FOOD, PHOTOS
from trainables.data.readers.crops import Photo, fixed_view, random_box, read_photo_views

CAPTIONED = ("coco", "flickr8k", "flickr30k")
CLASSIFIED = ("food101", "imagenet", "imagenet_flat")


def number_of(pixels: torch.Tensor) -> int:
    """Which generated picture a view shows: its blue."""
    return round(pixels[2].double().mean().item() / 20)


def words(tokens: torch.Tensor) -> str:
    return tokenizer().decode([int(token) for token in tokens if token not in (0, 49406, 49407)]).strip()


def test_tokens_are_clips() -> None:
    """Known ids: start 49406, end 49407, 'a' 320, 'photo' 1125, 'of' 539, 'cat' 2368."""
    tokens = tokenize(["A photo of a cat", "cat"], 8)
    assert tokens.tolist() == [[49406, 320, 1125, 539, 320, 2368, 49407, 0], [49406, 2368, 49407, 0, 0, 0, 0, 0]]
    assert tokens.dtype == np.int32
    assert tokenize(["a photo of a cat"], 5).tolist() == [[49406, 320, 1125, 539, 49407]], "cut, but ended"


def test_rows_with_fewer_captions_are_filled_with_zeros() -> None:
    tokens, present = caption_tokens([["cat"], ["a", "cat", "photo"]], 2, 4)
    assert present.tolist() == [[True, False], [True, True]]
    assert tokens[0].tolist() == [[49406, 2368, 49407, 0], [0, 0, 0, 0]]
    assert tokens[1].tolist() == [[49406, 320, 49407, 0], [49406, 2368, 49407, 0]]
    nothing, none = caption_tokens([], 2, 4)
    assert nothing.shape == (0, 2, 4) and none.shape == (0, 2)


@pytest.mark.parametrize("layout", CAPTIONED)
def test_images_stand_beside_their_captions_in_the_official_splits(layout: str) -> None:
    """Image 1's sixth caption is left out; the token file's picture that no list names is, too."""
    data = load(layout)
    train = [0, 1, 2, 3, 4, 5, 6, 7]
    for split, numbers in (("train", train), ("val", [8, 9]), ("test", [10, 11])):
        batch = data.split(split)
        assert [number_of(image[0]) for image in batch.teacher] == numbers
        for number, captions, there in zip(numbers, batch.student, batch.labels, strict=True):
            assert there.tolist() == [True] * MOST
            expected = [f"picture number {NUMBERS[number]} , caption {NUMBERS[place]} ." for place in range(MOST)]
            assert [words(caption) for caption in captions] == expected
    assert data.num_classes == MOST


def test_cocos_official_splits_halve_the_validation_images() -> None:
    data = load("coco", splits="official")
    for split, numbers in (("train", range(6)), ("val", range(6, 9)), ("test", range(9, 12))):
        assert [number_of(image[0]) for image in data.split(split).teacher] == list(numbers)
    assert torch.equal(data.train.student[:6], load("coco").train.student[:6]), "captions by their id"


def test_flickr30ks_token_file_gives_what_its_json_gives(tmp_path: Path) -> None:
    folder = copy_of("flickr30k", tmp_path)
    (folder / "dataset_flickr30k.json").unlink()
    whole, other = load("flickr30k"), load("flickr30k", folder)
    for split in ("train", "val", "test"):
        assert all(torch.equal(*pair) for pair in zip(whole.split(split), other.split(split), strict=True))


def test_token_lines_are_ordered_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "some.token"
    path.write_text("a.jpg#1\tsecond\na.jpg#0\t first \nb.jpg.1#0\tother\n\na.jpg#2\t \n")
    assert read_tokens("made_up", path) == {"a.jpg": ("first", "second"), "b.jpg.1": ("other",)}


@pytest.mark.parametrize("size", [(40, 48), (48, 40), (37, 100), (301, 64)])
def test_the_fixed_view_is_clips_geometry(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    expected = CenterCrop(24)(Resize(24, InterpolationMode.BICUBIC)(image))
    assert np.array_equal(fixed_view(image, 24), expected)


def test_a_pixel_of_a_row_is_that_of_the_file() -> None:
    """40 x 48 to 16 x 19, of which columns 2 to 17 are kept: where pixel (5, 7) was, and what the ramps are there."""
    pixels = load("coco").train.teacher[0, 0].double()
    row, column = 5.5 * 40 / 16 - 0.5, (7.5 + 2) * 48 / 19 - 0.5
    expected = torch.tensor([250 * column / 47, 250 * row / 39, 0.0], dtype=torch.float64)
    assert (pixels[:, 5, 7] - expected).abs().max() < 3


def test_stored_views_are_large_crops_of_the_same_image() -> None:
    data = load("coco", views=4)
    assert data.train.teacher.shape == (8, 4, 3, 16, 16) and data.test.teacher.shape == (2, 1, 3, 16, 16)
    assert torch.equal(data.train.teacher[:, 0], load("coco").train.teacher[:, 0])
    for number, views in enumerate(data.train.teacher):
        assert {number_of(view) for view in views} == {number}
        assert len({view.numpy().tobytes() for view in views}) == 4
    again, other = load("coco", views=4), load("coco", views=4, view_seed=1)
    assert torch.equal(again.train.teacher, data.train.teacher)
    assert not torch.equal(other.train.teacher[:, 1:], data.train.teacher[:, 1:])
    assert torch.equal(other.train.teacher[:, 0], data.train.teacher[:, 0])


def test_random_boxes_have_the_area_and_lie_within() -> None:
    generator = np.random.default_rng(0)
    for width, height in ((40, 48), (640, 480), (100, 90)):
        boxes = [random_box(width, height, generator) for _ in range(200)]
        assert len(set(boxes)) == 200
        for box in boxes:
            across, down = box.right - box.left, box.bottom - box.top
            assert 0 <= box.left and 0 <= box.top and box.right <= width and box.bottom <= height
            assert 0.899 < across * down / (width * height) < 1.001 and 0.749 < across / down < 1.334


def test_a_random_box_of_an_elongated_image_is_as_large_as_its_ratio_allows() -> None:
    generator = np.random.default_rng(0)
    boxes = [random_box(300, 100, generator) for _ in range(50)]
    for box in boxes:
        assert (box.right - box.left, box.bottom - box.top) == pytest.approx((400 / 3, 100))
    assert min(box.left for box in boxes) < 40 and max(box.right for box in boxes) > 260


def test_a_grey_picture_becomes_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(picture(3)).convert("L").save(tmp_path / "grey.png")
    (pixels,) = read_photo_views(Photo(str(tmp_path / "grey.png"), 16, 1, (0,)))["teacher"]
    assert (pixels[0, 0] == pixels[0, 1]).all() and (pixels[0, 0] == pixels[0, 2]).all()


@pytest.mark.parametrize("layout", CLASSIFIED)
def test_classes_stand_in_prompts(layout: str) -> None:
    data = load(layout)
    templates = FOOD if layout == "food101" else PHOTOS
    assert data.num_classes == 3 and data.prompts is not None
    assert data.prompts.shape == (3, len(templates), 20) and data.prompts.dtype == torch.int32
    names = ("apple pie", "baby back ribs", "sushi") if layout == "food101" else ("tench", "dog", "power drill")
    assert [words(prompt) for prompt in data.prompts[:, 0]] == [
        tokenizer().decode(tokenizer().encode(templates[0].format(name))).strip() for name in names
    ]
    for split in ("train", "val", "test"):
        batch = data.split(split)
        assert [number_of(image[0]) // 4 for image in batch.teacher] == batch.labels.tolist()
        assert torch.equal(batch.student, data.prompts[batch.labels, :1])
    assert data.train.labels.bincount().tolist() == [3, 3, 3] and data.val.labels.bincount().tolist() == [1, 1, 1]
    assert data.test.labels.bincount().tolist() == [2, 2, 2]


def test_templates_differ_and_name_the_class_once() -> None:
    for templates in (FOOD, PHOTOS):
        assert len(set(templates)) == len(templates) and all(text.count("{}") == 1 for text in templates)
    assert FOOD[0] == "a photo of {}, a type of food." and PHOTOS[0] == "a photo of a {}."


def test_food101s_json_twins_give_what_its_text_lists_give(tmp_path: Path) -> None:
    folder = copy_of("food101", tmp_path)
    for part in ("train", "test"):
        (folder / "meta" / f"{part}.txt").unlink()
    assert torch.equal(load("food101", folder).train.teacher, load("food101").train.teacher)


def test_imagenets_classes_come_from_kaggles_file_too(tmp_path: Path) -> None:
    folder = copy_of("imagenet_flat", tmp_path)
    shutil.rmtree(folder / "ILSVRC2012_devkit_t12")
    wnids = list(read_classes(folder / "LOC_synset_mapping.txt"))
    lines = [f"ILSVRC2012_val_{1 + row:08d},{wnids[row % 3]} 1 2 3 4 {wnids[0]} 5 6 7 8" for row in range(6)]
    (folder / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines]) + "\n")
    assert torch.equal(load("imagenet", folder).test.teacher, load("imagenet_flat").test.teacher)


def test_where_nothing_is_trained_no_training_image_is_looked_for(tmp_path: Path) -> None:
    folder = copy_of("imagenet", tmp_path)
    shutil.rmtree(folder / "train")
    data = load("imagenet", folder, train=0, val=0)
    assert [len(data.split(split).labels) for split in ("train", "val", "test")] == [0, 0, 6]
    assert torch.equal(data.test.teacher, load("imagenet").test.teacher)
    captioned = load("coco", train=0, val=0)
    assert captioned.train.teacher.shape == (0, 1, 3, 16, 16) and len(captioned.test.labels) == 2


def test_limits_take_the_first_images_and_classes_in_turn() -> None:
    data = load("flickr8k", train=3, val=1, test=1)
    assert [number_of(image[0]) for image in data.train.teacher] == [0, 1, 2]
    assert (len(data.val.labels), len(data.test.labels)) == (1, 1)
    classes = load("food101", train=6, val=0, test=3)
    assert classes.train.labels.bincount().tolist() == [2, 2, 2] and classes.test.labels.bincount().tolist() == [
        1,
        1,
        1,
    ]


def test_the_fingerprint_follows_captions_and_images(tmp_path: Path) -> None:
    changed = {
        "coco": ("dataset_coco.json", "val2014/COCO_val2014_000000000010.jpg"),
        "flickr8k": ("Flickr8k.token.txt", "Flicker8k_Dataset/1003_abc.jpg"),
        "food101": ("meta/test.txt", "images/sushi/200.jpg"),
        "imagenet": ("LOC_synset_mapping.txt", "train/n01440764/n01440764_0.JPEG"),
    }
    for layout, names in changed.items():
        folder, fingerprint = copy_of(layout, tmp_path), DATASETS[layout].fingerprint
        seen = [fingerprint(config_of(layout))]
        assert fingerprint(config_of(layout, folder)) == seen[0], "moved data are the same data"
        for name in names:
            with (folder / name).open("ab") as file:
                file.write(b"\n")
            seen.append(fingerprint(config_of(layout, folder)))
        assert len(set(seen)) == 3, layout


def remove(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


NO_JSON = remove("dataset_flickr30k.json")
SECOND = "COCO_val2014_000000000010.jpg"
WRONG: list[tuple[str, Callable[[Path], None], str]] = [
    ("coco", remove("dataset_coco.json"), r"dataset_coco\.json' does not exist; put it there, or set data\.root"),
    ("coco", replace("dataset_coco.json", '"raw"', '"rwa"'), r"must be Karpathy's file .* KeyError\('raw'\)"),
    ("coco", replace("dataset_coco.json", "restval", "rest"), r"KeyError\('rest'\)"),
    (
        "coco",
        lambda folder: (folder / "dataset_coco.json").write_text("{"),
        "must be json, but cannot be read .* restore it",
    ),
    (
        "coco",
        replace("dataset_coco.json", SECOND, "x.jpg"),
        r"1 of 12 images named in dataset_coco\.json .* val2014/x\.jpg",
    ),
    ("coco", remove("val2014"), "the folder of images"),
    ("flickr8k", remove("Flickr8k.token.txt"), r"dataset_flickr8k\.json, or Flickr8k\.token\.txt with lists"),
    ("flickr8k", remove("Flickr_8k.devImages.txt"), "the list of val images"),
    (
        "flickr8k",
        replace("Flickr8k.token.txt", "1009_abc.jpg#0\t", "1009_abc.jpg#0 "),
        r"line 47 of .*name\.jpg#0<tab>",
    ),
    ("flickr8k", replace("Flickr8k.token.txt", "1009_", "1999_"), "1 of 2 images .*devImages.*no caption .*1009_abc"),
    ("flickr8k", replace("Flickr_8k.testImages.txt", "1010", "1009"), r"1009_abc\.jpg is listed twice.*testImages"),
    ("flickr30k", both(NO_JSON, remove("val.txt")), "the list of val images"),
    (
        "flickr30k",
        replace("dataset_flickr30k.json", '"raw": "Picture number two', '"raw": " ", "old": "'),
        "restore|no caption",
    ),
    ("food101", remove("meta/classes.txt"), "the list of classes"),
    (
        "food101",
        replace("meta/train.txt", "sushi/200", "soup/200"),
        "train.txt lists 'soup/200', .* none of the 3 classes",
    ),
    ("food101", remove("images/sushi/200.jpg"), "1 of 18 images .*for example images/sushi/200.jpg"),
    ("imagenet", remove("LOC_synset_mapping.txt"), "needs the list of classes"),
    ("imagenet", replace("LOC_synset_mapping.txt", "n02084071", "dog"), "line 2 of .* must be a wnid .* got 'dog dog"),
    ("imagenet", remove("train/n02084071"), r"a folder of images for each class of the list in train/.*n02084071"),
    ("imagenet_flat", remove("ILSVRC2012_devkit_t12"), r"the classes of the validation images \(LOC_val_solution\.csv"),
    ("imagenet_flat", remove("ILSVRC2012_devkit_t12/data/meta.mat"), "the classes of the development kit"),
    (
        "imagenet_flat",
        lambda folder: (folder / "ILSVRC2012_devkit_t12/data/meta.mat").write_text("no"),
        "must be the development kit's list of classes",
    ),
    (
        "imagenet_flat",
        replace("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", "1", "7"),
        "contains '7'",
    ),
    ("imagenet_flat", remove("val/ILSVRC2012_val_00000004.JPEG"), "1 of 18 images .*val/ILSVRC2012_val_00000004.JPEG"),
]


@pytest.mark.parametrize(("layout", "change", "message"), WRONG)
def test_wrong_files_are_found_by_the_index_in_one_line(
    layout: str, change: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder = copy_of(layout, tmp_path)
    change(folder)
    config = config_of(layout, folder)
    for ask in (DATASETS[config.dataset].shape, DATASETS[config.dataset].fingerprint):
        with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
            ask(config)
        assert "\n" not in str(error.value) and str(error.value).startswith(config.dataset)


@pytest.mark.parametrize("layout", (*CAPTIONED, *CLASSIFIED))
def test_a_missing_root_says_what_to_put_where(layout: str, tmp_path: Path) -> None:
    config = config_of(layout, tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"needs .*nothing.*put it there, or set data\.root"):
        DATASETS[config.dataset].shape(config)


@pytest.mark.parametrize(
    ("layout", "limits", "message"),
    [
        ("coco", {"val": 3}, r"data\.val asks for 3 images, but there are 2; lower it, or write null"),
        ("food101", {"train": 10}, r"data\.train \+ data\.val asks for 13 images, but there are 12"),
        ("imagenet", {"test": 7}, r"data\.test asks for 7 images, but there are 6"),
    ],
)
def test_more_images_than_there_are_is_refused(layout: str, limits: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DATASETS[layout].shape(config_of(layout, **limits))


@pytest.mark.parametrize(
    ("layout", "name"),
    [("flickr8k", "Flicker8k_Dataset/1003_abc.jpg"), ("food101", "images/sushi/203.jpg"), ("imagenet", "val")],
)
def test_an_image_that_cannot_be_decoded_is_named_or_where_allowed_skipped(
    layout: str, name: str, tmp_path: Path
) -> None:
    folder = copy_of(layout, tmp_path)
    path = folder / name if (folder / name).is_file() else sorted((folder / name).glob("*/*"))[0]
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(
        ValueError, match=rf"{path.name} cannot be read \(.*skip_bad is 0; repair the file, or allow"
    ) as error:
        load(layout, folder)
    assert "\n" not in str(error.value)
    whole, rest = load(layout), load(layout, folder, skip_bad=1)
    assert rest.notes["images_skipped"] == 1 and rest.notes["images"] == len(
        torch.cat([b.labels for b in splits(whole)])
    )
    kept = [
        torch.isin(before.indices, after.indices) for before, after in zip(splits(whole), splits(rest), strict=True)
    ]
    assert sum(int((~mask).sum()) for mask in kept) == 1
    for mask, before, after in zip(kept, splits(whole), splits(rest), strict=True):
        assert all(torch.equal(old[mask], new) for old, new in zip(before, after, strict=True))


def splits(data: PairedData) -> list[Any]:
    return [data.train, data.val, data.test]


def test_a_preparation_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-way the folder contains some rows; these are not read again."""
    folder, work = copy_of("flickr8k", tmp_path), tmp_path / "work"
    config = config_of("flickr8k", folder)
    bad = folder / "Flicker8k_Dataset" / "1011_abc.jpg"
    good = bad.read_bytes()
    bad.write_bytes(b"no picture")
    assert DATASETS["flickr8k"].load_in is not None
    with pytest.raises(ValueError, match="1011_abc"):
        DATASETS["flickr8k"].load_in(config, work)
    for path in sorted(bad.parent.iterdir())[:5]:
        path.write_bytes(b"read already")
    bad.write_bytes(good)
    data, whole = DATASETS["flickr8k"].load_in(config, work), load("flickr8k")
    for before, after in zip(splits(whole), splits(data), strict=True):
        assert torch.equal(before.teacher, after.teacher)


def test_a_disk_without_room_is_noticed_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_arrays.shutil, "disk_usage", lambda folder: SimpleNamespace(free=9999))
    with pytest.raises(ValueError, match=r"coco: the prepared images take 2 x 0\.0 GB, but .*lower data\.train"):
        load("coco", size=64, input="stored")
