"""What is wrong with a study file: one line for each problem, with its place."""

from pathlib import Path
from typing import NamedTuple

from study.errors import StudyError


class Place(NamedTuple):
    """A position in a file, both counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that a user has to change."""

    place: Place | None
    """None where the file as a whole is meant."""
    path: str
    """Dotted path of the value, by canonical names: `arms.ciba.space.bottleneck_dim`."""
    message: str
    """Rule, offending value, remedy."""

    def line(self, file: str) -> str:
        """`sweep.yaml:12:7: arms.ciba.space.bottleneck_dim: ...`."""
        where = f"{file}:{self.place.line}:{self.place.column}" if self.place else file
        message = " ".join(self.message.split())
        return f"{where}: {self.path}: {message}" if self.path else f"{where}: {message}"


class StudyFileError(StudyError):
    """Everything wrong with one study file; as text, one line for each problem, in the order of the file."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.path = path
        self.problems = sorted(dict.fromkeys(problems), key=lambda problem: (problem.place or Place(0, 0), problem[1:]))
        super().__init__("\n".join(problem.line(str(path)) for problem in self.problems))


class Problems:
    """Collects problems, so that a user sees all of them at once."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def add(self, place: Place | None, path: str, message: str) -> None:
        """Note one problem. A path that has one already keeps the first: later ones follow from it."""
        if all((problem.place, problem.path) != (place, path) for problem in self._problems):
            self._problems.append(Problem(place, path, message))

    def __len__(self) -> int:
        return len(self._problems)

    def all(self) -> list[Problem]:
        """The problems in the order in which they were added."""
        return list(self._problems)

    def raise_if_any(self, path: Path) -> None:
        """Raise StudyFileError for the file `path` if there are problems."""
        if self._problems:
            raise StudyFileError(path, self._problems)
