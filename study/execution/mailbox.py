"""The mailbox: a named Ray actor through which Tune's trials and Ray Train's slots reach each other.

Tune's side submits a pack (trials that are trained together, often one) and asks for its news; a slot's rank 0 takes
a pack, reports epochs, asks for the verdict and hands in the results. Every call is short or waits inside the actor,
so neither side polls.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import ray

from trainables.common.results import TrialError, TrialResult
from trainables.worker.messages import Assignment, PackResult, Reports, TrialOrder, Verdict

DEATHS_ALLOWED = 3
"""A trial whose worker group died this often is failed instead of being handed out again."""

DEATHS_TOGETHER = 2
"""A pack whose worker group died this often is handed out trial by trial: one of them may be to blame."""

IDLE_SECONDS = 60.0
"""A slot without work hears at least this often from the mailbox: its other ranks wait in a collective with a
time limit."""

INTERRUPTED_SECONDS = 0.2
"""How long an empty answer takes after an interruption."""


class News(NamedTuple):
    """What a slot has reported of a pack since the last question."""

    reports: Reports
    results: dict[str, TrialResult]
    """Of the trials that have ended, all of them."""
    slot: int
    from_epoch: dict[str, int]
    """Epochs that the present attempt found in each trial's checkpoint."""
    notices: "list[Notice]"
    size: int | None
    """How many trials of this kind it pays to train together, if the slot has found it out."""
    done: bool
    """Whether these are the last news of the pack."""


class Notice(NamedTuple):
    """What happened to a slot."""

    kind: Literal["ready", "died"]
    slot: int
    trials: tuple[str, ...] = ()
    """The trials that a dead worker group was training, if any."""
    deaths: int = 0
    """Worker groups that they have cost so far."""


@dataclass
class Entry:
    """One pack between its submission and the delivery of its last news."""

    assignment: Assignment
    slot: int = -1
    from_epoch: dict[str, int] = field(default_factory=dict)
    reports: Reports = field(default_factory=list)
    judged: int = 0
    """How many of the reports the driver has judged."""
    stops: dict[str, int] = field(default_factory=dict)
    """Epoch after which a trial is pruned."""
    results: dict[str, TrialResult] = field(default_factory=dict)
    size: int | None = None
    done: bool = False
    deaths: int = 0
    alone: deque[TrialOrder] = field(default_factory=deque)
    """Trials of a pack that died too often, each to be handed out alone; the first is on its way."""
    blamed: TrialError | None = None
    told: bool = False
    """Whether the last news were delivered; such an entry is dropped when the next pack is submitted."""

    @property
    def current(self) -> tuple[TrialOrder, ...]:
        """What is handed out now."""
        return (self.alone[0],) if self.alone else self.assignment.trials

    def stopped(self) -> set[str]:
        """Trials that are to stop: the pruned ones, and the other seeds of their configurations."""
        return {t.trial_id for t in self.current if t.trial_id in self.stops or t.follows in self.stops}


