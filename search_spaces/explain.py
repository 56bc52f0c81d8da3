"""Pydantic's errors in our words: the rule, the value that breaks it, and what to do."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]
"""Where in a nested value something stands: list positions and mapping keys."""

SIMILAR = 0.62
"""Similarity (0 to 1, difflib's) from which one name is taken for a slip of another."""

SWITCH_WORDS = ("on", "off", "yes", "no", "true", "false", "True", "False")
"""Words that YAML 1.1 reads as true or false, and YAML 1.2 (which we read) as text, but for the last four."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that `name` was probably meant to be, or None."""
    folded = {other.lower(): other for other in reversed(list(names))}
    begun = [other for other in folded if len(name) > 2 and other.startswith(name.lower())]
    found = begun if len(begun) == 1 else difflib.get_close_matches(name.lower(), folded, n=1, cutoff=SIMILAR)
    return folded[found[0]] if found else None


def one_of(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *head, last = names
    return f"{', '.join(head)} or {last}" if head else last


def shown(value: object) -> str:
    """A value as a person who wrote YAML knows it: `true`, `null`, 'text', and no more than 60 characters of it."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"{value:g}" if isinstance(value, float) and value == float(f"{value:g}") else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def words_for(error: ErrorDetails) -> str:
    """One of pydantic's errors as rule, value and, where there is one, remedy."""
    context: Mapping[str, Any] = error.get("ctx", {})
    value: object = error["input"]
    if error["type"] in ("value_error", "assertion_error"):
        return str(context["error"])
    if error["type"] == "literal_error":
        return not_a_choice(value, [word.strip(" '") for word in context["expected"].replace(" or ", ",").split(",")])
    rule = RULES.get(error["type"])
    if rule is None:
        return f"{error['msg'][:1].lower()}{error['msg'][1:]}, but got {shown(value)}"
    return f"{rule(context)}, but got {shown(value)}{remedy_for(error['type'], value)}"


def not_a_choice(value: object, choices: list[str]) -> str:
    """Why `value` is none of the `choices`, with the nearest of them."""
    said = f"must be {'one of ' if len(choices) > 1 else ''}{', '.join(choices)}, but got {shown(value)}"
    if "none" in choices and (value is None or value is False or value in SWITCH_WORDS):
        return f"{said}; to turn it off, write none"
    guess = nearest(value, choices) if isinstance(value, str) else None
    return f"{said}; did you mean {guess}?" if guess else said


def remedy_for(kind: str, value: object) -> str:
    """What to write instead, where the kind of error tells."""
    if kind in DIRECTIONS:
        return f"; {DIRECTIONS[kind]} it"
    if kind == "string_type" and value is not None:
        return "; put it in quotes"
    if kind in ("tuple_type", "list_type") and isinstance(value, int | float | str):
        return f"; write [{value}]"
    if kind == "finite_number":
        return "; write a number"
    if kind in ("int_type", "float_type", "int_parsing", "float_parsing"):
        if isinstance(value, list | dict):
            return "; a list or a range belongs under `space:`"
        if value is None:
            return "; write a number, or leave the key out for the default"
        return "; write a number, without quotes or a unit"
    if kind == "int_from_float" and isinstance(value, float) and abs(value) >= 1:
        return f"; write {round(value)}"
    return ""


DIRECTIONS = {
    "greater_than": "raise",
    "greater_than_equal": "raise",
    "less_than": "lower",
    "less_than_equal": "lower",
    "too_short": "add to",
    "too_long": "shorten",
    "string_too_short": "lengthen",
}
"""What to do about a value beyond a bound."""

RULES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda context: f"must be above {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']:g}",
    "less_than": lambda context: f"must be below {context['lt']:g}",
    "less_than_equal": lambda context: f"must be at most {context['le']:g}",
    "finite_number": lambda context: "must be finite",
    "int_type": lambda context: "must be a whole number",
    "int_parsing": lambda context: "must be a whole number",
    "int_parsing_size": lambda context: "must be a whole number of reasonable size",
    "int_from_float": lambda context: "must be a whole number",
    "float_type": lambda context: "must be a number",
    "float_parsing": lambda context: "must be a number",
    "string_type": lambda context: "must be text",
    "bool_type": lambda context: "must be true or false",
    "bool_parsing": lambda context: "must be true or false",
    "tuple_type": lambda context: "must be a list",
    "list_type": lambda context: "must be a list",
    "dict_type": lambda context: "must be a mapping of keys to values",
    "too_short": lambda context: f"must hold {context['min_length']} or more",
    "too_long": lambda context: f"must hold at most {context['max_length']}",
    "string_too_short": lambda context: f"must have {context['min_length']} or more characters",
}
"""The rule that each kind of pydantic error stands for."""
