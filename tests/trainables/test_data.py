"""The contract of a data set, for each line of DATASETS; then what each one claims for itself."""

import hashlib
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import load_digits

from tests.trainables.generated import root
from trainables.data import (
    DATASETS,
    coco,
    digits,
    emoji,
    flickr,
    food101,
    imagenet,
    joint_gaussian,
    mfeat,
    mfh,
    mmimdb,
    mnist_m,
    mosei,
    nuscenes,
    ravdess,
    separable,
    tcga,
    vggsound,
)
from trainables.data.prepare import balanced_split, standardise
from trainables.inputs import COMPACT
from trainables.tasks import TASKS
from trainables.types import Batch, PairedData

SPLITS = ("train", "val", "test")

SMALL: dict[str, dict[str, Any]] = {
    "mfeat": {"train": 100, "val": 50, "labels": 40},
    "digits": {"train": 100, "val": 50, "labels": 40, "size": 8, "teacher_blur": 0.5},
    "mfh": {"train": 40, "val": 30, "test": 20, "overlap": 4},
    "separable": {"train": 40, "val": 30, "test": 20, "dim": 10, "general_dim": 4},
    "joint_gaussian": {"train": 40, "val": 30, "test": 20, "p": 5},
    "ravdess": {"layout": "clips", "image": (16, 32), "frames": 2},
    "mmimdb": {"layout": "raw", "text_dim": 50, "image_side": 4},
    "vggsound": {"image": (16, 16), "seconds": 1.2, "frames": 2, "skip_missing": True},
    "nuscenes": {
        **{"version": "v1.0-mini", "image_height": 16, "image_width": 24, "pillars": 8, "slices": 2, "held_out": 0.3},
    },
}
NOISE = {"teacher_noise": 0.5, "noise_seed": 1}
SMALL |= {"mnist_m": {"train": 30, "val": 20}, "cmu_mosei": {}, "tcga": {"features": 10}}
PHOTOS = {"size": 16, "context_length": 20, "views": 2}
SMALL |= {"coco": PHOTOS, "flickr8k": PHOTOS, "flickr30k": PHOTOS, "food101": {**PHOTOS, "val": 3}}
SMALL |= {"imagenet": {**PHOTOS, "val": 3}}
SMALL |= {"emoji": {"train": 20, "val": 0.01, "test": 0.01, "size": 16, "views": 2, "skin_tones": "none"}}
OTHER_PHOTOS = {"size": 24, "context_length": 10, "views": 3, "view_seed": 1, "train": 5, "val": 1, "test": 1}
OTHER: dict[str, dict[str, Any]] = {
    "emoji": {
        **{"style": "openmoji", "size": 24, "views": 3, "view_seed": 1, "languages": ("de", "en"), "captions": 1},
        **{
            "context_length": 8,
            "subgroups": True,
            "skin_tones": "train",
            "train": 21,
            "val": 0.012,
            "test": 0.012,
            "split_seed": 1,
        },
    },
    "coco": {**OTHER_PHOTOS, "splits": "official"},
    "flickr8k": OTHER_PHOTOS,
    "flickr30k": OTHER_PHOTOS,
    "food101": {**OTHER_PHOTOS, "split_seed": 1},
    "imagenet": {**OTHER_PHOTOS, "split_seed": 1, "class_list": "two_classes.txt"},
    "cmu_mosei": {"teacher": "vision", "student": "text", "target": "seven", **NOISE},
    "tcga": {
        **{"cohort": "KIPAN", "views": ("mRNA", "RPPA"), "teacher": "CNV", "student": "CNV", "features": 8},
        **{"select": "variance", "test": 0.2, "val": 0.3, "split_seed": 1, **NOISE},
    },
    "mnist_m": {
        **{"pairs": "classes", "teacher_channels": 1, "teacher_blur": 1.0, "train": 25, "val": 10, "split_seed": 1},
        **{"pair_seed": 1, **NOISE},
    },
    "mfeat": {
        **{"teacher": "fac", "student": "zer", "train": 110, "val": 60, "labels": 50, "split_seed": 1},
        **NOISE,
    },
    "digits": {
        **{"size": 16, "teacher_blur": 1.0, "train": 110, "val": 60, "labels": 50, "split_seed": 1, "patch_seed": 1},
        **NOISE,
    },
    "mfh": {"overlap": 6, "train": 41, "val": 31, "test": 21, "data_seed": 1},
    "separable": {
        **{
            "dim": 11,
            "general_dim": 5,
            "orthogonal": False,
            "centred": False,
            "train": 41,
            "val": 31,
            "test": 21,
            "data_seed": 1,
        },
    },
    "joint_gaussian": {
        **{"train": 41, "val": 31, "test": 21, "p": 6, "gamma": 0.2, "tau": 1.6, "sigma": 1.1, "data_seed": 1},
        "expected_targets": True,
    },
    "ravdess": {
        **{"teacher": "image", "student": "audio", "image": (8, 32), "split": "actors", "val": 0.3, "test": 0.3},
        **{"split_seed": 1, "frames": 1, "every": 0.3},
    },
    "mmimdb": {"teacher": "text", "student": "image", "text_dim": 40, "image_side": 3, "standardised": False},
    "vggsound": {
        **{"teacher": "audio", "student": "video", "subset": "two_classes.txt", "val": 0.4, "split_seed": 1},
        **{"frames": 1, "seconds": 1.0, "image": (8, 16)},
    },
    "nuscenes": {
        **{"version": "v1.0-other", "split": "hash", "held_out": 0.6, "stride": 2, "image_height": 17},
        **{
            "image_width": 25,
            "pillars": 9,
            "slices": 3,
            "student": "lidar",
            "teacher": "bev",
            "bev": "other",
            "bev_cells": 4,
        },
    },
}
"""For each field another value than in `SMALL`."""

