"""MNIST and MNIST-M from tiny idx files, pictures and photos: the content of a row, and the errors for wrong files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.generated import root
from tests.helpers.generated_cch import write_idx
from trainables.common.types import PairedData
from trainables.data.common.corruption import blur
from trainables.data.digits import mnist_m
from trainables.data.digits.backgrounds import cut_patches, photo_paths, read_photo
from trainables.data.digits.mnist_files import digits_of, picture_labels, picture_pixels


def config_of(folder: Path | None = None, **changes: Any) -> mnist_m.MNISTMConfig:
    return mnist_m.MNISTMConfig(**{"root": str(folder or root("mnist_m")), "val": 20, **changes})


def load(folder: Path | None = None, **changes: Any) -> PairedData:
    return mnist_m.load(config_of(folder, **changes))


def copy(to: Path) -> Path:
    return Path(shutil.copytree(root("mnist_m"), to / "mnist_m"))


def assert_linear(raw: np.ndarray, seen: torch.Tensor) -> None:
    """The prepared numbers are an increasing linear map of the raw ones."""
    assert np.corrcoef(raw.ravel().astype(float), seen.double().numpy().ravel())[0, 1] == pytest.approx(1, abs=1e-5)


def test_made_pairs_share_the_digit_and_the_patch_is_a_piece_of_a_photo() -> None:
    data, place = load(), Path(root("mnist_m"))
    digits, labels = digits_of(place, "train")
    assert (len(data.train.labels), len(data.val.labels), len(data.test.labels)) == (40, 20, 20)
    assert np.array_equal(labels[data.train.indices], data.train.labels)
    assert_linear(digits[data.train.indices], data.train.teacher[:, 0])
    assert torch.equal(data.train.teacher[:, 0], data.train.teacher[:, 2])
    patches = cut_patches(place / "photos", 60, 28, (0, False))
    for channel in range(3):
        made = np.abs(patches[data.train.indices, channel].astype(int) - digits[data.train.indices])
        assert_linear(made, data.train.student[:, channel])
    photos = [read_photo(path, 28) for path in photo_paths(place / "photos")]
    views = [np.lib.stride_tricks.sliding_window_view(photo, (3, 28, 28)) for photo in photos]
    found = [[(view == patch).all(axis=(-1, -2, -3)).any() for view in views] for patch in patches]
    assert len(photos) == 3 and np.sum(found, axis=1).tolist() == [1] * 60 and np.sum(found, axis=0).min() > 5


def test_another_seed_pairs_other_pieces_of_photo() -> None:
    pieces = [load(pair_seed=seed).test.student for seed in (0, 0, 1)]
    assert torch.equal(pieces[0], pieces[1]) and not torch.equal(pieces[0], pieces[2])


def test_standardised_on_training_rows_and_balanced_in_validation() -> None:
    data = load()
    for view in (data.train.teacher.double(), data.train.student.double()):
        assert view.mean(dim=(0, 2, 3)).abs().max() < 1e-3 and (view.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3
    assert data.val.labels.bincount(minlength=10).tolist() == [2] * 10
    assert load(train=20).train.labels.bincount(minlength=10).tolist() == [2] * 10
    assert set(load(train=20).train.indices.tolist()) <= set(data.train.indices.tolist())


def test_class_matched_pairs_are_mnist_ms_pictures_with_a_digit_of_their_class() -> None:
    data, place = load(pairs="classes"), Path(root("mnist_m"))
    labels, pixels = picture_labels(place, "test"), picture_pixels(place, "test", 28)
    assert np.array_equal(data.test.labels, labels) and len(labels) == 19
    assert_linear(pixels[:, 1], data.test.student[:, 1])
    widths = (data.test.teacher[:, 0, 10] > 0).sum(dim=1)
    assert torch.equal(widths, data.test.labels + 2), "the digit shown is of the picture's class"


def test_pictures_of_one_class_take_its_digits_in_turn() -> None:
    digits, pictures = np.array([0, 1, 0, 1, 0]), np.array([1, 0, 0, 0, 0, 1])
    rows = mnist_m.rows_of_classes(digits, pictures, (0, 0))
    assert np.array_equal(digits[rows], pictures)
    zeros = rows[pictures == 0]
    assert sorted(zeros[:3]) == [0, 2, 4] and zeros[3] == zeros[0], "all three, then from the first again"


def test_aligned_pairs_are_refused_unless_they_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"i of train must .*picture \d is a \d, digit \d a \d; write `pairs: made`"):
        load(pairs="aligned")
    folder = copy(tmp_path)
    for part in ("train", "test"):
        _, labels = digits_of(folder, part)
        lines = [f"{number:08d}.png {label}\n" for number, label in enumerate(labels[:-1])]
        (folder / "mnist_m" / f"mnist_m_{part}_labels.txt").write_text("".join(lines))
    data = load(folder, pairs="aligned")
    assert_linear(digits_of(folder, "test")[0][:19], data.test.teacher[:, 0])


def test_blur_is_that_of_the_raw_digit() -> None:
    digits, _ = digits_of(Path(root("mnist_m")), "test")
    assert_linear(blur(digits.astype(np.float64), 2.0), load(teacher_blur=2.0).test.teacher[:, 0])


def without(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def holding(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def idx(name: str, shape: tuple[int, ...]) -> Callable[[Path], None]:
    return lambda folder: write_idx(folder / "mnist" / name, np.zeros(shape))


LABELS, PICTURES = "mnist/t10k-labels-idx1-ubyte", "mnist_m/mnist_m_test_labels.txt"
WRONG: list[tuple[Callable[[Path], None], dict[str, Any], str]] = [
    (without("mnist/train-images-idx3-ubyte.gz"), {}, r"needs MNIST's images .*does not exist; put it there"),
    (without("photos"), {}, r"needs photos .*BSDS500.* does not exist; put it there"),
    (without("photos/train"), {}, ""),
    (without("mnist_m"), {"pairs": "classes"}, r"needs MNIST-M's labels: .* does not exist"),
    (holding("mnist/train-labels-idx1-ubyte.gz", b"no"), {}, r"train-labels.*must be an idx file"),
    (holding(LABELS, b"\0\0\x0d\1\0\0\0\x14"), {}, r"t10k-labels.*begins with 00 00 0d 01, not 00 00 08 01"),
    (idx("t10k-labels-idx1-ubyte", (19,)), {}, "test files must have equally many rows, but have 20 images and 19"),
    (idx("t10k-images-idx3-ubyte", (20, 8, 8)), {}, r"28 x 28 pixels, but those of test have \(8, 8\)"),
    (
        holding(PICTURES, b"00000000.png 3\n00000001.png three\n"),
        {"pairs": "classes"},
        "line 2 of .*'00000001.png three'",
    ),
    (holding(PICTURES, b""), {"pairs": "classes"}, "has no entries"),
    (without("mnist_m/mnist_m_test/00000004.png"), {"pairs": "classes"}, "00000004.png' cannot be read"),
    (holding("photos/train/1.jpg", b"no picture"), {}, "photo .*1.jpg' cannot be used"),
    (lambda folder: None, {"val": 55, "train": 10}, r"60 official training rows, but got 10 \+ 55; lower"),
]


@pytest.mark.parametrize(("change", "fields", "message"), WRONG)
def test_wrong_files_are_named_in_one_line(
    change: Callable[[Path], None], fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = copy(tmp_path)
    change(folder)
    if not message:
        load(folder, **fields)
        return
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        load(folder, **fields)
    assert "\n" not in str(error.value)


def test_a_truncated_idx_file_and_a_small_photo(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    path = folder / "mnist" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="must have 20 x 28 x 28 bytes, but has 15675; copy it again"):
        load(folder)
    folder = copy(tmp_path / "other")
    Image.new("RGB", (20, 40)).save(folder / "photos" / "small.png")
    with pytest.raises(ValueError, match=r"small.png' cannot be used .*40 x 20 pixels are fewer than 28 x 28"):
        load(folder)


def test_plain_and_gzipped_files_and_torchvisions_folders_are_alike(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    (folder / "MNIST").mkdir()
    (folder / "mnist").rename(folder / "MNIST" / "raw")
    assert torch.equal(load(folder).train.teacher, load().train.teacher)
