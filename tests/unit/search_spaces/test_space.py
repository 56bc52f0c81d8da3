"""Names, values and domains as config fields declare them."""

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from search_spaces.domains import Aliases, Choice, Domain, FloatRange, IntRange
from search_spaces.explain import nearest, shown
from search_spaces.space import (
    ValueProblem,
    aliases,
    coerce,
    declared_domains,
    domain_from,
    domain_from_json,
    domain_to_json,
    domain_words,
    kind_of,
    names_of,
)


class Example(BaseModel):
    temperature: Annotated[float, Field(gt=0), FloatRange(1.0, 8.0, log=True), Aliases("tau", "T")] = 2.0
    size: Annotated[int, Field(ge=1, le=100), Choice((8, 16))] = 8
    labels: Annotated[int, Field(ge=1)] | None = None
    loss: Literal["mse", "clip"] = "mse"
    warm: bool = False
    widths: tuple[Annotated[int, Field(ge=1)], ...] = (4,)


LOW = "must be at least 1, but got 0; use 1 or more"
FIELDS = Example.model_fields


def messages(value: Any, field: str, sweep: bool = False) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(ValueProblem) as caught:
        domain_from(value, FIELDS[field]) if sweep else coerce(value, FIELDS[field])
    return [(fault.location, fault.message) for fault in caught.value.faults]


def test_names_aliases_and_declared_domains() -> None:
    assert names_of(Example)["T"] == names_of(Example)["tau"] == "temperature"
    assert names_of(Example)["size"] == "size" and "S" not in names_of(Example)
    assert aliases(FIELDS["temperature"]) == ("tau", "T") and aliases(FIELDS["size"]) == ()
    assert declared_domains(Example) == {"temperature": FloatRange(1.0, 8.0, log=True), "size": Choice((8, 16))}


def test_kinds() -> None:
    kinds = {name: kind_of(field) for name, field in FIELDS.items()}
    assert kinds == {
        "temperature": "float",
        "size": "int",
        "labels": "int",
        "loss": "text",
        "warm": "bool",
        "widths": "other",
    }


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("temperature", "1e-4", 0.0001),
        ("temperature", 3, 3.0),
        ("size", 16.0, 16),
        ("size", "16", 16),
        ("labels", None, None),
        ("labels", 5, 5),
        ("warm", True, True),
        ("widths", [3, 4.0], (3, 4)),
        ("loss", "clip", "clip"),
    ],
)
def test_values_become_what_the_field_holds(field: str, value: Any, expected: Any) -> None:
    assert repr(coerce(value, FIELDS[field])) == repr(expected)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("temperature", True, [((), "must be a number, but got the boolean true; write 1 if you mean the number")]),
        ("labels", False, [((), "must be a whole number, but got the boolean false; write 0 if you mean the number")]),
        ("widths", [2, True, 0], [((1,), "must be a whole number, but got the boolean true; write 1 if you mean the number")]),  # noqa: E501
        ("widths", [2, 0, -3], [((1,), LOW), ((2,), "must be at least 1, but got -3; use 1 or more")]),
        ("size", "1e-4", [((), "must be a whole number, but got '1e-4'; write a number, without quotes or a unit")]),
        ("size", 101, [((), "must be at most 100, but got 101; use 100 or less")]),
        ("temperature", float("nan"), [((), "must be finite, but got nan; write a number")]),
        ("temperature", float("inf"), [((), "must be finite, but got inf; write a number")]),
        ("loss", "mes", [((), "must be one of mse, clip, but got 'mes'; did you mean mse?")]),
        ("loss", True, [((), "must be one of mse, clip, but got true")]),
        ("warm", "perhaps", [((), "must be true or false, but got 'perhaps'")]),
    ],
)  # fmt: skip
def test_wrong_values_are_explained(field: str, value: Any, expected: list[Any]) -> None:
    assert messages(value, field) == expected


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("temperature", [1, "2"], Choice((1.0, 2.0))),
        ("temperature", {"low": 1, "high": 8}, FloatRange(1.0, 8.0)),
        ("temperature", {"low": "1e-2", "high": 8, "log": True}, FloatRange(0.01, 8.0, log=True)),
        ("temperature", {"low": 1, "high": 2, "step": 1}, FloatRange(1.0, 2.0, step=1.0)),
        ("size", {"low": 2, "high": 8.0, "step": 2}, IntRange(2, 8, step=2)),
        ("size", {"low": 2, "high": 8, "log": True}, IntRange(2, 8, log=True)),
        ("size", "default", Choice((8, 16))),
        ("labels", {"low": 10, "high": 20}, IntRange(10, 20)),
        ("warm", [True, False], Choice((True, False))),
        ("loss", ["clip"], Choice(("clip",))),
    ],
)
def test_domains(field: str, value: Any, expected: Domain) -> None:
    assert repr(domain_from(value, FIELDS[field])) == repr(expected)


