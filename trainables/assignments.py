"""What the mailbox and a slot's workers say to each other. Free of torch: the mailbox's process starts sooner so."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from trainables.results import TrialError


class SlotConfig(NamedTuple):
    """What a slot's workers are told once, at their start."""

    slot: int
    mailbox: str
    """Name of the mailbox actor."""
    namespace: str
    stages: str
    """Root of the shared artifacts."""
    threads: int
    """CPU threads of each worker."""
    checkpoint_seconds: float


@dataclass(frozen=True)
class Assignment:
    """What the mailbox tells a slot to do next."""

    kind: Literal["train", "abandon", "idle", "close"]
    trial_id: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    directory: str = ""
    prunable: bool = False
    """Whether the trial may be stopped, so that its end waits for the driver's word on every epoch."""
    shorter: tuple[int, ...] = ()
    """Numbers of epochs, longest first, with which the study ran before: a trial may go on where one of them ended."""
    error: TrialError | None = None
    """Why the trial is to be abandoned."""


class Verdict(NamedTuple):
    """What the driver decided about a trial that it could stop."""

    pruned_at: int | None
    """Epoch after which the trial is pruned, None if it is not."""
    interrupted: bool
    """Whether the study stopped before the driver had judged every epoch."""
