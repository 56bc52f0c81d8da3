"""Pickles of plain values and NumPy arrays, read without running anything that they say.

A pickle names functions to call. Here only a few names are known, and each stands for something harmless of this
module: not even NumPy's own unpickling is run. Large arrays are passed over, so that an index of a pickle of many GiB
is read at once; what one of them holds is mapped from the file when it is asked for.
"""

import io
import pickle
import re
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy import ndarray

PLAIN_TYPE = re.compile(r"[<>|=]?[biufSU?]\d*")
"""Number and text formats of an array; `O` (any values, read as a list) is known besides."""
LARGE = 2**20
"""Bytes from which on an array is passed over."""


class PickledType:
    """Stands for numpy.dtype."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("O", "O8") and not PLAIN_TYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"arrays of {code!r} are none of numbers or text")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.code = state[1] + self.code.lstrip("<>=|")

    @property
    def value(self) -> np.dtype[Any]:
        """The number format. Raises UnpicklingError for `O`: such an array is a list, never bytes."""
        if self.code.startswith("O"):
            raise pickle.UnpicklingError("an array of any values is no list")
        return np.dtype(self.code)


class PickledArray:
    """Stands for an array: shape, format, and where its numbers are."""

    def __init__(self, source: "PassingOver") -> None:
        self.source = source
        self.shape: tuple[int, ...] = ()
        self.kind = PickledType("f8")
        self.order: Literal["C", "F"] = "C"
        self.content: object = b""
        self.start: int | None = None
        """Where a large array's bytes begin in the file."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.kind, fortran, self.content = state
        if not isinstance(self.kind, PickledType) or not all(isinstance(size, int) for size in self.shape):
            raise pickle.UnpicklingError("an array has no shape or format")
        held = len(self.content) if isinstance(self.content, list | bytes | bytearray) else -1
        if held != prod(self.shape) * (1 if isinstance(self.content, list) else self.kind.value.itemsize):
            raise pickle.UnpicklingError(f"an array of the shape {self.shape} holds something else")
        self.order = "F" if fortran else "C"
        start, length = self.source.passed
        if isinstance(self.content, bytes | bytearray) and len(self.content) == length >= LARGE:
            self.start, self.content, self.source.passed = start, b"", (0, 0)

    def read(self) -> ndarray:
        """The array; a large one is mapped, not loaded."""
        if isinstance(self.content, list):
            return np.array(self.content, dtype=object).reshape(self.shape)
        if self.start is not None:
            return np.memmap(self.source.path, self.kind.value, "r", self.start, self.shape, self.order)
        assert isinstance(self.content, bytes | bytearray)
        return np.frombuffer(self.content, self.kind.value).reshape(self.shape, order=self.order)


def scalar(kind: PickledType, content: bytes) -> object:
    """A single number or text."""
    return np.frombuffer(content, kind.value)[0].item()


def encode(text: str, encoding: str) -> bytes:
    """What old protocols call for bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text encoded as {encoding!r}")
    return text.encode("latin1")


def no_bytes() -> bytes:
    """What protocol 2 calls for b""."""
    return b""


KNOWN: dict[str, Callable[..., object]] = {
    "numpy.dtype": PickledType,
    "_codecs.encode": encode,
    "__builtin__.bytes": no_bytes,
    **{f"numpy.{core}.multiarray.scalar": scalar for core in ("core", "_core")},
    **{
        f"{module}.{kind.__name__}": kind
        for module in ("builtins", "__builtin__")
        for kind in (set, frozenset, complex)
    },
}
"""Names that a pickle may use, and what stands for them here; arrays are made by the unpickler itself."""
ARRAYS = ("numpy.ndarray", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
BUFFERS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")


class PassingOver:
    """A file whose long reads into a buffer are passed over; `passed` says where the last one was, and its length."""

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        self.path, self.file, self.passed = path, file, (0, 0)
        self.size = path.stat().st_size
        self.read, self.readline = file.read, file.readline

    def readinto(self, buffer: Any) -> int:
        """Fills a short buffer, leaves a long one as it is; how many bytes there were."""
        length = len(buffer)
        if length < LARGE:
            return self.file.readinto(buffer)
        self.passed = (self.file.tell(), length)
        return min(self.file.seek(length, io.SEEK_CUR), self.size) - self.passed[0]


class PlainUnpickler(pickle.Unpickler):
    """Knows a few names and no others."""

    def __init__(self, source: PassingOver) -> None:
        super().__init__(source, encoding="latin1")
        self.source = source

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        name = f"{module_name}.{global_name}"
        if name in ARRAYS:
            return self.new_array
        if name in BUFFERS:
            return self.from_buffer
        if name not in KNOWN:
            raise pickle.UnpicklingError(f"it asks for {name}, which is neither a plain value nor an array")
        return KNOWN[name]

    def new_array(self, *_: object) -> PickledArray:
        """Stands for the array that a state will fill."""
        return PickledArray(self.source)

    def from_buffer(self, content: object, kind: PickledType, shape: tuple[int, ...], order: str) -> PickledArray:
        """Stands for what protocol 5 calls."""
        array = self.new_array()
        array.__setstate__((1, shape, kind, order == "F", content))
        return array


def read_plain(path: Path) -> Any:
    """The value of a pickle: dicts, lists, text, numbers, and a PickledArray for each array.

    Raises:
        ValueError: in one line, if it is truncated, no pickle, or asks for anything else.

    """
    with path.open("rb") as file:
        try:
            return PlainUnpickler(PassingOver(path, file)).load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            raise ValueError(
                f"{str(path)!r} is no pickle of plain values and arrays ({' '.join(str(error).split())}); it is not "
                "read: copy it again, from where it can be trusted"
            ) from None
