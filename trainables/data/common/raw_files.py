"""Raw files of a data set: what must be there, comma-separated lists, fingerprints of names and sizes."""

import csv
import hashlib
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TypeVar

Config = TypeVar("Config")


def needs(dataset: str, path: Path, what: str) -> Path:
    """The path, if it exists. Raises FileNotFoundError (what to put where)."""
    if not path.exists():
        raise FileNotFoundError(f"{dataset} needs {what}: {str(path)!r} does not exist; put it there, or set data.root")
    return path


def read_csv(
    dataset: str, path: Path, columns: int, what: str, header: bool | None = None
) -> list[tuple[int, list[str]]]:
    """Line numbers and fields of a comma-separated file, without empty lines.

    Args:
        dataset: for messages.
        path: the file.
        columns: how many fields every line must have, at least.
        what: what the fields are, for messages.
        header: whether the first line is a heading; None: if its last needed field is no number.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is empty, is no text or has a line with too few fields.

    """
    needs(dataset, path, f"the list of {what}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [(number, fields) for number, fields in enumerate(csv.reader(file), start=1) if any(fields)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{dataset}: {str(path)!r} is no comma-separated text ({error}); restore it") from None
    for number, fields in lines:
        if len(fields) < columns:
            raise ValueError(
                f"{dataset}: line {number} of {str(path)!r} must hold {what}, but has {len(fields)} fields: "
                f"{','.join(fields)!r}; restore the file"
            )
    if lines and (header or (header is None and not lines[0][1][columns - 1].strip().lstrip("-").isdigit())):
        lines = lines[1:]
    if not lines:
        raise ValueError(f"{dataset}: {str(path)!r} lists nothing; restore the file")
    return lines


def fingerprint_of(name: str, version: int, *raw: bytes) -> str:
    """Hash of a data set's raw bytes and of the version of the code that turns them (or nothing) into arrays.

    The config is not hashed: it stands beside the fingerprint in every key.
    """
    state = hashlib.sha256(f"{name} {version}".encode())
    for part in raw:
        state.update(hashlib.sha256(part).digest())
    return state.hexdigest()


def fingerprint_of_files(
    dataset: str, version: int, whole: Iterable[Path], sizes: Iterable[Path], root: Path, more: Iterable[str] = ()
) -> str:
    """Hash of the contents of small files and of the names and sizes of large ones (-1 where there is none)."""
    raw = [path.read_bytes() for path in whole]
    listed = [f"{path.relative_to(root)} {path.stat().st_size if path.exists() else -1}" for path in sizes]
    return fingerprint_of(dataset, version, *raw, "\n".join([*listed, *more]).encode())


def or_why_not(not_comparable: Callable[[Config], str | None]) -> Callable[[Config], str | None]:
    """Makes `not_comparable` answer where the files are gone or wrong: a report must not fail for that."""

    @wraps(not_comparable)
    def answer(config: Config) -> str | None:
        try:
            return not_comparable(config)
        except (OSError, ValueError) as error:
            return f"the raw files cannot be counted ({error})"

    return answer
