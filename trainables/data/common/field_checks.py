"""Checks of config fields that depend on an earlier field, shared by several data sets."""

from collections.abc import Callable
from typing import TypeVar

from trainables.common.types import EarlierFields, earlier

T = TypeVar("T")


def leaves_test_rows(most: int, rows: int) -> Callable[[int, EarlierFields], int]:
    """A validator of `val`, declared after `train`: together they can take `most` of the `rows` examples."""

    def check(val: int, info: EarlierFields) -> int:
        train = earlier(info, "train")
        if isinstance(train, int) and train + val > most:
            raise ValueError(
                f"train + val must be at most {most} of the {rows} examples, so that a balanced test split remains, "
                f"but got {train!r} + {val!r} = {train + val!r}; lower one of them by {train + val - most}"
            )
        return val

    return check


def at_most_train(labels: int, info: EarlierFields) -> int:
    """A validator of `labels`, declared after `train`: at most `train`."""
    train = earlier(info, "train")
    if isinstance(train, int) and labels > train:
        raise ValueError(
            f"labels counts training pairs, so it must be at most train = {train!r}, but got {labels!r}; "
            "lower it, or write null to label them all"
        )
    return labels


def only_with(field: str, needed: str) -> Callable[[object], Callable[[T, EarlierFields], T]]:
    """Validators of fields that are used only if the earlier `field` equals `needed`.

    Returns:
        A function from the default of a field to its validator, which accepts only the default for other values of
        `field`.

    """

    def with_default(default: object) -> Callable[[T, EarlierFields], T]:
        def check(value: T, info: EarlierFields) -> T:
            chosen = earlier(info, field)
            if chosen not in (None, needed) and value != default:
                raise ValueError(
                    f"is used only with `{field}: {needed}`, but the {field} is {chosen!r}; leave it out, "
                    f"or write `{field}: {needed}`"
                )
            return value

        return check

    return with_default
