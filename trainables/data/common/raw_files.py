"""Raw files of a data set: checks that they exist, comma-separated lists, fingerprints."""

import csv
import hashlib
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TypeVar

Config = TypeVar("Config")


def require_path(dataset: str, path: Path, what: str) -> Path:
    """The path. Raises FileNotFoundError if it does not exist; `what` names its content in the message."""
    if not path.exists():
        raise FileNotFoundError(f"{dataset} needs {what}: {str(path)!r} does not exist; put it there, or set data.root")
    return path


def read_csv(
    dataset: str, path: Path, columns: int, what: str, header: bool | None = None
) -> list[tuple[int, list[str]]]:
    """Line numbers and fields of a comma-separated file, without empty lines.

    Args:
        dataset: name of the data set, for messages.
        path: the file.
        columns: least number of fields in a line.
        what: what the fields are, for messages.
        header: whether the first line is a header; None: it is one if its last required field is no number.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is empty or no text, or if a line has too few fields.

    """
    require_path(dataset, path, f"the list of {what}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [(number, fields) for number, fields in enumerate(csv.reader(file), start=1) if any(fields)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{dataset}: {str(path)!r} must be comma-separated text, but cannot be read ({error}); restore it"
        ) from None
    for number, fields in lines:
        if len(fields) < columns:
            raise ValueError(
                f"{dataset}: line {number} of {str(path)!r} must contain {what}, but has {len(fields)} fields: "
                f"{','.join(fields)!r}; restore the file"
            )
    if lines and (header or (header is None and not lines[0][1][columns - 1].strip().lstrip("-").isdigit())):
        lines = lines[1:]
    if not lines:
        raise ValueError(f"{dataset}: {str(path)!r} has no entries; restore the file")
    return lines


def fingerprint_of(name: str, version: int, *raw: bytes) -> str:
    """Hash of a data set's raw bytes (none for generated data) and of the version of its loading code.

    The config is not hashed, because every stage key contains it as well.
    """
    state = hashlib.sha256(f"{name} {version}".encode())
    for part in raw:
        state.update(hashlib.sha256(part).digest())
    return state.hexdigest()


def fingerprint_of_files(
    dataset: str, version: int, whole: Iterable[Path], sizes: Iterable[Path], root: Path, more: Iterable[str] = ()
) -> str:
    """Hash of the contents of small files and of the names and sizes of large files.

    Args:
        dataset: name of the data set.
        version: version of its loading code.
        whole: small files, hashed by content.
        sizes: large files, hashed by their path within `root` and size; the size of a missing file is -1.
        root: the folder of the data set.
        more: other texts that determine the arrays.

    """
    raw = [path.read_bytes() for path in whole]
    listed = [f"{path.relative_to(root)} {path.stat().st_size if path.exists() else -1}" for path in sizes]
    return fingerprint_of(dataset, version, *raw, "\n".join([*listed, *more]).encode())


def without_file_errors(not_comparable: Callable[[Config], str | None]) -> Callable[[Config], str | None]:
    """Decorates `not_comparable`: missing or wrong files become its answer, so that a report does not fail."""

    @wraps(not_comparable)
    def answer(config: Config) -> str | None:
        try:
            return not_comparable(config)
        except (OSError, ValueError) as error:
            return f"the raw files cannot be read ({error})"

    return answer
