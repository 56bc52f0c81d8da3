"""Words and times for people."""

from datetime import timedelta


def plural(count: int, noun: str) -> str:
    """`1 slot`, `2 slots`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def clock(seconds: float) -> str:
    """Whole seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
