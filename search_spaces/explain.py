"""Error messages for pydantic's errors: what was expected, what was found, and the fix."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]
"""Position inside a nested value: list indices and mapping keys."""

SIMILAR = 0.62
"""Similarity (difflib's ratio, 0 to 1) from which one name counts as a misspelling of another."""

SWITCH_WORDS = ("on", "off", "yes", "no", "true", "false", "True", "False")
"""Words that YAML 1.1 reads as booleans. YAML 1.2, which is used here, reads the first four as text."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that the user probably meant by `name`, or None."""
    folded = {other.lower(): other for other in reversed(list(names))}
    completions = [other for other in folded if len(name) > 2 and other.startswith(name.lower())]
    if len(completions) == 1:
        return folded[completions[0]]
    matches = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=SIMILAR)
    return folded[matches[0]] if matches else None


def one_of(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *head, last = names
    return f"{', '.join(head)} or {last}" if head else last


def shown(value: object) -> str:
    """A value as YAML writes it: `true`, `null`, 'text'; at most 60 characters."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"{value:g}" if isinstance(value, float) and value == float(f"{value:g}") else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def words_for(error: ErrorDetails) -> str:
    """The message for one of pydantic's errors: `must be X, but got Y; fix` (some have no fix)."""
    context: Mapping[str, Any] = error.get("ctx", {})
    value: object = error["input"]
    if error["type"] in ("value_error", "assertion_error"):
        return str(context["error"])
    if error["type"] == "literal_error":
        return not_a_choice(value, [word.strip(" '") for word in context["expected"].replace(" or ", ",").split(",")])
    rule = RULES.get(error["type"])
    if rule is None:
        return f"{error['msg'][:1].lower()}{error['msg'][1:]}, but got {shown(value)}"
    return f"{rule(context)}, but got {shown(value)}{remedy_for(error['type'], value, context)}"


def not_a_choice(value: object, choices: list[str]) -> str:
    """The message for a value that is none of the `choices`, with the most similar choice."""
    message = f"must be {'one of ' if len(choices) > 1 else ''}{', '.join(choices)}, but got {shown(value)}"
    if "none" in choices and (value is None or value is False or value in SWITCH_WORDS):
        return f"{message}; to turn it off, write none"
    guess = nearest(value, choices) if isinstance(value, str) else None
    return f"{message}; did you mean {guess}?" if guess else message


def remedy_for(kind: str, value: object, context: Mapping[str, Any]) -> str:
    """The fix, `; write ...`, or nothing where the kind of error does not tell.

    Args:
        kind: pydantic's type of the error.
        value: the wrong value.
        context: pydantic's context of the error, such as the bound.

    """
    if kind in BOUND_REMEDIES:
        return f"; {BOUND_REMEDIES[kind](context)}"
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


BOUND_REMEDIES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda context: "use a larger number",
    "greater_than_equal": lambda context: f"use {context['ge']:g} or more",
    "less_than": lambda context: "use a smaller number",
    "less_than_equal": lambda context: f"use {context['le']:g} or less",
    "too_short": lambda context: "add entries",
    "too_long": lambda context: "remove entries",
    "string_too_short": lambda context: "write a longer text",
}
"""The fix for a value beyond a bound, by pydantic's type of the error."""

RULES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda context: f"must be above {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']:g}",
    "less_than": lambda context: f"must be below {context['lt']:g}",
    "less_than_equal": lambda context: f"must be at most {context['le']:g}",
    "finite_number": lambda context: "must be finite",
    "int_type": lambda context: "must be a whole number",
    "int_parsing": lambda context: "must be a whole number",
    "int_parsing_size": lambda context: "must be a whole number with fewer digits",
    "int_from_float": lambda context: "must be a whole number",
    "float_type": lambda context: "must be a number",
    "float_parsing": lambda context: "must be a number",
    "string_type": lambda context: "must be text",
    "bool_type": lambda context: "must be true or false",
    "bool_parsing": lambda context: "must be true or false",
    "tuple_type": lambda context: "must be a list",
    "list_type": lambda context: "must be a list",
    "dict_type": lambda context: "must be a mapping of keys to values",
    "too_short": lambda context: f"must have at least {entries(context['min_length'])}",
    "too_long": lambda context: f"must have at most {entries(context['max_length'])}",
    "string_too_short": lambda context: f"must have {context['min_length']} or more characters",
}
"""What was expected, by pydantic's type of the error."""


def entries(number: int) -> str:
    """`1 entry`, `2 entries`."""
    return f"{number} {'entry' if number == 1 else 'entries'}"
