"""What the mailbox and a slot's workers say to each other. Free of torch: the mailbox's process starts sooner so."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from trainables.common.results import EpochReport, TrialError, TrialResult


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
class TrialOrder:
    """One trial of an assignment."""

    trial_id: str
    config: dict[str, Any] = field(default_factory=dict)
    directory: str = ""
    prunable: bool = False
    """Whether the trial may be stopped, so that its end waits for the driver's word on every epoch."""
    shorter: tuple[int, ...] = ()
    """Numbers of epochs, longest first, with which the study ran before: a trial may go on where one of them ended."""
    follows: str = ""
    """The first seed of its configuration, if this is another one: it counts only if that one is complete."""


@dataclass(frozen=True)
class Assignment:
    """What the mailbox tells a slot to do next."""

    kind: Literal["train", "abandon", "idle", "close"]
    pack: str = ""
    """Name of the pack: the trial id of its first trial."""
    trials: tuple[TrialOrder, ...] = ()
    """Trained together, or as many of the first as it pays to; the others are left to be handed out again."""
    size: int | None = None
    """How many of them to train together; None: find out what pays."""
    error: TrialError | None = None
    """Why the trial is to be abandoned."""


Reports = list[tuple[str, EpochReport]]
"""Epochs of the trials of a pack, each with its trial's id, in the order in which they ended."""


class Verdict(NamedTuple):
    """What the driver decided about the trials of a pack."""

    pruned: dict[str, int]
    """Epoch after which a trial is pruned, for each that is."""
    interrupted: bool
    """Whether the study stopped before the driver had judged every epoch."""


class PackResult(NamedTuple):
    """How a pack ended."""

    results: dict[str, TrialResult]
    """Of the trials that ended. The others are to be handed out again, or to be left out (see `TrialOrder.follows`)."""
    size: int | None = None
    """How many trials of this kind it pays to train together, if it was found out."""
