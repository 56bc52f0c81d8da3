"""TCGA in the layout of MOGONET's repository: tables without header, one line for each sample, in `tr` and `te`."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from trainables.data.common.raw_files import require_path

NUMBERS = {"mRNA": 1, "methylation": 2, "miRNA": 3}
"""Number of each view in the file names."""


@dataclass(frozen=True)
class Mogonet:
    """The files of one cohort."""

    layout: ClassVar[str] = "mogonet"
    root: Path
    cohort: str

    @property
    def folder(self) -> Path:
        """The folder of the files: that of the cohort in `root`, or `root`."""
        folder = self.root / self.cohort
        return folder if folder.is_dir() else self.root

    def path(self, name: str) -> Path:
        """One file. Raises FileNotFoundError."""
        return require_path("tcga", self.folder / name, f"MOGONET's {self.cohort}")

    def label_files(self) -> list[Path]:
        """The small files, which the fingerprint hashes by content."""
        return [self.path(f"labels_{part}.csv") for part in ("tr", "te")]

    def files(self, views: set[str]) -> list[Path]:
        """The large files of some views."""
        return [self.path(f"{NUMBERS[view]}_{part}.csv") for view in views for part in ("tr", "te")]

    def labels(self) -> tuple[Int64[ndarray, " rows"], ndarray]:
        """Classes of all samples, `tr` before `te`, and a mask of `te`. Raises ValueError with the first wrong line."""
        parts: list[ndarray] = []
        for path in self.label_files():
            values = numbers_of(path, 1)[:, 0]
            if (values != np.round(values)).any() or values.min() < 0:
                raise ValueError(
                    f"tcga: {str(path)!r} must have a class 0, 1, ... on each line, not {values.min():g}; restore it"
                )
            parts.append(values.astype(np.int64))
        return np.concatenate(parts), np.repeat([False, True], [len(part) for part in parts])

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels()[0].max()) + 1

    def width(self, view: str, most: int) -> int:
        """Number of features of a view by the list of their names, at most `most`."""
        path = self.path(f"{NUMBERS[view]}_featname.csv")
        return min(most, sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip()))

    def table(self, view: str) -> Float[ndarray, "rows features"]:
        """A view of all samples. Raises ValueError if its shape does not match the labels and the feature names."""
        parts = []
        names = self.width(view, 2**31)
        for path, labels in zip(self.files({view}), self.label_files(), strict=True):
            part, rows = numbers_of(path), len(numbers_of(labels, 1))
            if part.shape != (rows, names):
                raise ValueError(
                    f"tcga: {str(path)!r} must have {rows} rows (as {labels.name}) of {names} features (as "
                    f"{NUMBERS[view]}_featname.csv), but has {part.shape[0]} of {part.shape[1]}; copy them again"
                )
            parts.append(part)
        return np.concatenate(parts)

    def notes(self) -> dict[str, int]:
        """Notes for the report."""
        return {"samples": len(self.labels()[0])}


def numbers_of(path: Path, columns: int | None = None) -> Float[ndarray, "rows columns"]:
    """A comma-separated table without header. Raises ValueError with the first wrong line."""
    stat = path.stat()
    return cached_numbers(path, columns, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def cached_numbers(path: Path, columns: int | None, changed: int, size: int) -> Float[ndarray, "rows columns"]:
    """See `numbers_of`. A process reads the file once, and again only if it changes."""
    rows: list[ndarray] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = np.array(line.strip().split(","), dtype=np.float64)
            except ValueError as error:
                raise ValueError(
                    f"tcga: line {number} of {str(path)!r} must be numbers, but is not ({error}); restore it"
                ) from None
            if len(row) != (columns or (len(rows[0]) if rows else len(row))):
                raise ValueError(
                    f"tcga: line {number} of {str(path)!r} must have {columns or len(rows[0])} columns, but has "
                    f"{len(row)}; restore it"
                )
            rows.append(row)
    if not rows:
        raise ValueError(f"tcga: {str(path)!r} is empty; copy it again")
    return np.stack(rows)
