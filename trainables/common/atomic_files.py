"""Files that survive a kill: written whole or not at all, readable by a person."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_bytes(path: Path, data: bytes) -> None:
    """Write atomically: a reader sees the complete old file or the complete new one, even after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, value: object) -> None:
    """Write `value` as readable JSON, atomically. NaN raises ValueError, because strict JSON readers reject it."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False, default=str) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises FileNotFoundError."""
    return json.loads(path.read_bytes())


def append_json(path: Path, value: object) -> None:
    """Append one line. An incomplete last line, left by a kill, is removed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        size = file.tell()
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write((json.dumps(value, allow_nan=False) + "\n").encode())
        file.flush()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a jsonl file; none if the file does not exist. An incomplete last line is left out."""
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n")[:-1]:
        yield json.loads(line)
