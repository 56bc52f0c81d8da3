"""Checks between the fields of one config: attached to the later field, so that the error points at it."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class EarlierFields(Protocol):
    """What pydantic gives a validator beside the value: the fields above it that were valid.

    Pydantic's own `ValidationInfo` is this and more, but cannot be checked at run time, as the tests do.
    """

    @property
    def data(self) -> dict[str, object]:
        """Values of the earlier fields by name; without those that were wrong themselves."""
        ...


def earlier(info: EarlierFields, name: str) -> object:
    """Value of the earlier field `name`; None if it was wrong itself or the field is checked on its own."""
    return (info.data or {}).get(name)
