"""The mailbox: a named Ray actor through which Tune's trials and Ray Train's slots reach each other.

Tune's side submits a trial and asks for its news; a slot's rank 0 takes a trial, reports its epochs, asks for the
verdict and hands in the result. Every call is short or waits inside the actor, so neither side polls.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import ray

from trainables.assignments import Assignment, Verdict
from trainables.results import EpochReport, TrialError, TrialResult

DEATHS_ALLOWED = 3
"""A trial whose worker group died this often is failed instead of being handed out again."""

IDLE_SECONDS = 60.0
"""A slot without work hears at least this often from the mailbox: its other ranks wait in a collective with a
time limit."""

INTERRUPTED_SECONDS = 0.2
"""How long an empty answer takes after an interruption."""


class News(NamedTuple):
    """What a slot has reported of a trial since the last question."""

    reports: list[EpochReport]
    result: TrialResult | None
    """Set with the last news of a trial."""
    slot: int
    from_epoch: int
    """Epochs that the present attempt found in the trial's checkpoint."""
    notices: "list[Notice]"


class Notice(NamedTuple):
    """What happened to a slot."""

    kind: Literal["ready", "died"]
    slot: int
    trial_id: str = ""
    """The trial that a dead worker group was training, if any."""
    deaths: int = 0
    """Worker groups that this trial has cost so far."""


@dataclass
class Entry:
    """One trial between its submission and the delivery of its last news."""

    assignment: Assignment
    slot: int = -1
    from_epoch: int = 0
    reports: list[EpochReport] = field(default_factory=list)
    judged: int = 0
    """How many of the reports the driver has judged."""
    stop_epoch: int | None = None
    result: TrialResult | None = None
    deaths: int = 0
    blamed: TrialError | None = None
    told: bool = False
    """Whether the result was delivered; such an entry is dropped when the next trial is submitted."""