OWN_TESTS: dict[str, set[str]] = {
    **{name: {"skip_bad"} for name in ("coco", "flickr8k", "flickr30k", "food101", "imagenet")},
    "mfh": {"mode", "extra"},
    "ravdess": {"layout", "channel", "skip_bad"},
    "mmimdb": {"layout", "ends", "features", "image_dim", "skip_bad"},
    "vggsound": {"skip_missing", "skip_bad"},
    "cmu_mosei": {"layout", "version"},
    "tcga": {"layout", "label_row", "split"},
}
"""Fields that go together with others, or matter for wrong files only; each data set's own tests are about them."""

CONTEXT: dict[tuple[str, str], dict[str, Any]] = {
    **{(name, "noise_seed"): {"teacher_noise": 1.0} for name in ("mfeat", "digits", "mnist_m", "cmu_mosei", "tcga")},
    ("nuscenes", "bev"): {"teacher": "bev"},
    ("nuscenes", "bev_cells"): {"teacher": "bev"},
}
"""What must be set besides for a field of `OTHER` to matter."""

ROOTS = {"ravdess": "ravdess_clips", "mmimdb": "mmimdb_raw", "vggsound": "vggsound", "nuscenes": "nuscenes"}
ROOTS |= {name: name for name in ("coco", "flickr8k", "flickr30k", "food101", "imagenet")}
ROOTS |= {"mnist_m": "mnist_m", "cmu_mosei": "mosei_mmsa", "tcga": "tcga_linkedomics"}
"""Generated layouts of the data sets that are read from files."""

MODULES: dict[str, ModuleType] = {
    **{"mfeat": mfeat, "digits": digits, "mfh": mfh, "separable": separable},
    "joint_gaussian": joint_gaussian,
    **{"ravdess": ravdess, "mmimdb": mmimdb, "vggsound": vggsound, "nuscenes": nuscenes},
    **{"mnist_m": mnist_m, "cmu_mosei": mosei, "tcga": tcga},
    **{"emoji": emoji, "coco": coco, "flickr8k": flickr, "flickr30k": flickr, "food101": food101, "imagenet": imagenet},
}

each_dataset = pytest.mark.parametrize("name", DATASETS)


