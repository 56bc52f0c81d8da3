"""The mailbox: a named Ray actor that connects Tune's trials with Ray Train's slots.

Tune's side submits a pack (trials that are trained together, often one) and asks for its updates. A slot's rank 0
takes a pack, reports epochs, asks for the pruning decisions and returns the results. Every call is short or waits
inside the actor, so neither side polls.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import ray

from trainables.common.results import TrialError, TrialResult
from trainables.worker.messages import Assignment, PackResult, PruneDecisions, Reports, TrialJob

DEATHS_ALLOWED = 3
"""A trial whose worker group died this often is failed instead of being assigned again."""

DEATHS_TOGETHER = 2
"""A pack whose worker group died this often is assigned trial by trial, because one of them may be the cause."""

IDLE_SECONDS = 60.0
"""A slot without work gets an answer at least this often: its other ranks wait in a collective with a time limit."""

INTERRUPTED_SECONDS = 0.2
"""How long an empty answer takes after an interruption."""


class TrialUpdates(NamedTuple):
    """What a slot has reported about a pack since the last call."""

    reports: Reports
    results: dict[str, TrialResult]
    """Results of all trials of the pack that have ended."""
    slot: int
    from_epoch: dict[str, int]
    """For each trial, the number of epochs that the current attempt found in its checkpoint."""
    notices: "list[SlotNotice]"
    size: int | None
    """How many trials of this kind pay when trained together, if the slot has measured it."""
    done: bool
    """Whether these are the last updates of the pack."""


class SlotNotice(NamedTuple):
    """A slot became ready, or its worker group died."""

    kind: Literal["ready", "died"]
    slot: int
    trials: tuple[str, ...] = ()
    """The trials that the dead worker group was training."""
    deaths: int = 0
    """Number of worker groups that died with these trials so far."""


@dataclass
class PackEntry:
    """One pack from its submission to the delivery of its last updates."""

    assignment: Assignment
    slot: int = -1
    from_epoch: dict[str, int] = field(default_factory=dict[str, int])
    reports: Reports = field(default_factory=Reports)
    judged: int = 0
    """How many of the reports the driver has decided on."""
    stops: dict[str, int] = field(default_factory=dict[str, int])
    """Epoch after which a trial is pruned."""
    results: dict[str, TrialResult] = field(default_factory=dict[str, TrialResult])
    size: int | None = None
    done: bool = False
    deaths: int = 0
    solo: deque[TrialJob] = field(default_factory=deque[TrialJob])
    """Trials of a pack that died too often, to be assigned one by one; the first one is assigned now."""
    error: TrialError | None = None
    """The error of a rank that failed in the current trial."""
    delivered: bool = False
    """Whether the last updates were delivered. Such an entry is dropped when the next pack is submitted."""

    @property
    def current(self) -> tuple[TrialJob, ...]:
        """The trials that are assigned now."""
        return (self.solo[0],) if self.solo else self.assignment.trials

    @property
    def all_stopped(self) -> bool:
        """Whether every prunable trial is pruned, so that no later epoch can change a decision."""
        return all(trial.trial_id in self.stops for trial in self.current if trial.prunable)

    def stopped(self) -> set[str]:
        """Ids of the trials to stop: the pruned ones and the other seeds of their configurations."""
        return {t.trial_id for t in self.current if t.trial_id in self.stops or t.follows in self.stops}


class Mailbox:
    """The actor's class. `start_mailbox` starts it as an asyncio actor; all methods run in one event loop."""

    def __init__(self) -> None:
        self.entries: dict[str, PackEntry] = {}
        self.waiting: deque[str] = deque()
        self.assigned: dict[int, str] = {}
        """By slot, the pack that it trains."""
        self.registered: set[int] = set()
        self.placement_groups: dict[int, Any] = {}
        self.notices: list[SlotNotice] = []
        self.state: Literal["open", "interrupted", "closed"] = "open"
        self.changed = asyncio.Condition()

    # Called by Tune's side

    async def submit(self, assignment: Assignment) -> None:
        """Queue a pack. Submitting the same pack twice (its Tune actor died) has no effect."""
        async with self.changed:
            for finished in [name for name, entry in self.entries.items() if entry.delivered]:
                del self.entries[finished]
            if assignment.pack not in self.entries:
                self.entries[assignment.pack] = PackEntry(assignment)
                self.waiting.append(assignment.pack)
                self.changed.notify_all()

    async def updates(self, pack: str, seen: int) -> TrialUpdates:
        """Wait for news about a pack.

        Tune calls this again only after it has processed the last answer, so the first `seen` reports are judged. A
        Tune actor that replaces a dead one starts at 0 and gets every report again; the search counts an epoch once.

        Args:
            pack: name of the pack.
            seen: number of reports that the caller has received.

        Returns:
            The reports after the first `seen` ones, and the present state of the pack.
        """
        entry = self.entries[pack]
        async with self.changed:
            entry.judged = seen
            self.changed.notify_all()
            await self.changed.wait_for(
                lambda: len(entry.reports) > seen or entry.done or self.notices or self.state == "interrupted"
            )
            updates = TrialUpdates(
                reports=entry.reports[seen:],
                results=dict(entry.results),
                slot=entry.slot,
                from_epoch=dict(entry.from_epoch),
                notices=self.notices,
                size=entry.size,
                done=entry.done,
            )
            self.notices, entry.delivered = [], entry.done
        if self.state == "interrupted" and not updates.reports and not updates.done:
            await asyncio.sleep(INTERRUPTED_SECONDS)  # Tune asks again until it has seen the interruption
        return updates

    async def prune(self, pack: str, trial_id: str, epoch: int) -> None:
        """Record that a trial is pruned after `epoch`."""
        async with self.changed:
            self.entries[pack].stops[trial_id] = epoch
            self.changed.notify_all()

    async def interrupt(self) -> None:
        """Make every slot save its state and end; nothing is assigned any more."""
        await self._set_state("interrupted")

    async def placement_group(self, slot: int) -> Any:
        """The placement group of a slot's last worker group; None if there was none."""
        return self.placement_groups.get(slot)

    async def close(self) -> None:
        """Make the slots end after they have returned the results of their packs."""
        await self._set_state("closed")

    async def _set_state(self, state: Literal["interrupted", "closed"]) -> None:
        async with self.changed:
            self.state = state
            self.changed.notify_all()

    # Called by the slots

    async def register(self, slot: int, placement_group: Any = None) -> None:
        """A slot's worker group is ready. If the slot had one before, that one has died.

        Args:
            slot: number of the slot.
            placement_group: the placement group of its worker group.
        """
        pack = self.assigned.get(slot, "")
        self.placement_groups[slot] = placement_group
        async with self.changed:
            if slot not in self.registered:
                self.registered.add(slot)
                self.notices.append(SlotNotice("ready", slot))
            elif pack:
                entry = self.entries[pack]
                entry.deaths += 1
                self.notices.append(SlotNotice("died", slot, tuple(t.trial_id for t in entry.current), entry.deaths))
                if len(entry.current) > 1 and entry.deaths >= DEATHS_TOGETHER:
                    entry.solo, entry.deaths = deque(entry.assignment.trials), 0
            else:
                self.notices.append(SlotNotice("died", slot))
            self.changed.notify_all()

    async def take(self, slot: int) -> Assignment:
        """The next pack for a slot, or the unfinished one of a dead worker group of this slot."""
        pack = self.assigned.get(slot)
        if pack is None:
            return await self._take_new(slot)
        entry = self.entries[pack]
        if self.state == "interrupted":
            return Assignment("close")
        again = replace(entry.assignment, trials=entry.current)
        if len(entry.current) > 1 or (entry.deaths < DEATHS_ALLOWED and not entry.error):
            return again
        died = TrialError("WorkerDied", f"its worker group died {entry.deaths} times (out of memory, or killed)")
        return replace(again, kind="abandon", error=entry.error or died)

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
            self.assigned[slot] = pack
            self.entries[pack].slot = slot
            return self.entries[pack].assignment

    async def started(self, pack: str, from_epoch: dict[str, int]) -> None:
        """A slot starts to train trials, each after the number of epochs that its checkpoint contains."""
        self.entries[pack].from_epoch |= from_epoch

    async def report(self, slot: int, pack: str, reports: Reports) -> set[str] | Literal["interrupt"]:
        """Add epochs of a running pack.

        Args:
            slot: number of the slot.
            pack: name of the pack.
            reports: the new epochs.

        Returns:
            Ids of the trials to stop, or "interrupt" if all are to be saved and stopped.
        """
        entry = self.entries[pack]
        async with self.changed:
            entry.reports += reports
            self.changed.notify_all()
        return "interrupt" if self.state == "interrupted" else entry.stopped()

    async def decisions(self, slot: int, pack: str, reports: Reports) -> PruneDecisions:
        """Add the last epochs of a pack, and wait until the driver has decided on every epoch.

        Args:
            slot: number of the slot.
            pack: name of the pack.
            reports: the new epochs.

        Returns:
            Which trials are pruned, and whether the study was interrupted before every epoch was judged.
        """
        entry = self.entries[pack]
        async with self.changed:
            entry.reports += reports
            self.changed.notify_all()
            await self.changed.wait_for(
                lambda: entry.judged == len(entry.reports) or self.state == "interrupted" or entry.all_stopped
            )
        unjudged = entry.judged < len(entry.reports) and not entry.all_stopped
        return PruneDecisions(dict(entry.stops), self.state == "interrupted" and unjudged)

    async def fail(self, slot: int, pack: str, error: TrialError) -> None:
        """A rank failed in a trial: its worker group ends, and the next group abandons the trial."""
        self.entries[pack].error = error

    async def finish(self, slot: int, pack: str, reports: Reports, ended: PackResult) -> None:
        """The results are in the store. The slot is free unless trials of the pack are still assigned one by one.

        Args:
            slot: number of the slot.
            pack: name of the pack.
            reports: the last epochs.
            ended: how the pack ended.
        """
        async with self.changed:
            entry = self.entries[pack]
            entry.reports += reports
            entry.results |= ended.results
            entry.size = ended.size
            if entry.solo:
                entry.solo.popleft()
                entry.deaths, entry.error = 0, None
            if not entry.solo:
                entry.done = True
                self.assigned.pop(slot, None)
            self.changed.notify_all()


def start_mailbox(name: str) -> Any:
    """Start the actor, and return its handle. Every worker in the driver's namespace finds it under `name`."""
    actor: Any = ray.remote(num_cpus=0)(Mailbox).options(name=name, max_concurrency=1000).remote()
    ray.get(actor.__ray_ready__.remote())
    return actor
