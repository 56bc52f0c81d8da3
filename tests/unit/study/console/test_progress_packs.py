"""Packs in the terminal and in the stopwatch: several trials of one slot run at a time and end together."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from study.config.study_config import StudyConfig
from study.config.trial_ref import TrialRef
from study.console.live_table import describe, render
from study.console.progress import Progress
from study.console.timing import Timing
from study.execution.events import EpochFinished, SlotReady, TrialFinished, TrialLeftOut, TrialStarted, WorkersDied
from tests.helpers.example_store import example_study
from trainables.common.types import EpochReport, TrialResult

SEEDS = 3


@pytest.fixture
def study(tmp_path: Path) -> StudyConfig:
    """Three arms of 2, 6 and 6 configurations, three seeds: 42 trials."""
    return example_study(tmp_path, trials=6)


def ref(number: int, seed: int) -> TrialRef:
    return TrialRef(f"kd-{number}-{seed}", "kd", number, seed, {"lambda_kd": 0.5})


def started(number: int, seed: int, slot: int = 0) -> TrialStarted:
    return TrialStarted(ref(number, seed), 0, slot)


def finished(number: int, seed: int, status: str = "complete", seconds: float = 1.0) -> TrialFinished:
    result = TrialResult(status, {"val/accuracy": 0.5}, 4, 4, seconds)  # pyright: ignore[reportArgumentType]
    return TrialFinished(ref(number, seed), result)


def test_the_table_shows_the_first_of_a_large_pack_and_counts_the_others(study: StudyConfig) -> None:
    progress = Progress(study)
    for number in range(4):
        for seed in range(SEEDS):
            progress.observe(started(number, seed))
            progress.observe(EpochFinished(ref(number, seed), EpochReport(2, {"val/accuracy": 0.1}), 4))
    progress.observe(started(4, 0, slot=1))
    file = io.StringIO()
    Console(file=file, width=100).print(render(progress, ""))
    rows = [" ".join(line.split()) for line in file.getvalue().splitlines()]
    at = rows.index("kd #0 seed 0 2/4 10.00 lambda_kd = 0.5")
    assert rows[at + 3] == "kd #1 seed 0 2/4 10.00 lambda_kd = 0.5"
    assert rows[at + 4] == "and 8 with them" and rows[at + 5].startswith("kd #4 seed 0 0")


def test_seeds_left_out_are_taken_off_the_trials_to_come(study: StudyConfig) -> None:
    alone, packed = Progress(study), Progress(study)
    alone.observe(started(0, 0))
    alone.observe(finished(0, 0, "pruned"))
    for seed in range(SEEDS):
        packed.observe(started(0, seed))
    packed.observe(finished(0, 0, "pruned"))
    for seed in (1, 2):
        packed.observe(TrialLeftOut(ref(0, seed)))
    assert packed.planned == alone.planned == 40 and packed.finished == 1 and not packed.running


def test_the_workers_of_a_pack_died_in_its_first_trial_and_others(study: StudyConfig) -> None:
    progress = Progress(study)
    progress.observe(started(0, 0))
    died = WorkersDied(0, ("kd-0-0", "kd-0-1", "kd-0-2"), 1)
    assert describe(died, progress) == "the workers of slot 0 died in kd #0 seed 0 and 2 others (1 time)"


def test_what_a_pack_costs_besides_its_training_is_shared_by_its_trials() -> None:
    clock = [100.0]
    timing = Timing(lambda: clock[0])
    timing.observe(SlotReady(0))
    for number, left_out in enumerate((False, True)):
        for seed in range(SEEDS):
            timing.observe(started(number, seed))
        clock[0] += 3.6
        for seed in range(SEEDS - left_out):
            timing.observe(finished(number, seed))
        if left_out:
            timing.observe(TrialLeftOut(ref(number, SEEDS - 1)))
    seconds = timing.seconds()
    assert seconds.orchestration_per_trial == pytest.approx(0.2), "of the first pack; the second tells nothing"
    assert seconds.training == pytest.approx(5.0)