def small(name: str, **changes: Any) -> Any:
    place = {"root": root(ROOTS[name])} if name in ROOTS else {}
    return DATASETS[name].config(**{**place, **SMALL[name], **changes})


def load(name: str, **changes: Any) -> PairedData:
    return load_once(name, tuple(changes.items()))


@cache
def load_once(name: str, changes: tuple[tuple[str, Any], ...]) -> PairedData:
    return load_anew(name, **dict(changes))


def load_anew(name: str, **changes: Any) -> PairedData:
    return DATASETS[name].load(small(name, **changes))


def checksum(data: PairedData, fields: tuple[str, ...] = Batch._fields) -> str:
    state = hashlib.sha256()
    for split in SPLITS:
        for field in fields:
            state.update(getattr(data.split(split), field).numpy().tobytes())
    return state.hexdigest()


@each_dataset
def test_tensors_have_the_declared_shapes_and_types(name: str) -> None:
    data, shape = load(name), DATASETS[name].shape(small(name))
    assert data.num_classes == shape.num_classes
    for split, rows in zip(SPLITS, (shape.train, shape.val, shape.test), strict=True):
        batch = data.split(split)
        captioned = small(name).task in ("retrieval", "zero_shot")
        held_out = captioned and split != "train"
        teacher = (1, *shape.teacher[1:]) if held_out else shape.teacher
        assert batch.teacher.shape == (rows, *teacher) and batch.student.shape == (rows, *shape.student)
        assert batch.teacher.dtype in (torch.float32, *COMPACT)
        assert batch.student.dtype in ((torch.int32,) if captioned else (torch.float32, *COMPACT))
        example = TASKS[small(name).task].example(rows, shape.num_classes)
        assert batch.labels.dtype == example.dtype and batch.labels.ndim == example.ndim
        assert batch.labels.ndim == 3 or batch.labels.shape == example.shape, "as many boxes as the data have"
        assert batch.indices.dtype == torch.int64 and batch.labelled.dtype == torch.bool
        assert batch.labelled.shape == batch.indices.shape == (rows,)
        assert all(tensor.is_contiguous() for tensor in batch)
        assert batch.teacher.isfinite().all() and batch.student.isfinite().all()
        if small(name).task == "regression":
            assert batch.labels.isfinite().all()
            continue
        classes = batch.labels[:, :, 0] if batch.labels.ndim == 3 else batch.labels
        assert (0 if batch.labels.ndim < 3 else -1) <= classes.min() and classes.max() <= shape.num_classes


@each_dataset
def test_no_row_is_in_two_splits(name: str) -> None:
    data = load(name)
    index = torch.cat([data.split(split).indices for split in SPLITS])
    assert len(index.unique()) == len(index) == sum(DATASETS[name].shape(small(name))[3:])


def test_loading_is_the_same_in_another_process() -> None:
    """The other process draws from the global generators first: data may not depend on them."""
    torch.manual_seed(1)
    code = (
        "import torch; torch.manual_seed(2); torch.rand(5)\n"
        "from tests.trainables.test_data import checksum, load\n"
        "for name in " + repr(list(DATASETS)) + ": print(checksum(load(name)))"
    )
    root = Path(__file__).parents[2]
    other = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert other.stdout.split() == [checksum(load(name)) for name in DATASETS]
    assert other.stdout.split() == [checksum(load_anew(name)) for name in DATASETS]


@each_dataset
def test_every_field_changes_the_data(name: str) -> None:
    config = DATASETS[name].config
    fixed = {field for field, info in config.model_fields.items() if is_tag(info.annotation)}
    assert OTHER[name].keys() == config.model_fields.keys() - fixed - OWN_TESTS.get(name, set()) - set(
        config.location
    ) - set(config.reading)
    for field, value in OTHER[name].items():
        context = CONTEXT.get((name, field), {})
        assert checksum(load(name, **context, **{field: value})) != checksum(load(name, **context)), field


def is_tag(annotation: object) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


