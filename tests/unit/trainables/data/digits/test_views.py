"""mfeat and digits: two views of the same digits; balanced splits and standardisation, by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import load_digits

from tests.helpers.small_data import load, small
from trainables.data import DATASETS
from trainables.data.common.splits import balanced_split, standardise
from trainables.data.digits import digits, mfeat


@pytest.mark.parametrize("name", ["mfeat", "digits"])
def test_classes_and_labels_are_balanced(name: str) -> None:
    data = load(name, train=103, val=52, labels=41)
    for counted in (data.train.labels, data.val.labels, data.train.labels[data.train.labelled]):
        counts = counted.bincount(minlength=10)
        assert counts.max() - counts.min() <= 1
    assert data.train.labelled.sum() == 41
    assert data.val.labelled.all() and data.test.labelled.all()
    assert load(name, labels=None).train.labelled.all()
    assert data.test.labels.bincount(minlength=10).min() > 0


@pytest.mark.parametrize("name", ["mfeat", "digits"])
def test_fewer_labels_are_a_subset_of_the_same_rows(name: str) -> None:
    few, many = load(name, labels=20), load(name, labels=60)
    assert torch.equal(few.train.indices, many.train.indices)
    assert (few.train.labelled <= many.train.labelled).all()


@pytest.mark.parametrize("name", ["mfeat", "digits"])
def test_the_largest_split_still_leaves_a_test_example_of_each_class(name: str) -> None:
    most = {"mfeat": 1990, "digits": 1730}[name]
    data = load(name, train=most - 10, val=10, labels=None)
    assert data.test.labels.bincount(minlength=10).min() > 0
    with pytest.raises(
        ValidationError, match=f"must be at most {most} of .* lower one of them by 1$|lower one of them by 1 "
    ):
        small(name, train=most - 9, val=10)


@pytest.mark.parametrize(("name", "axes"), [("mfeat", (0,)), ("digits", (0, 2, 3))])
def test_standardised_by_the_training_rows_alone(name: str, axes: tuple[int, ...]) -> None:
    data = load(name)
    for view in ("teacher", "student"):
        train, test = getattr(data.train, view).double(), getattr(data.test, view).double()
        assert train.mean(dim=axes).abs().max() < 1e-5
        deviation = train.std(dim=axes, correction=0)
        constant = deviation == 0
        assert (deviation[~constant] - 1).abs().max() < 1e-4 and constant.double().mean() < 0.1
        assert test.mean(dim=axes).abs().max() > 1e-3


def test_standardise_by_hand() -> None:
    view = np.array([[1.0, 5.0], [3.0, 5.0], [100.0, 7.0]])
    result = standardise(view, np.array([0, 1]))
    assert result.dtype == np.float32
    assert result.tolist() == [[-1.0, 0.0], [1.0, 0.0], [98.0, 2.0]]


def test_balanced_split_of_uneven_classes() -> None:
    labels = np.repeat([0, 1, 2], [5, 9, 7])
    splits = balanced_split(labels, train=7, val=5, seed=3)
    assert [labels[row] for row in splits["train"]] == [0, 1, 2, 0, 1, 2, 0]
    assert sorted(np.concatenate(list(splits.values()))) == list(range(21))
    assert splits["train"].tolist() != balanced_split(labels, train=7, val=5, seed=4)["train"].tolist()


def test_a_missing_file_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mfeat.resources, "files", lambda package: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"mfeat\.npz.* no such file.* install"):
        DATASETS["mfeat"].load(small("mfeat"))


def test_mfeat_rows_are_the_raw_rows() -> None:
    """Each prepared row is an increasing linear map of the raw row with the same index, and carries its label."""
    data = load("mfeat", teacher="kar", student="kar")
    with np.load(Path(mfeat.__file__).parents[1] / "files" / "mfeat.npz") as raw:
        view, labels = raw["kar"][data.test.indices], raw["label"][data.test.indices]
    assert np.array_equal(labels, data.test.labels)
    assert torch.equal(data.test.teacher, data.test.student)
    for column in range(64):
        assert np.corrcoef(view[:, column], data.test.student[:, column])[0, 1] == pytest.approx(1, abs=1e-5)


def test_digits_student_is_the_distance_of_patch_and_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a grey photograph, in every channel, up to the standardisation: |0.5 - digit|, which hides its sign."""
    monkeypatch.setattr(digits, "photo_patches", lambda rows, size, seed: np.full((rows, 3, size, size), 0.5))
    data = load("digits", teacher_blur=0.0)
    raw, _ = load_digits(return_X_y=True)
    ink = np.asarray(raw)[data.train.indices] / 16
    for channel in range(3):
        seen = data.train.student[:, channel].numpy().ravel()
        assert np.corrcoef(np.abs(0.5 - ink).ravel(), seen)[0, 1] == pytest.approx(1, abs=1e-5)
    assert np.corrcoef(ink.ravel(), data.train.teacher.numpy().ravel())[0, 1] == pytest.approx(1, abs=1e-5)


def test_digits_patches_differ_and_come_from_both_photographs() -> None:
    patches = digits.photo_patches(200, 16, seed=0)
    assert 0 <= patches.min() and patches.max() <= 1
    assert len({patch.tobytes() for patch in patches}) == 200
    assert patches.std(axis=(2, 3)).mean() > 0.02


def test_digits_blur_keeps_the_ink_and_softens_it() -> None:
    dot = np.zeros((1, 15, 15))
    dot[0, 7, 7] = 1.0
    blurred = digits.blur(dot, 1.5)[0]
    assert blurred.sum() == pytest.approx(1, abs=1e-3)
    assert blurred[7, 7] == pytest.approx(1 / (2 * np.pi * 1.5**2), rel=0.05)
    assert blurred[7, 10] / blurred[7, 7] == pytest.approx(np.exp(-(3**2) / (2 * 1.5**2)), rel=1e-6)
    assert np.array_equal(digits.blur(dot, 0.0), dot)