class Mailbox:
    """See the module. Wrapped as an asyncio actor by `start_mailbox`; all methods run in one event loop."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.waiting: deque[str] = deque()
        self.holding: dict[int, str] = {}
        self.greeted: set[int] = set()
        self.places: dict[int, Any] = {}
        self.notices: list[Notice] = []
        self.state: Literal["open", "interrupted", "closed"] = "open"
        self.changed = asyncio.Condition()

    # Tune's side

    async def submit(self, assignment: Assignment) -> None:
        """Queue a pack. One that is already on its way (its relay died) is only joined again."""
        async with self.changed:
            for finished in [name for name, entry in self.entries.items() if entry.told]:
                del self.entries[finished]
            if assignment.pack not in self.entries:
                self.entries[assignment.pack] = Entry(assignment)
                self.waiting.append(assignment.pack)
                self.changed.notify_all()

    async def news(self, pack: str, seen: int) -> News:
        """What is new of a pack beyond its first `seen` reports, waiting for it.

        Tune asks for more only after it has taken in the last answer, so those `seen` are judged. A relay that
        replaces a dead one begins at 0 and is told everything again: the search takes an epoch in only once.
        """
        entry = self.entries[pack]
        async with self.changed:
            entry.judged = seen
            self.changed.notify_all()
            await self.changed.wait_for(
                lambda: len(entry.reports) > seen or entry.done or self.notices or self.state == "interrupted"
            )
            known = entry.reports[seen:], dict(entry.results), entry.slot, dict(entry.from_epoch)
            news = News(*known, self.notices, entry.size, entry.done)
            self.notices, entry.told = [], entry.done
        if self.state == "interrupted" and not news.reports and not news.done:
            await asyncio.sleep(INTERRUPTED_SECONDS)  # Tune asks again until it has noticed
        return news

    async def stop(self, pack: str, trial_id: str, epoch: int) -> None:
        """A trial is pruned after `epoch`."""
        async with self.changed:
            self.entries[pack].stops[trial_id] = epoch
            self.changed.notify_all()

    async def interrupt(self) -> None:
        """Every slot saves its state and ends; nothing is handed out any more."""
        await self._set_state("interrupted")

    async def place(self, slot: int) -> Any:
        """The placement group of a slot's last worker group, if there was one."""
        return self.places.get(slot)

    async def close(self) -> None:
        """Slots end when they have handed in what they hold."""
        await self._set_state("closed")

    async def _set_state(self, state: Literal["interrupted", "closed"]) -> None:
        async with self.changed:
            self.state = state
            self.changed.notify_all()

    # The slots' side

    async def hello(self, slot: int, place: Any = None) -> None:
        """A slot's worker group is up. When it is not the slot's first, the one before has died.

        Args:
            slot: its number.
            place: the placement group that the worker group runs in.

        """
        held = self.holding.get(slot, "")
        self.places[slot] = place
        async with self.changed:
            if slot not in self.greeted:
                self.greeted.add(slot)
                self.notices.append(Notice("ready", slot))
            elif held:
                entry = self.entries[held]
                entry.deaths += 1
                self.notices.append(Notice("died", slot, tuple(t.trial_id for t in entry.current), entry.deaths))
                if len(entry.current) > 1 and entry.deaths >= DEATHS_TOGETHER:
                    entry.alone, entry.deaths = deque(entry.assignment.trials), 0
            else:
                self.notices.append(Notice("died", slot))
            self.changed.notify_all()

    async def take(self, slot: int) -> Assignment:
        """The next pack for a slot, or the one that a dead worker group of this slot had left."""
        held = self.holding.get(slot)
        if held is None:
            return await self._take_new(slot)
        entry = self.entries[held]
        if self.state == "interrupted":
            return Assignment("close")
        handed = replace(entry.assignment, trials=entry.current)
        if len(entry.current) > 1 or (entry.deaths < DEATHS_ALLOWED and not entry.blamed):
            return handed
        died = TrialError("WorkerDied", f"its worker group died {entry.deaths} times (out of memory, or killed)")
        return replace(handed, kind="abandon", error=entry.blamed or died)

    async def _take_new(self, slot: int) -> Assignment:
        async with self.changed:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self.changed.wait_for(lambda: self.waiting or self.state != "open")
            except TimeoutError:
                return Assignment("idle")
            if not self.waiting or self.state == "interrupted":
                return Assignment("close")
            pack = self.waiting.popleft()
            self.holding[slot] = pack
            self.entries[pack].slot = slot
            return self.entries[pack].assignment

    async def began(self, pack: str, from_epoch: dict[str, int]) -> None:
        """A slot starts to train trials, each after the epochs that it found in the checkpoint."""
        self.entries[pack].from_epoch |= from_epoch

    async def report(self, slot: int, pack: str, reports: Reports) -> set[str] | Literal["interrupt"]:
        """Epochs of a running pack; the answer: which of its trials are to stop, or that all are to be saved."""
        entry = self.entries[pack]
        async with self.changed:
            entry.reports += reports
            self.changed.notify_all()
        return "interrupt" if self.state == "interrupted" else entry.stopped()

    async def verdict(self, slot: int, pack: str, reports: Reports) -> Verdict:
        """What the driver has decided, once it has judged every epoch."""
        entry = self.entries[pack]
        async with self.changed:
            entry.reports += reports
            self.changed.notify_all()
            await self.changed.wait_for(
                lambda: entry.judged == len(entry.reports) or self.state == "interrupted" or self._all_stopped(entry)
            )
        unjudged = entry.judged < len(entry.reports) and not self._all_stopped(entry)
        return Verdict(dict(entry.stops), self.state == "interrupted" and unjudged)

    def _all_stopped(self, entry: Entry) -> bool:
        """Whether no further epoch could change a decision."""
        return all(trial.trial_id in entry.stops for trial in entry.current if trial.prunable)

    async def blame(self, slot: int, pack: str, error: TrialError) -> None:
        """A rank failed in a trial; the group goes down with it, and the next one abandons the trial."""
        self.entries[pack].blamed = error

    async def done(self, slot: int, pack: str, reports: Reports, ended: PackResult) -> None:
        """The results are in the store; the slot is free, unless there are trials that go one by one."""
        async with self.changed:
            entry = self.entries[pack]
            entry.reports += reports
            entry.results |= ended.results
            entry.size = ended.size
            if entry.alone:
                entry.alone.popleft()
                entry.deaths, entry.blamed = 0, None
            if not entry.alone:
                entry.done = True
                self.holding.pop(slot, None)
            self.changed.notify_all()


def start_mailbox(name: str) -> Any:
    """Start the actor; any worker finds it under `name` in the namespace of this driver."""
    actor: Any = ray.remote(num_cpus=0)(Mailbox).options(name=name, max_concurrency=1000).remote()
    ray.get(actor.__ray_ready__.remote())
    return actor
