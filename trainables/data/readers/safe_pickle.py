"""Reads pickles of plain values and NumPy arrays without executing code from them.

A pickle names functions to call. Only a few names are accepted, and each is replaced by a harmless function of this
module; NumPy's unpickling is not used either. Large arrays are skipped, so that the index of a pickle of many GiB is
read quickly; their content is memory-mapped when it is needed.
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
"""Number and text formats of an array; `O` (any values, read as a list) is accepted as well."""
LARGE = 2**20
"""Size in bytes from which an array is skipped."""


class PickledType:
    """Replaces numpy.dtype."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("O", "O8") and not PLAIN_TYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"arrays must be numbers or text, but one has the type {code!r}")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.code = state[1] + self.code.lstrip("<>=|")

    @property
    def value(self) -> np.dtype[Any]:
        """The dtype. Raises UnpicklingError for `O`, whose content must be a list and not bytes."""
        if self.code.startswith("O"):
            raise pickle.UnpicklingError("an array of objects must be a list")
        return np.dtype(self.code)


class PickledArray:
    """Replaces an array: its shape, dtype and content, or the position of the content in the file."""

    def __init__(self, source: "SkippingFile") -> None:
        self.source = source
        self.shape: tuple[int, ...] = ()
        self.kind = PickledType("f8")
        self.order: Literal["C", "F"] = "C"
        self.content: object = b""
        self.start: int | None = None
        """Position in the file where the bytes of a large array begin."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.kind, fortran, self.content = state
        if not isinstance(self.kind, PickledType) or not all(isinstance(size, int) for size in self.shape):
            raise pickle.UnpicklingError("an array has no shape or dtype")
        length = len(self.content) if isinstance(self.content, list | bytes | bytearray) else -1
        if length != prod(self.shape) * (1 if isinstance(self.content, list) else self.kind.value.itemsize):
            raise pickle.UnpicklingError(f"the content of an array does not fit its shape {self.shape}")
        self.order = "F" if fortran else "C"
        start, skipped = self.source.skipped
        if isinstance(self.content, bytes | bytearray) and len(self.content) == skipped >= LARGE:
            self.start, self.content, self.source.skipped = start, b"", (0, 0)

    def read(self) -> ndarray:
        """The array; a large one is memory-mapped."""
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
    """The function that old protocols call to make bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"the encoding of bytes must be latin1, but is {encoding!r}")
    return text.encode("latin1")


def no_bytes() -> bytes:
    """The function that protocol 2 calls to make b""."""
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
"""Names that a pickle may use, and the functions that replace them; the unpickler itself makes arrays."""
ARRAYS = ("numpy.ndarray", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
BUFFERS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")


class SkippingFile:
    """A file that skips long reads into a buffer; `skipped` is the position and length of the last one."""

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        self.path, self.file, self.skipped = path, file, (0, 0)
        self.size = path.stat().st_size
        self.read, self.readline = file.read, file.readline

    def readinto(self, buffer: Any) -> int:
        """Fill a short buffer and leave a long one unchanged. Returns the number of bytes in the file."""
        length = len(buffer)
        if length < LARGE:
            return self.file.readinto(buffer)
        self.skipped = (self.file.tell(), length)
        return min(self.file.seek(length, io.SEEK_CUR), self.size) - self.skipped[0]


class PlainUnpickler(pickle.Unpickler):
    """An unpickler that accepts the names above only."""

    def __init__(self, source: SkippingFile) -> None:
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
        """An empty array, which `__setstate__` fills."""
        return PickledArray(self.source)

    def from_buffer(self, content: object, kind: PickledType, shape: tuple[int, ...], order: str) -> PickledArray:
        """The function that protocol 5 calls to make an array."""
        array = self.new_array()
        array.__setstate__((1, shape, kind, order == "F", content))
        return array


def read_plain(path: Path) -> Any:
    """The value of a pickle: dicts, lists, text, numbers, and a PickledArray for each array.

    Raises:
        ValueError: if the file is truncated, no pickle, or names any other function.

    """
    with path.open("rb") as file:
        try:
            return PlainUnpickler(SkippingFile(path, file)).load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            raise ValueError(
                f"{str(path)!r} is no pickle of plain values and arrays ({' '.join(str(error).split())}); it is not "
                "read: copy it again, from where it can be trusted"
            ) from None