@pytest.mark.parametrize(
    ("field", "value", "locations"),
    [
        ("size", [8, 0, "a", 8], [(1,), (2,)]),
        ("size", [8, 16, 8.0], [(2,)]),
        ("size", [], [()]),
        ("size", [None], [(0,)]),
        ("size", {"low": 0, "high": 101}, [("low",), ("high",)]),
        ("size", {"low": 8, "high": 4}, [("low",)]),
        ("size", {"low": 1, "high": 4, "step": 0}, [("step",)]),
        ("size", {"low": 1, "high": 4, "step": 0.5}, [("step",)]),
        ("size", {"low": 1, "high": 4, "log": 1}, [("log",)]),
        ("size", {"low": 1, "high": 4, "log": True, "step": 2}, [("step",)]),
        ("size", {"low": 1, "top": 4}, [("top",), ()]),
        ("size", {"min": 1, "max": 4}, [("min",), ("max",)]),
        ("temperature", {"low": 1, "high": 8, "step": 1e-9}, [("step",)]),
        ("labels", "default", [()]),
        ("loss", {"low": "clip", "high": "mse"}, [()]),
        ("widths", [[1], [2]], [()]),
        ("size", 8, [()]),
        ("size", None, [()]),
    ],
)
def test_each_wrong_endpoint_and_choice_is_found(field: str, value: Any, locations: list[Any]) -> None:
    assert [location for location, _ in messages(value, field, sweep=True)] == locations


numbers = st.floats(min_value=-1e6, max_value=1e6)
ranges = st.tuples(st.sampled_from(["float", "stepped", "int", "log"]), numbers, st.integers(0, 99))
choices = st.lists(st.one_of(st.integers(), st.booleans(), st.text(), numbers), min_size=1, unique_by=repr)


def made(description: Any) -> Domain:
    """Domains are made here and not by hypothesis, whose strategies may not contain the shape checks of the tests."""
    if isinstance(description, list):
        return Choice(tuple(description))
    kind, low, width = description
    if kind in ("float", "stepped"):
        return FloatRange(low, low + width, step=0.5 if kind == "stepped" else None)
    return IntRange(abs(int(low)) + 1, abs(int(low)) + 1 + width, log=kind == "log")


@pytest.mark.slow
@settings(deadline=None)
@given(st.one_of(ranges, choices))
def test_json_keeps_a_domain_exactly(description: Any) -> None:
    domain = made(description)
    assert repr(domain_from_json(json.loads(json.dumps(domain_to_json(domain))))) == repr(domain)
    assert domain_from_json(domain) is domain


@settings(deadline=None)
@given(st.one_of(ranges, choices))
def test_the_size_of_a_domain_is_the_length_of_its_grid(description: Any) -> None:
    grid = made(description).grid()
    assert made(description).size() == (None if grid is None else len(grid))


def test_domains_in_words() -> None:
    domains = [
        FloatRange(1.0, 8.0, log=True),
        FloatRange(0.0, 1.0, step=0.1),
        IntRange(2, 9),
        IntRange(2, 9, step=2),
        Choice((1, "a")),
    ]
    expected = ["1 to 8, log", "0 to 1, step 0.1", "2 to 9", "2 to 9, step 2", "1, a"]
    assert [domain_words(domain) for domain in domains] == expected


def test_nearest() -> None:
    names = ["temperature", "tau", "T", "batch_size", "lambda_kd", "lambda"]
    assert nearest("temprature", names) == "temperature"
    assert nearest("batch", names) == "batch_size"
    assert nearest("Lambda", names) == "lambda"
    assert nearest("colour", names) is None
    assert nearest("x", []) is None


def test_values_are_shown_as_yaml_has_them() -> None:
    assert [shown(value) for value in (True, None, 0.1, 1e-9, "a", 1 / 3)] == [
        "true", "nothing (null)", "0.1", "1e-09", "'a'", "0.3333333333333333",
    ]  # fmt: skip
    assert len(shown("x" * 100)) == 60