class Mailbox:
    """See the module. Wrapped as an asyncio actor by `start_mailbox`; all methods run in one event loop."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.waiting: deque[str] = deque()
        self.holding: dict[int, str] = {}
        self.greeted: set[int] = set()
        self.notices: list[Notice] = []
        self.state: Literal["open", "interrupted", "closed"] = "open"
        self.changed = asyncio.Condition()

    # Tune's side

    async def submit(self, assignment: Assignment) -> None:
        """Queue a trial. One that is already on its way (its relay died) is only joined again."""
        async with self.changed:
            for finished in [name for name, entry in self.entries.items() if entry.told]:
                del self.entries[finished]
            if assignment.trial_id not in self.entries:
                self.entries[assignment.trial_id] = Entry(assignment)
                self.waiting.append(assignment.trial_id)
                self.changed.notify_all()

    async def news(self, trial_id: str, seen: int) -> News:
        """What is new of a trial beyond its first `seen` reports, waiting for it.

        Tune asks for more only after it has taken in the last answer, so those `seen` are judged. A relay that
        replaces a dead one begins at 0 and is told everything again: the search takes an epoch in only once.
        """
        entry = self.entries[trial_id]
        async with self.changed:
            entry.judged = seen
            self.changed.notify_all()
            await self.changed.wait_for(
                lambda: len(entry.reports) > seen or entry.result or self.notices or self.state == "interrupted"
            )
            news = News(entry.reports[seen:], entry.result, entry.slot, entry.from_epoch, self.notices)
            self.notices, entry.told = [], entry.result is not None
        if self.state == "interrupted" and not news.reports and not news.result:
            await asyncio.sleep(INTERRUPTED_SECONDS)  # Tune asks again until it has noticed
        return news

    async def stop(self, trial_id: str, epoch: int) -> None:
        """The trial is pruned after `epoch`."""
        async with self.changed:
            self.entries[trial_id].stop_epoch = epoch
            self.changed.notify_all()

    async def interrupt(self) -> None:
        """Every slot saves its state and ends; nothing is handed out any more."""
        await self._set_state("interrupted")

    async def close(self) -> None:
        """Slots end when they have handed in what they hold."""
        await self._set_state("closed")

    async def _set_state(self, state: Literal["interrupted", "closed"]) -> None:
        async with self.changed:
            self.state = state
            self.changed.notify_all()

    # The slots' side

    async def hello(self, slot: int) -> None:
        """A slot's worker group is up. When it is not the slot's first, the one before has died."""
        held = self.holding.get(slot, "")
        async with self.changed:
            if slot not in self.greeted:
                self.greeted.add(slot)
                self.notices.append(Notice("ready", slot))
            elif held:
                self.entries[held].deaths += 1
                self.notices.append(Notice("died", slot, held, self.entries[held].deaths))
            else:
                self.notices.append(Notice("died", slot))
            self.changed.notify_all()

    async def take(self, slot: int) -> Assignment:
        """The next trial for a slot, or the one that a dead worker group of this slot had left."""
        held = self.holding.get(slot)
        if held is None:
            return await self._take_new(slot)
        entry = self.entries[held]
        if self.state == "interrupted":
            return Assignment("close")
        if entry.blamed or entry.deaths >= DEATHS_ALLOWED:
            died = TrialError("WorkerDied", f"its worker group died {entry.deaths} times (out of memory, or killed)")
            return replace(entry.assignment, kind="abandon", error=entry.blamed or died)
        return entry.assignment

    async def _take_new(self, slot: int) -> Assignment:
        async with self.changed:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self.changed.wait_for(lambda: self.waiting or self.state != "open")
            except TimeoutError:
                return Assignment("idle")
            if not self.waiting or self.state == "interrupted":
                return Assignment("close")
            trial_id = self.waiting.popleft()
            self.holding[slot] = trial_id
            self.entries[trial_id].slot = slot
            return self.entries[trial_id].assignment

    async def began(self, trial_id: str, from_epoch: int) -> None:
        """A slot starts to train a trial, after `from_epoch` epochs that it found in the checkpoint."""
        self.entries[trial_id].from_epoch = from_epoch

    async def report(self, slot: int, trial_id: str, reports: list[EpochReport]) -> str:
        """Epochs of a running trial; the answer is "go on", "stop" or "interrupt"."""
        entry = self.entries[trial_id]
        async with self.changed:
            entry.reports += reports
            self.changed.notify_all()
        if self.state == "interrupted":
            return "interrupt"
        return "go on" if entry.stop_epoch is None else "stop"

    async def verdict(self, slot: int, trial_id: str, reports: list[EpochReport]) -> Verdict:
        """What the driver has decided, once it has judged every epoch."""
        entry = self.entries[trial_id]
        async with self.changed:
            entry.reports += reports
            self.changed.notify_all()
            await self.changed.wait_for(
                lambda: (
                    entry.stop_epoch is not None or entry.judged == len(entry.reports) or self.state == "interrupted"
                )
            )
        return Verdict(entry.stop_epoch, self.state == "interrupted" and entry.stop_epoch is None)

    async def blame(self, slot: int, trial_id: str, error: TrialError) -> None:
        """A rank failed in a trial; the group goes down with it, and the next one abandons the trial."""
        self.entries[trial_id].blamed = error

    async def done(self, slot: int, trial_id: str, reports: list[EpochReport], result: TrialResult) -> None:
        """The trial's result is in the store; the slot is free."""
        async with self.changed:
            entry = self.entries[trial_id]
            entry.reports += reports
            entry.result = result
            self.holding.pop(slot, None)
            self.changed.notify_all()


def start_mailbox(name: str) -> Any:
    """Start the actor; any worker finds it under `name` in the namespace of this driver."""
    actor: Any = ray.remote(num_cpus=0)(Mailbox).options(name=name, max_concurrency=1000).remote()
    ray.get(actor.__ray_ready__.remote())
    return actor