@each_dataset
def test_teacher_only_fields_leave_the_student_alone(name: str) -> None:
    rest = ("student", "labels", "labelled", "indices")
    for field in DATASETS[name].config.teacher_only:
        if field in OTHER[name]:
            context = CONTEXT.get((name, field), {})
            before, changed = load(name, **context), load(name, **context, **{field: OTHER[name][field]})
            assert checksum(changed, rest) == checksum(before, rest), field
            assert checksum(changed, ("teacher",)) != checksum(before, ("teacher",)), field


@each_dataset
def test_what_a_student_is_known_by_has_its_rows_and_inputs_whatever_the_teacher(name: str) -> None:
    """So a student is trained once, however many teachers there are. Data that are dear to prepare stay themselves."""
    rest = ("student", "labels", "labelled", "indices")
    before, alone = load(name), DATASETS[name].load(small(name).for_student())
    assert checksum(alone, rest) == checksum(before, rest)
    assert small(name).for_student().for_student() == small(name).for_student()
    for field in DATASETS[name].config.teacher_only if small(name).for_student() != small(name) else ():
        if field in OTHER[name]:
            assert small(name, **{field: OTHER[name][field]}).for_student() == small(name).for_student(), field


@each_dataset
def test_the_fingerprint_follows_the_version(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = DATASETS[name].fingerprint
    before = fingerprint(small(name))
    assert before == fingerprint(small(name)) and len(before) == 64
    monkeypatch.setattr(MODULES[name], "VERSION", MODULES[name].VERSION + 1)
    assert fingerprint(small(name)) != before


def test_fingerprints_differ_between_data_sets() -> None:
    assert len({entry.fingerprint(small(name)) for name, entry in DATASETS.items()}) == len(DATASETS)


@each_dataset
def test_every_field_is_documented(name: str) -> None:
    for field, info in DATASETS[name].config.model_fields.items():
        assert info.description and len(info.description) > 10, field


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
    with pytest.raises(ValidationError, match=f"may take {most} of .* lower one of them by 1$|lower one of them by 1 "):
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


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("mfeat", {"train": 1900}, "by 110"),
    ("mfeat", {"train": 100, "labels": 101}, "at most train = 100, but got 101"),
    ("mfeat", {"teacher": "pxi"}, "'fac', 'fou', 'kar', 'mor', 'pix' or 'zer'"),
    ("digits", {"train": 100, "labels": 101}, "at most train = 100, but got 101"),
    ("digits", {"size": 20}, "8, 16, 24 or 32"),
    ("mfh", {"mode": "alpha", "overlap": 4}, "leave overlap out"),
    ("mfh", {"mode": "gamma", "extra": 10}, "leave extra out"),
    ("mfh", {"overlap": 11}, "less than or equal to 10"),
    ("separable", {"dim": 8}, "at most dim = 8, but got 10"),
    ("separable", {"train": 90}, "2 dim - general_dim + 1 (centred) = 91, but got 90"),
    ("separable", {"train": 89, "centred": False}, "2 dim - general_dim = 90, but got 89"),
]


@pytest.mark.parametrize(("name", "values", "message"), BAD)
def test_a_wrong_config_is_refused_with_its_remedy(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        DATASETS[name].config(**values)
    assert message in str(error.value)
    assert error.value.errors()[0]["loc"], "the message must point at a field"


def test_a_missing_file_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mfeat.resources, "files", lambda package: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"mfeat\.npz.* no such file.* install"):
        DATASETS["mfeat"].load(small("mfeat"))


def test_mfeat_rows_are_the_raw_rows() -> None:
    """Each prepared row is an increasing linear map of the raw row with the same index, and carries its label."""
    data = load("mfeat", teacher="kar", student="kar")
    with np.load(Path(mfeat.__file__).parent / "files" / "mfeat.npz") as raw:
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


@pytest.mark.parametrize("overlap", [0, 2, 10])
def test_mfh_gamma_mode_shares_what_it_says(overlap: int) -> None:
    batch = load("mfh", overlap=overlap, train=200).train
    assert shared_columns(batch) == [(10 - overlap + i, i) for i in range(overlap)][: len(shared_columns(batch))]
    assert len(shared_columns(batch)) == overlap
    assert batch.student.shape[1] == 50 and batch.teacher.shape[1] == 25


