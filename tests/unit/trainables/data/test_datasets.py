"""The contract of a data set, for each line of DATASETS."""

import subprocess
import sys
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError

from tests.helpers.paths import ROOT
from tests.helpers.small_data import (
    CONTEXT,
    MODULES,
    OTHER,
    OWN_TESTS,
    SPLITS,
    checksum,
    each_dataset,
    load,
    load_anew,
    small,
)
from trainables.data import DATASETS
from trainables.tasks import TASKS
from trainables.training.inputs import COMPACT


@pytest.mark.slow
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


@pytest.mark.slow
def test_loading_is_the_same_in_another_process() -> None:
    """The other process draws from the global generators first: data may not depend on them."""
    torch.manual_seed(1)
    code = (
        "import torch; torch.manual_seed(2); torch.rand(5)\n"
        "from tests.helpers.small_data import checksum, load\n"
        "for name in " + repr(list(DATASETS)) + ": print(checksum(load(name)))"
    )
    root = ROOT
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


@pytest.mark.parametrize(("name", "field"), [("mfh", "data_seed"), ("separable", "data_seed"), ("mfeat", "noise_seed")])
def test_without_a_data_seed_every_trial_draws_its_own(name: str, field: str) -> None:
    config = small(name, **{field: None})
    assert config.for_seed(3) == small(name, **{field: 3})
    assert small(name, **{field: 5}).for_seed(3) == small(name, **{field: 5})


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
