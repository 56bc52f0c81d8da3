"""TCGA in LinkedOmics' layout: tab-separated tables (one line for each feature, one column for each sample)."""

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, TextIO

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

Cohort = Literal["BRCA", "KIPAN", "LIHC"]
PATTERNS = {
    "mRNA": "RNAseq__HiSeq_RNA",
    "CNV": "SCNA__SNP_6.0",
    "RPPA": "RPPA__MDA_RPPA",
    "clinical": "Clinical",
}
"""Part of the file names of each view, after the cohort."""
MISSING = ("NA", "NaN", "nan", "")
PAM50 = ("normal", "basal", "her2", "luma", "lumb")
KIDNEY = ("chromophobe|kich", "clear cell|kirc", "papillary|kirp")


def pam50_class(value: str) -> int | None:
    """0 normal-like, 1 basal, 2 HER2-enriched, 3 luminal A, 4 luminal B."""
    plain = re.sub(r"[^a-z0-9]", "", value.lower().replace("luminal", "lum"))
    return next((place for place, name in enumerate(PAM50) if plain.startswith(name)), None)


def kidney_class(value: str) -> int | None:
    """0 chromophobe (KICH), 1 clear cell (KIRC), 2 papillary (KIRP)."""
    return next((place for place, name in enumerate(KIDNEY) if re.search(name, value.lower())), None)


def stage_class(value: str) -> int | None:
    """0 for stage I, 1 for stages II to IV."""
    found = re.fullmatch(r"(?:stage)?\s*(iv|iii|ii|i)[abc]?\d?", value.strip().lower())
    return None if found is None else int(found[1] != "i")


LABELS: dict[str, tuple[str, Callable[[str], int | None], int]] = {
    "BRCA": ("PAM50", pam50_class, 5),
    "KIPAN": ("histological_type", kidney_class, 3),
    "LIHC": ("pathologic_stage", stage_class, 2),
}
"""For each cohort: row of the clinical table, function from its value to a class or None, number of classes."""