@pytest.mark.parametrize("extra", [0, 20])
def test_mfh_alpha_mode_shares_the_students_ten(extra: int) -> None:
    config = mfh.MFHConfig(mode="alpha", extra=extra, train=2000)
    batch = mfh.load(config).train
    assert shared_columns(batch) == [(i, i) for i in range(10)]
    teacher = accuracy_of_least_squares(batch.teacher, batch.labels)
    assert teacher == pytest.approx(1 - np.arccos(np.sqrt((10 + extra) / 50)) / np.pi, abs=0.05)
    other = mfh.load(config.model_copy(update={"extra": 40})).train
    assert torch.equal(other.student, batch.student) and torch.equal(other.labels, batch.labels)


def test_mfh_extra_changes_the_teacher() -> None:
    data = {extra: mfh.load(mfh.MFHConfig(mode="alpha", extra=extra)) for extra in (0, 10)}
    assert checksum(data[0], ("teacher",)) != checksum(data[10], ("teacher",))
    assert checksum(data[0]) != checksum(mfh.load(mfh.MFHConfig(mode="gamma")))


def test_mfh_labels_are_decided_by_the_decisive_features() -> None:
    """With every feature in sight a linear classifier is perfect; with the student's alone it is not."""
    batch = mfh.load(mfh.MFHConfig(mode="alpha", extra=40, train=2000)).train
    assert accuracy_of_least_squares(batch.teacher, batch.labels) > 0.95
    assert accuracy_of_least_squares(batch.student, batch.labels) < 0.8


def shared_columns(batch: Batch) -> list[tuple[int, int]]:
    """(student column, teacher column) pairs that are equal in every row."""
    equal = (batch.student[:, :, None] == batch.teacher[:, None, :]).all(dim=0)
    return [(int(s), int(t)) for s, t in equal.nonzero()]


def accuracy_of_least_squares(inputs: torch.Tensor, labels: torch.Tensor) -> float:
    target = 2.0 * labels[:, None] - 1
    weight = torch.linalg.lstsq(inputs, target).solution
    return ((inputs @ weight > 0).long()[:, 0] == labels).double().mean().item()


@pytest.mark.parametrize("general_dim", [0, 10, 25, 50])
def test_separable_rows_are_orthogonal_and_shared(general_dim: int) -> None:
    config = separable.SeparableConfig(general_dim=general_dim)
    teacher, student = separable.matrices(config)
    assert teacher.dtype == student.dtype == np.float64 and teacher.shape == student.shape == (50, 200)
    assert np.array_equal(teacher[:general_dim], student[:general_dim])
    rows = np.concatenate([student, teacher[general_dim:]])
    assert np.abs(rows @ rows.T / 200 - np.eye(len(rows))).max() < 1e-12
    batch = separable.load(config).train
    assert np.array_equal(batch.teacher.numpy(), teacher.T.astype(np.float32))
    assert np.array_equal(batch.student.numpy(), student.T.astype(np.float32))


def test_separable_gram_schmidt_against_the_textbook() -> None:
    rows = np.random.default_rng(0).standard_normal((4, 9))
    expected: list[np.ndarray] = []
    for row in rows:
        rest = row - sum((row @ done) * done for done in expected)
        expected.append(rest / np.linalg.norm(rest))
    assert np.allclose(separable.gram_schmidt(rows), np.stack(expected), atol=1e-12)


def test_separable_without_gram_schmidt_is_only_nearly_orthogonal() -> None:
    teacher, student = separable.matrices(separable.SeparableConfig(orthogonal=False))
    assert np.array_equal(teacher[:10], student[:10])
    gram = student @ student.T / 200 - np.eye(50)
    assert 0.05 < np.abs(gram).max() < 0.6


