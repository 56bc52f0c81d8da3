"""The mailbox without Ray: the answers to a driver and its slots, in every possible order."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from study.execution import mailbox as module
from study.execution.mailbox import DEATHS_ALLOWED, DEATHS_TOGETHER, Mailbox, SlotNotice
from tests.helpers.waiting import HANG_SECONDS
from trainables.common.results import EpochReport, TrialError, TrialResult
from trainables.worker.messages import Assignment, PackResult, PruneDecisions, TrialJob

DONE = TrialResult("complete", {"val/accuracy": 0.5}, 2, 2)


def order(name: str, follows: str = "") -> TrialJob:
    return TrialJob(name, {"seed": 0}, f"trials/{name}", prunable=not follows, follows=follows)


def job(*names: str) -> Assignment:
    """A pack; names after the first may say whom they follow (`b<a`)."""
    return Assignment("train", names[0], tuple(order(*name.split("<")) for name in names))


def epoch(number: int, name: str = "a") -> tuple[str, EpochReport]:
    return name, EpochReport(number, {"val/accuracy": number / 10})


def done(*names: str) -> PackResult:
    return PackResult(dict.fromkeys(names, DONE))


def run(story: Awaitable[Any]) -> Any:
    return asyncio.run(asyncio.wait_for(story, HANG_SECONDS))


async def let_others_run() -> None:
    """Every other coroutine goes on until it waits for an event."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_trials_are_taken_in_the_order_of_their_submission() -> None:
    async def story() -> list[str]:
        box = Mailbox()
        for name in "abc":
            await box.submit(job(name))
        await box.submit(job("a"))  # again, from a relay that was restarted: joined, not queued twice
        await box.close()
        return [(await box.take(slot)).pack or "closed" for slot in (0, 1, 2, 3)]

    assert run(story()) == ["a", "b", "c", "closed"]


def test_a_waiting_slot_is_woken() -> None:
    async def story() -> str:
        box = Mailbox()
        taking = asyncio.create_task(box.take(0))
        await asyncio.sleep(0)
        await box.submit(job("a"))
        return (await taking).pack

    assert run(story()) == "a"


def test_an_idle_slot_hears_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    assert run(Mailbox().take(0)).kind == "idle"


def test_the_decided_waits_until_every_epoch_was_judged() -> None:
    async def story() -> PruneDecisions:
        box = Mailbox()
        await box.submit(job("a"))
        await box.take(0)
        assert await box.report(0, "a", [epoch(1)]) == set()
        assert (await box.updates("a", 0)).reports == [epoch(1)]
        decided = asyncio.create_task(box.decisions(0, "a", [epoch(2)]))
        await let_others_run()
        assert not decided.done()
        assert (await box.updates("a", 1)).reports == [epoch(2)]
        await let_others_run()
        assert not decided.done(), "delivered is not yet judged"
        updates = asyncio.create_task(box.updates("a", 2))  # asking again says that the last updates were judged
        decided = await decided
        await box.finish(0, "a", [], done("a"))
        assert (await updates).results == {"a": DONE}
        return decided

    assert run(story()) == PruneDecisions({}, False)


def test_a_relay_that_replaces_a_dead_one_is_told_everything_again() -> None:
    async def story() -> list[list[EpochReport]]:
        box = Mailbox()
        await box.submit(job("a"))
        await box.take(0)
        await box.report(0, "a", [epoch(1), epoch(2)])
        told = [(await box.updates("a", 0)).reports, (await box.updates("a", 0)).reports]
        decided = asyncio.create_task(box.decisions(0, "a", [epoch(3)]))
        told.append((await box.updates("a", 2)).reports)
        await let_others_run()
        assert not decided.done()
        decided.cancel()
        return told

    assert run(story()) == [[epoch(1), epoch(2)], [epoch(1), epoch(2)], [epoch(3)]]


def test_finished_trials_are_forgotten_once_their_result_was_told() -> None:
    async def story() -> list[list[str]]:
        box = Mailbox()
        held = []
        for name in "abc":
            await box.submit(job(name))
            held.append(sorted(box.entries))
            await box.take(0)
            await box.finish(0, name, [epoch(1, name)], done(name))
            assert (await box.updates(name, 0)).done
        return held

    assert run(story()) == [["a"], ["b"], ["c"]]


def test_a_decision_between_reports_reaches_report_and_decided() -> None:
    async def story() -> tuple[object, PruneDecisions]:
        box = Mailbox()
        await box.submit(job("a"))
        await box.take(0)
        await box.report(0, "a", [epoch(1)])
        await box.updates("a", 0)
        await box.prune("a", "a", 1)
        return await box.report(0, "a", [epoch(2)]), await box.decisions(0, "a", [])

    assert run(story()) == ({"a"}, PruneDecisions({"a": 1}, False))