@dataclass(frozen=True)
class LinkedOmics:
    """The files of one cohort and its samples: those that have every view and a label."""

    layout: ClassVar[str] = "linkedomics"
    root: Path
    cohort: str
    views: tuple[str, ...]
    label_row: str | None

    def path(self, kind: str) -> Path:
        """The file of a view, or the clinical table.

        Args:
            kind: key of `PATTERNS`.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if there are several.
        """
        endings = (".tsi", ".tsi.gz") if kind == "clinical" else (".cct", ".cct.gz")
        wanted = f"*TCGA_{self.cohort}__*{PATTERNS[kind]}*{endings[0]}"
        places = [place for place in (self.root / self.cohort, self.root) if place.is_dir()]
        paths = [
            path for place in places for ending in endings for path in place.glob(wanted[: -len(endings[0])] + ending)
        ]
        if not paths:
            raise FileNotFoundError(
                f"tcga needs LinkedOmics' {kind} table of {self.cohort}: there is no {wanted!r} (or .gz) in "
                f"{str(self.root)!r}; put it there, or set data.root"
            )
        if len(paths) > 1:
            names = ", ".join(sorted(path.name for path in paths))
            raise ValueError(
                f"tcga: there must be one {kind} table of {self.cohort}, but several files match ({names}); keep one"
            )
        return paths[0]

    def label_files(self) -> list[Path]:
        """The small file, which the fingerprint hashes by content."""
        return [self.path("clinical")]

    def files(self, views: set[str]) -> list[Path]:
        """The large files: those that are read, and those that determine the samples."""
        return [self.path(view) for view in {*views, *self.views}]

    def known(self) -> tuple[list[str], list[int], int]:
        """The samples with every view and a label (alphabetical), their classes, and how many have no label."""
        clinical = self.path("clinical")
        values = clinical_row(clinical, self.label_row or LABELS[self.cohort][0])
        headings = {view: set(heading(self.path(view))) for view in self.views} | {"clinical": set(heading(clinical))}
        both = sorted(set.intersection(*headings.values()))
        if not both:
            examples = {name: sorted(samples)[:1] for name, samples in headings.items()}
            raise ValueError(
                f"tcga: the sample names of all tables of {self.cohort} must match, but no sample is in every table; "
                f"names are for example {examples}; copy tables of one release"
            )
        class_of = LABELS[self.cohort][1]
        classes = [class_of(values.get(sample, MISSING[0])) for sample in both]
        kept = [(sample, label) for sample, label in zip(both, classes, strict=True) if label is not None]
        if not kept:
            row = self.label_row or LABELS[self.cohort][0]
            shown = ", ".join(sorted(set(values.values()))[:5])
            raise ValueError(
                f"tcga: the values of {row!r} must be classes of {self.cohort}, but are {shown}; set data.label_row"
            )
        return [sample for sample, _ in kept], [label for _, label in kept], len(both) - len(kept)

    def labels(self) -> tuple[Int64[ndarray, " rows"], ndarray]:
        """Classes of the samples, and the official test rows (there are none)."""
        labels = np.array(self.known()[1], dtype=np.int64)
        return labels, np.zeros(len(labels), dtype=bool)

    @property
    def classes(self) -> int:
        """Number of classes of the cohort."""
        return LABELS[self.cohort][2]

    def width(self, view: str, most: int) -> int:
        """Number of features of a view, at most `most`; no more lines are read."""
        with opened(self.path(view)) as file:
            next(file)
            return sum(1 for _, line in zip(range(most), file, strict=False) if line.strip())

    def table(self, view: str) -> Float[ndarray, "rows features"]:
        """The numbers of a view for the samples of `known`; missing ones are NaN.

        Raises:
            ValueError: if the file is not a complete table of numbers.
        """
        path = self.path(view)
        columns = [heading(path).index(sample) for sample in self.known()[0]]
        rows = []
        with opened(path) as file:
            next(file)
            for number, line in enumerate(file, start=2):
                if line.strip():
                    rows.append(row_of(path, number, line, max(columns))[columns])
        return np.ascontiguousarray(np.stack(rows).T)

    def notes(self) -> dict[str, int]:
        """Notes for the report."""
        samples, _, unlabelled = self.known()
        return {"samples": len(samples), "samples_without_label": unlabelled}


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """A text file, gzipped or not. Raises ValueError if it is empty, truncated or unreadable."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", errors="replace") as file:
            yield file  # pyright: ignore[reportReturnType]
    except (OSError, EOFError, StopIteration) as error:
        raise ValueError(
            f"tcga: {str(path)!r} must be a table, but is empty, truncated or wrong ({error}); copy it again"
        ) from None


def heading(path: Path) -> list[str]:
    """Names of the samples. Raises ValueError if the first column is not the names, or a sample is listed twice."""
    with opened(path) as file:
        first, *samples = next(file).rstrip("\r\n").split("\t")
    if first.strip() != "attrib_name":
        raise ValueError(
            f"tcga: the first column of {str(path)!r} must be 'attrib_name', but is {first!r}; copy it again"
        )
    if len(set(samples)) < len(samples):
        twice = next(name for name in samples if samples.count(name) > 1)
        raise ValueError(f"tcga: {str(path)!r} must list each sample once, but has {twice!r} twice; keep one column")
    return samples


@lru_cache(maxsize=8)
def read_row(path: Path, row: str, changed: int) -> dict[str, str]:
    """See `clinical_row`.

    Args:
        path: the clinical table.
        row: name of the attribute.
        changed: modification time of the file, so that a changed file is read again.

    Raises:
        ValueError: if there is no such row.
    """
    samples, known = heading(path), []
    with opened(path) as file:
        for line in file:
            name, *values = line.rstrip("\r\n").split("\t")
            known.append(name)
            if name == row:
                pairs = zip(samples, values, strict=False)
                return {sample: value for sample, value in pairs if value not in MISSING}
    raise ValueError(
        f"tcga: {str(path)!r} has no row {row!r}; its rows are {', '.join(known[1:])}; set data.label_row to one"
    )


def clinical_row(path: Path, row: str) -> dict[str, str]:
    """Values of one attribute by sample, without missing ones. Raises ValueError if there is no such row."""
    return read_row(path, row, path.stat().st_mtime_ns)


def row_of(path: Path, number: int, line: str, last: int) -> Float[ndarray, " samples"]:
    """The numbers of one feature; missing ones are NaN.

    Args:
        path: the file, for messages.
        number: number of the line, for messages.
        line: the line.
        last: largest index that is needed.

    Raises:
        ValueError: if the line has too few fields, or one is not a number.

    """
    name, *fields = line.rstrip("\r\n").split("\t")
    if len(fields) <= last:
        raise ValueError(
            f"tcga: line {number} of {str(path)!r} ({name}) must have at least {last + 1} samples, but has "
            f"{len(fields)}; copy the file again"
        )
    try:
        return np.array([("nan" if field in MISSING else field) for field in fields], dtype=np.float64)
    except ValueError as error:
        raise ValueError(
            f"tcga: line {number} of {str(path)!r} ({name}) must be numbers, but is not ({error}); copy the file again"
        ) from None
