"""Messages between the mailbox and a slot's workers. It does not import torch, so the mailbox starts sooner."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from trainables.common.results import EpochReport, TrialError, TrialResult


class SlotConfig(NamedTuple):
    """Settings of a slot's workers, passed once when they start."""

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
class TrialJob:
    """One trial of an assignment."""

    trial_id: str
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    directory: str = ""
    prunable: bool = False
    """If true, the trial is finalized only after the driver has decided on every epoch."""
    shorter: tuple[int, ...] = ()
    """Smaller numbers of epochs with which the study was run before, longest first. The trial may continue from the
    last checkpoint of one of them."""
    follows: str = ""
    """Trial id of the first seed of its configuration; empty for the first seed itself. The trial counts only if the
    first seed is complete."""


@dataclass(frozen=True)
class Assignment:
    """What a slot does next."""

    kind: Literal["train", "abandon", "idle", "close"]
    pack: str = ""
    """Name of the pack: the trial id of its first trial."""
    trials: tuple[TrialJob, ...] = ()
    """The trials to train together. If it pays to train fewer, the last ones are returned and assigned again later."""
    size: int | None = None
    """How many of them to train together; None: the slot measures the best number."""
    error: TrialError | None = None
    """Why the trial is abandoned."""


Reports = list[tuple[str, EpochReport]]
"""Epochs of the trials of a pack in the order in which they ended, each with its trial id."""


class PruneDecisions(NamedTuple):
    """The driver's decisions about the trials of a pack."""

    pruned: dict[str, int]
    """Epoch after which a trial is pruned, for each pruned trial."""
    interrupted: bool
    """Whether the study stopped before the driver had decided on every epoch."""


class PackResult(NamedTuple):
    """How a pack ended."""

    results: dict[str, TrialResult]
    """Results of the trials that ended. The others are assigned again or dropped (see `TrialJob.follows`)."""
    size: int | None = None
    """How many trials of this kind it pays to train together, if it was measured."""
