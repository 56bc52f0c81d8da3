"""The mailbox without Ray: what a driver and its slots hear, in every order that can happen."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from study import mailbox as module
from study.mailbox import DEATHS_ALLOWED, Mailbox, Notice
from trainables.assignments import Assignment, Verdict
from trainables.results import EpochReport, TrialError, TrialResult

DONE = TrialResult("complete", {"val/accuracy": 0.5}, 2, 2)


def job(name: str) -> Assignment:
    return Assignment("train", name, {"seed": 0}, f"trials/{name}", prunable=True)


def epoch(number: int) -> EpochReport:
    return EpochReport(number, {"val/accuracy": number / 10})


def run(story: Awaitable[Any]) -> Any:
    return asyncio.run(asyncio.wait_for(story, 20))


def test_trials_are_taken_in_the_order_of_their_submission() -> None:
    async def story() -> list[str]:
        box = Mailbox()
        for name in "abc":
            await box.submit(job(name))
        await box.submit(job("a"))  # again, from a relay that was restarted: joined, not queued twice
        await box.close()
        return [(await box.take(slot)).trial_id or "closed" for slot in (0, 1, 2, 3)]

    assert run(story()) == ["a", "b", "c", "closed"]


def test_a_waiting_slot_is_woken() -> None:
    async def story() -> str:
        box = Mailbox()
        taking = asyncio.create_task(box.take(0))
        await asyncio.sleep(0)
        await box.submit(job("a"))
        return (await taking).trial_id

    assert run(story()) == "a"


def test_an_idle_slot_hears_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    assert run(Mailbox().take(0)).kind == "idle"


def test_the_verdict_waits_until_every_epoch_was_judged() -> None:
    async def story() -> Verdict:
        box = Mailbox()
        await box.submit(job("a"))
        await box.take(0)
        assert await box.report(0, "a", [epoch(1)]) == "go on"
        assert (await box.news("a", 0)).reports == [epoch(1)]
        verdict = asyncio.create_task(box.verdict(0, "a", [epoch(2)]))
        await asyncio.sleep(0.01)
        assert not verdict.done()
        assert (await box.news("a", 1)).reports == [epoch(2)]
        await asyncio.sleep(0.01)
        assert not verdict.done(), "delivered is not yet judged"
        news = asyncio.create_task(box.news("a", 2))  # asking again says that the last news were judged
        decided = await verdict
        await box.done(0, "a", [], DONE)
        assert (await news).result == DONE
        return decided

    assert run(story()) == Verdict(None, False)


def test_a_relay_that_replaces_a_dead_one_is_told_everything_again() -> None:
    async def story() -> list[list[EpochReport]]:
        box = Mailbox()
        await box.submit(job("a"))
        await box.take(0)
        await box.report(0, "a", [epoch(1), epoch(2)])
        told = [(await box.news("a", 0)).reports, (await box.news("a", 0)).reports]
        verdict = asyncio.create_task(box.verdict(0, "a", [epoch(3)]))
        told.append((await box.news("a", 2)).reports)
        await asyncio.sleep(0.01)
        assert not verdict.done()
        verdict.cancel()
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
            await box.done(0, name, [epoch(1)], DONE)
            assert (await box.news(name, 0)).result == DONE
        return held

    assert run(story()) == [["a"], ["b"], ["c"]]


def test_a_decision_between_reports_reaches_report_and_verdict() -> None:
    async def story() -> tuple[str, Verdict]:
        box = Mailbox()
        await box.submit(job("a"))
        await box.take(0)
        await box.report(0, "a", [epoch(1)])
        await box.news("a", 0)
        await box.stop("a", 1)
        return await box.report(0, "a", [epoch(2)]), await box.verdict(0, "a", [])

    assert run(story()) == ("stop", Verdict(1, False))


def test_a_dead_group_s_trial_goes_back_to_its_slot_and_fails_at_the_third_death() -> None:
    async def story() -> list[Assignment]:
        box = Mailbox()
        await box.submit(job("a"))
        await box.submit(job("b"))
        await box.hello(0)
        taken = [await box.take(0)]
        for _ in range(DEATHS_ALLOWED):
            await box.hello(0)
            taken.append(await box.take(0))
        notices = (await box.news("a", 0)).notices
        assert notices == [Notice("ready", 0), *(Notice("died", 0, "a", n) for n in (1, 2, 3))]
        await box.done(0, "a", [], TrialResult("failed", error=taken[-1].error))
        taken.append(await box.take(0))
        return taken

    *trained, abandoned, after = run(story())
    assert [each.kind for each in trained] == ["train"] * 3 and {each.trial_id for each in trained} == {"a"}
    assert abandoned.kind == "abandon" and abandoned.trial_id == "a" and abandoned.config == {"seed": 0}
    assert abandoned.error is not None and abandoned.error.kind == "WorkerDied" and "3 times" in abandoned.error.message
    assert after.trial_id == "b", "the study goes on"


def test_a_rank_that_blames_a_trial_is_believed_at_once() -> None:
    async def story() -> Assignment:
        box = Mailbox()
        await box.submit(job("a"))
        await box.take(0)
        await box.blame(0, "a", TrialError("OutOfMemoryError", "rank 1"))
        await box.hello(0)
        return await box.take(0)

    taken = run(story())
    assert taken.kind == "abandon" and taken.error == TrialError("OutOfMemoryError", "rank 1")


def test_an_interruption_ends_everything() -> None:
    async def story() -> tuple[str, Verdict, str, str]:
        box = Mailbox()
        await box.submit(job("a"))
        await box.submit(job("b"))
        await box.take(0)
        waiting = asyncio.create_task(box.verdict(0, "a", [epoch(1)]))
        await asyncio.sleep(0.01)
        await box.interrupt()
        return (
            await box.report(0, "a", []),
            await waiting,
            (await box.take(1)).kind,
            (await box.take(0)).kind,
        )

    assert run(story()) == ("interrupt", Verdict(None, True), "close", "close")