def test_the_other_seeds_stop_with_the_first_and_the_rest_of_the_pack_goes_on() -> None:
    async def story() -> tuple[object, PruneDecisions]:
        box = Mailbox()
        await box.submit(job("a", "b<a", "c"))
        await box.take(0)
        await box.report(0, "a", [epoch(1), epoch(1, "b"), epoch(1, "c")])
        await box.updates("a", 0)
        await box.prune("a", "a", 1)
        answer = await box.report(0, "a", [epoch(2), epoch(2, "b"), epoch(2, "c")])
        decided = asyncio.create_task(box.decisions(0, "a", []))
        await let_others_run()
        assert not decided.done(), "c may yet be pruned"
        updates = asyncio.create_task(box.updates("a", 6))
        decided = await decided
        updates.cancel()
        return answer, decided

    assert run(story()) == ({"a", "b"}, PruneDecisions({"a": 1}, False))


def test_a_dead_group_s_pack_is_tried_again_as_a_whole_and_then_trial_by_trial() -> None:
    """One of its trials may be to blame: the others are not to fail with it."""

    async def story() -> list[Assignment]:
        box = Mailbox()
        await box.submit(job("a", "b", "c"))
        await box.register(0)
        taken = [await box.take(0)]
        for _ in range(DEATHS_TOGETHER):
            await box.register(0)
            taken.append(await box.take(0))
        await box.register(0)
        taken.append(await box.take(0))
        await box.finish(0, "a", [], done("a"))
        taken.append(await box.take(0))
        for _ in range(DEATHS_ALLOWED):
            await box.register(0)
            taken.append(await box.take(0))
        await box.finish(0, "a", [], PackResult({"b": TrialResult("failed")}))
        taken.append(await box.take(0))
        updates = await box.updates("a", 0)
        assert not updates.done and [(n.trials, n.deaths) for n in updates.notices] == [
            ((), 0),
            (("a", "b", "c"), 1),
            (("a", "b", "c"), 2),
            (("a",), 1),
            *((("b",), n) for n in (1, 2, 3)),
        ]
        await box.finish(0, "a", [], done("c"))
        updates = await box.updates("a", 0)
        assert updates.done and {name: result.status for name, result in updates.results.items()} == {
            "a": "complete",
            "b": "failed",
            "c": "complete",
        }
        return taken

    taken = run(story())
    assert ["".join(trial.trial_id for trial in each.trials) for each in taken] == "abc abc a a b b b b c".split()
    assert [each.kind for each in taken] == ["train"] * 7 + ["abandon", "train"]


def test_what_was_not_trained_of_a_pack_is_told() -> None:
    async def story() -> Any:
        box = Mailbox()
        await box.submit(job("a", "b", "c"))
        await box.take(0)
        await box.finish(0, "a", [], PackResult({"a": DONE, "b": DONE}, size=2))
        return await box.updates("a", 0)

    updates = run(story())
    assert updates.done and set(updates.results) == {"a", "b"} and updates.size == 2


def test_a_dead_group_s_trial_goes_back_to_its_slot_and_fails_at_the_third_death() -> None:
    async def story() -> list[Assignment]:
        box = Mailbox()
        await box.submit(job("a"))
        await box.submit(job("b"))
        await box.register(0)
        taken = [await box.take(0)]
        for _ in range(DEATHS_ALLOWED):
            await box.register(0)
            taken.append(await box.take(0))
        notices = (await box.updates("a", 0)).notices
        assert notices == [SlotNotice("ready", 0), *(SlotNotice("died", 0, ("a",), n) for n in (1, 2, 3))]
        await box.finish(0, "a", [], PackResult({"a": TrialResult("failed", error=taken[-1].error)}))
        taken.append(await box.take(0))
        return taken

    *trained, abandoned, after = run(story())
    assert [each.kind for each in trained] == ["train"] * 3 and {each.pack for each in trained} == {"a"}
    assert abandoned.kind == "abandon" and abandoned.pack == "a" and abandoned.trials == (order("a"),)
    assert abandoned.error is not None and abandoned.error.kind == "WorkerDied" and "3 times" in abandoned.error.message
    assert after.pack == "b", "the study goes on"


def test_a_rank_that_blames_a_trial_is_believed_at_once() -> None:
    async def story() -> Assignment:
        box = Mailbox()
        await box.submit(job("a"))
        await box.take(0)
        await box.fail(0, "a", TrialError("OutOfMemoryError", "rank 1"))
        await box.register(0)
        return await box.take(0)

    taken = run(story())
    assert taken.kind == "abandon" and taken.error == TrialError("OutOfMemoryError", "rank 1")


def test_an_interruption_ends_everything() -> None:
    async def story() -> tuple[object, PruneDecisions, str, str]:
        box = Mailbox()
        await box.submit(job("a"))
        await box.submit(job("b"))
        await box.take(0)
        waiting = asyncio.create_task(box.decisions(0, "a", [epoch(1)]))
        await let_others_run()
        await box.interrupt()
        return (
            await box.report(0, "a", []),
            await waiting,
            (await box.take(1)).kind,
            (await box.take(0)).kind,
        )

    assert run(story()) == ("interrupt", PruneDecisions({}, True), "close", "close")