@pytest.mark.parametrize("general_dim", [5, 45])
def test_separable_labels_are_what_the_document_says(general_dim: int) -> None:
    """The best student is right with probability 1 - arccos(share) / pi; its share of the normal grows with D_g."""
    config = separable.SeparableConfig(general_dim=general_dim, val=20_000)
    data = separable.load(config)
    normal = separable.generators(config)[0].standard_normal(100 - general_dim)
    share = np.linalg.norm(normal[:50]) / np.linalg.norm(normal)
    best = 1 - np.arccos(share) / np.pi
    assert accuracy_of_least_squares(data.val.student, data.val.labels) == pytest.approx(best, abs=0.01)
    everything = torch.cat([data.val.student, data.val.teacher[:, general_dim:]], dim=1)
    assert accuracy_of_least_squares(everything, data.val.labels) > 0.97


def test_separable_rows_are_centred_unless_asked_otherwise() -> None:
    teacher, student = separable.matrices(separable.SeparableConfig())
    assert max(np.abs(teacher.mean(axis=1)).max(), np.abs(student.mean(axis=1)).max()) < 1e-12
    assert np.abs(separable.matrices(separable.SeparableConfig(centred=False))[0].mean(axis=1)).max() > 0.05


@pytest.mark.parametrize(("name", "field"), [("mfh", "data_seed"), ("separable", "data_seed"), ("mfeat", "noise_seed")])
def test_without_a_data_seed_every_trial_draws_its_own(name: str, field: str) -> None:
    config = small(name, **{field: None})
    assert config.for_seed(3) == small(name, **{field: 3})
    assert small(name, **{field: 5}).for_seed(3) == small(name, **{field: 5})


def test_mfh_axes_are_the_papers_gamma_and_alpha() -> None:
    gamma, alpha = mfh.MFHConfig.axes["overlap"][1], mfh.MFHConfig.axes["extra"][1]
    assert [round(gamma(overlap), 2) for overlap in (0, 2, 4, 6, 8, 10)] == [0, 0.11, 0.25, 0.43, 0.67, 1]
    assert [round(alpha(extra), 2) for extra in (0, 10, 40)] == [0, 0.5, 0.8]


@pytest.mark.parametrize(("gamma", "tau", "sigma"), [(0.6, 0.4, 0.8), (0.0, 2.0, 0.0), (1.0, 0.0, 1.5)])
def test_joint_gaussian_has_the_moments_of_its_design(gamma: float, tau: float, sigma: float) -> None:
    """Over 40,000 rows: the views' covariances, the target's variance, and E[y | x2] with its error."""
    config = joint_gaussian.JointGaussianConfig(p=3, gamma=gamma, tau=tau, sigma=sigma, train=40_000, val=500, test=2)
    data = joint_gaussian.load(config)
    x1, x2, y = data.train.teacher.double(), data.train.student.double(), data.train.labels[:, 0].double()
    eye = torch.eye(3, dtype=torch.float64)
    for covariance, expected in ((x2.T @ x2, 1.0), (x1.T @ x1, 1 + tau**2), (x1.T @ x2, gamma)):
        torch.testing.assert_close(covariance / 40_000, expected * eye, rtol=0, atol=0.05 * (1 + tau**2))
    assert y.var().item() == pytest.approx(1 + sigma**2, rel=0.03)
    weights = torch.linalg.lstsq(x2, y[:, None]).solution
    assert torch.linalg.vector_norm(weights).item() == pytest.approx(gamma, abs=0.03)
    assert (y[:, None] - x2 @ weights).var().item() == pytest.approx(1 + sigma**2 - gamma**2, rel=0.03)
    expected = joint_gaussian.load(config.model_copy(update={"expected_targets": True}))
    assert torch.equal(expected.train.labels, data.train.labels)
    torch.testing.assert_close(expected.val.labels.double(), data.val.student.double() @ weights, rtol=0, atol=0.15)


def test_joint_gaussian_without_noise_gives_the_teacher_the_target() -> None:
    batch = joint_gaussian.load(joint_gaussian.JointGaussianConfig(p=4, tau=0.0, sigma=0.0, train=50)).train
    solution = torch.linalg.lstsq(batch.teacher, batch.labels)
    assert torch.linalg.vector_norm(solution.solution).item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(batch.teacher @ solution.solution, batch.labels, rtol=0, atol=1e-4)
