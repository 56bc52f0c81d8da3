"""Places and problems that ruamel's `compose` would lose, which is why the tree is built from events."""

from pathlib import Path

import pytest

from study.parsing.problems import Place, StudyFileError
from study.parsing.yaml_tree import parse


def problems_of(text: str) -> list[tuple[Place | None, str]]:
    with pytest.raises(StudyFileError) as caught:
        parse(text, Path("sweep.yaml"))
    return [(problem.place, problem.path) for problem in caught.value.problems]


def test_an_alias_has_its_own_place_and_the_values_of_its_anchor() -> None:
    root = parse("a: &x [1, 2]\nb:   *x\n", Path("sweep.yaml"))
    assert root.plain == {"a": [1, 2], "b": [1, 2]}
    assert root.place_of("a") == Place(1, 4) and root.place_of("b") == Place(2, 6)


def test_every_problem_of_a_tree_is_reported() -> None:
    text = "a: *x\nb: !!int 3\nc: !!str d\na: 1\ne: *y\n"
    places = [(Place(1, 4), "a"), (Place(2, 4), "b"), (Place(3, 4), "c"), (Place(4, 1), "a"), (Place(5, 4), "e")]
    assert problems_of(text) == places


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "a: &x [*x]", "a: &x {b: *x}"])
def test_endless_nesting_is_one_problem(text: str) -> None:
    assert len(problems_of(text)) == 1


def test_a_place_is_the_nearest_that_there_is() -> None:
    root = parse("a:\n  b: [1, 2]\n", Path("sweep.yaml"))
    assert root.place_of("a.b.1") == Place(2, 10)
    assert root.place_of("a.b.7") == root.place_of("a.b") == Place(2, 6)
    assert root.place_of("z") == root.place == Place(1, 1)
