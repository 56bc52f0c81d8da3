"""Pickles read without running code: the same values as from pickle, and nothing else."""

import datetime
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.data.readers import safe_pickle as pickles
from trainables.data.readers.safe_pickle import PickledArray, read_plain

VALUES: dict[str, Any] = {
    "floats": np.arange(12, dtype=np.float32).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big_endian": np.arange(4, dtype=">f8"),
    "texts": np.array(["a", "bc", "ü"]),
    "objects": np.array(["text", None, 3.5], dtype=object),
    "nothing": np.zeros((0, 5)),
    "flags": np.array([True, False]),
    "large": np.random.default_rng(0).normal(size=(500, 300)),
    "number": np.float64(2.5),
    "ids": ["x$_$1", "y"],
    "deep": {"a": (1, 2.5, None, True), "b": {3, 4}, "c": b"bytes"},
}


def read(path: Path, value: object, protocol: int) -> Any:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return read_plain(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_values_are_those_of_pickle(protocol: int, tmp_path: Path) -> None:
    found = read(tmp_path / "a.pkl", VALUES, protocol)
    assert list(found) == list(VALUES)
    for name, value in VALUES.items():
        if isinstance(value, np.ndarray):
            array = found[name]
            assert isinstance(array, PickledArray) and array.shape == value.shape, name
            assert np.array_equal(array.read(), value) and array.read().dtype == value.dtype, name
        else:
            assert found[name] == value, name


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_large_arrays_are_passed_over_and_mapped(protocol: int, tmp_path: Path) -> None:
    large = VALUES["large"]
    found = read(tmp_path / "a.pkl", {"first": large, "between": [1], "second": 2 * large}, protocol)
    assert large.nbytes > pickles.LARGE
    for name, value in (("first", large), ("second", 2 * large)):
        assert found[name].content == b"" and isinstance(found[name].read(), np.memmap)
        assert np.array_equal(found[name].read(), value)


class Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


class Forged:
    """An array whose pickle says of it what is not so."""

    def __init__(self, shape: tuple[int, ...], code: str, content: bytes, kind: object = None) -> None:
        self.state = (1, shape, kind or np.dtype(code), False, content)

    def __reduce__(self) -> Any:
        reconstruct, arguments = np.zeros(1).__reduce__()[:2]
        return reconstruct, arguments, self.state


BAD: list[tuple[object, str]] = [
    (Call(os.system, "touch ran"), r"asks for (posix|os).system"),
    (Call(eval, "open('ran', 'w')"), "asks for builtins.eval"),
    (Call(getattr, "text", "upper"), "asks for builtins.getattr"),
    (OrderedDict(a=1), "asks for collections.OrderedDict"),
    (datetime.date(2020, 1, 1), "asks for datetime.date"),
    (np.ma.masked_array([1.0]), "asks for numpy.ma"),
    (Forged((2,), "O", b"0" * 16), "an array of objects must be a list"),
    (Forged((2**40,), "f8", b"0" * 16), "does not fit its shape"),
    (Forged((2,), "f8", b"0" * 16, kind="f8"), "an array has no shape or dtype"),
    (np.zeros(2, dtype=[("a", "f4")]), "arrays must be numbers or text, but one has the type 'V4'"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_anything_else_is_refused_and_not_run(
    value: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path / "a.pkl", {"x": [value]}, 4)
    assert "\n" not in str(error.value) and "a.pkl" in str(error.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_truncated_pickle_is_named(part: float, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    content = pickle.dumps(VALUES, protocol=4)
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"a.pkl' is no pickle of plain values"):
        read_plain(path)


def test_text_is_no_pickle(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ValueError, match="no pickle of plain values"):
        read_plain(tmp_path / "a.pkl")
