import io
import itertools
import random
import time
from pathlib import Path
from statistics import fmean

import pytest
from rich.console import Console

from study.config.study_config import StudyConfig
from study.config.trial_ref import TrialRef
from study.console.live_table import LiveDisplay, PlainDisplay, render, show_progress
from study.console.progress import Progress
from study.console.timing import Timing
from study.execution.events import (
    EpochFinished,
    Event,
    Interrupted,
    SlotReady,
    SlotsStarting,
    TrackingProblem,
    TrialFinished,
    TrialReused,
    TrialStarted,
    WorkersDied,
)
from tests.helpers.example_store import example_study
from trainables.common.types import EpochReport, TrialError, TrialResult

PARAMS = {"lambda_kd": 0.51234, "temperature": 3.0}
FAILED = TrialResult("failed", epochs=1, error=TrialError("NonFiniteLossError", "loss is nan [x]\nmore", 2, 17))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def study(tmp_path: Path) -> StudyConfig:
    """Three arms of 2, 6 and 6 configurations, three seeds: 42 trials."""
    return example_study(tmp_path, trials=6)


def ref(arm: str = "kd", number: int = 0, seed: int = 0) -> TrialRef:
    return TrialRef(f"{arm}-{number}-{seed}", arm, number, seed, PARAMS)


def started(arm: str = "kd", number: int = 0, seed: int = 0, slot: int = 0, from_epoch: int = 0) -> TrialStarted:
    return TrialStarted(ref(arm, number, seed), from_epoch, slot)


def complete(accuracy: float, seconds: float = 1.0, stages: tuple[str, ...] = ()) -> TrialResult:
    return TrialResult("complete", {"val/accuracy": accuracy}, 4, 4, seconds, stages_computed=stages)


def finished(result: TrialResult, arm: str = "kd", number: int = 0, seed: int = 0) -> TrialFinished:
    return TrialFinished(ref(arm, number, seed), result)


def reused(result: TrialResult, arm: str = "kd", number: int = 0, seed: int = 0) -> TrialReused:
    return TrialReused(ref(arm, number, seed), result)


def test_planned_trials_shrink_by_the_seeds_that_never_start(study: StudyConfig) -> None:
    progress = Progress(study)
    assert progress.planned == study.planned_trials == (2 + 6 + 6) * 3
    progress.observe(finished(TrialResult("pruned", {"val/accuracy": 0.2}, 2, 2)))
    assert progress.planned == 40
    progress.observe(finished(FAILED, number=1, seed=0))
    assert progress.planned == 38
    progress.observe(finished(complete(0.7), number=2, seed=0))
    progress.observe(finished(FAILED, number=2, seed=1))  # the third seed still runs
    assert progress.planned == 38
    assert progress.counts == {"pruned": 1, "failed": 2, "complete": 1}


def test_the_best_has_every_seed_and_the_best_mean(study: StudyConfig) -> None:
    progress = Progress(study)
    assert progress.best("kd") is None
    progress.observe(finished(complete(0.99), number=0))
    best = progress.best("kd")
    assert best and (best.number, best.objective) == (0, (0.99, None, 1))
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        progress.observe(reused(complete(accuracy), number=1, seed=seed))
    best = progress.best("kd")
    assert best and best.number == 1
    assert best.objective == pytest.approx((0.6, 0.1, 3))
    assert progress.reused == 3


def test_the_leader_is_the_one_that_all_values_together_show(study: StudyConfig) -> None:
    """Whatever the order: the leader is kept, not looked for, and a leader may fall behind with its next seed."""
    draw = random.Random(0)
    order = [(number, seed) for number in range(6) for seed in range(3)]
    draw.shuffle(order)
    progress, values, leaders = Progress(study), dict[int, list[float]](), list[int]()
    for number, seed in order:
        value = draw.choice([0.1, 0.2, 0.3, 0.4])
        values.setdefault(number, []).append(value)
        progress.observe(finished(complete(value), number=number, seed=seed))
        expected = max(values, key=lambda n: (len(values[n]) == 3, fmean(values[n]), -n))
        best = progress.best("kd")
        assert best and (best.number, best.objective.mean) == (expected, pytest.approx(fmean(values[expected])))
        leaders.append(expected)
    assert len(set(leaders)) == 3


def test_to_minimize_the_smallest_mean_is_best(study: StudyConfig) -> None:
    objective = study.search.objectives[0].model_copy(update={"direction": "minimize"})
    search = study.search.model_copy(update={"seeds": (0,), "objectives": (objective,)})
    progress = Progress(study.model_copy(update={"search": search}))
    for number, accuracy in enumerate((0.5, 0.3, 0.4)):
        progress.observe(finished(complete(accuracy), number=number))
    best = progress.best("kd")
    assert best and best.number == 1


def test_time_to_go_follows_the_pace_of_the_latest_trials(study: StudyConfig) -> None:
    clock = Clock()
    progress = Progress(study, clock)
    clock.now += 15  # Ray starts
    progress.observe(SlotReady(0))
    assert progress.remaining_seconds() is None
    progress.observe(started())
    progress.observe(EpochFinished(ref(), EpochReport(1, {}), 4))
    clock.now += 2
    assert progress.remaining_seconds() == pytest.approx((42 - 0.25) * 2 / 0.25)
    clock.now += 2
    progress.observe(finished(complete(0.5)))
    assert progress.remaining_seconds() == pytest.approx(41 * 4)
    for number, seed in itertools.islice(itertools.product(range(1, 8), range(3)), 20):
        clock.now += 10
        progress.observe(finished(complete(0.5), number=number, seed=seed))
    assert progress.remaining_seconds() == pytest.approx(21 * 10)  # the first, quick one is out of the window
    clock.now += 5
    assert progress.remaining_seconds() == pytest.approx(21 * 10 - 5)


def test_a_finished_study_has_no_time_to_go(study: StudyConfig) -> None:
    progress = Progress(study)
    for arm, number, seed in itertools.product(("none", "kd", "ciba"), range(6), range(3)):
        if arm != "none" or number < 2:
            progress.observe(reused(complete(0.5), arm, number, seed))
    assert (progress.finished, progress.remaining_seconds()) == (42, 0.0)


def every_event() -> list[Event]:
    return [
        SlotsStarting(2, 1),
        SlotReady(0),
        reused(complete(0.7), "none"),
        reused(complete(0.71), "none", seed=1),
        started(),
        EpochFinished(ref(), EpochReport(2, {"val/accuracy": 0.123}), 4),
        WorkersDied(0, ("kd-0-0",), 1),
        WorkersDied(1),
        finished(FAILED),
        started(number=1),
        finished(complete(0.7512), number=1),
        finished(TrialResult("pruned", {"val/accuracy": 0.2}, 2, 2), number=2),
        TrackingProblem("no [server]"),
        Interrupted(),
    ]


def test_plain_output_is_one_line_for_each_event_worth_it(study: StudyConfig) -> None:
    file = io.StringIO()
    with show_progress(study, Console(file=file, width=40)) as emit:
        for event in every_event():
            emit(event)
        emit(reused(complete(0.7), "ciba"))
    lines = [line.split("  ", 1)[1] for line in file.getvalue().splitlines()]
    assert lines == [
        "starting Ray, 2 slots of 1 worker",
        "slot 0 is ready",
        "2 trials of 42 found finished in the store",
        "the workers of slot 0 died in kd #0 seed 0 (1 time)",
        "the workers of slot 1 died and are started again",
        "3/40  kd #0 seed 0  failed in epoch 2: NonFiniteLossError: loss is nan [x]  "
        "lambda_kd = 0.5123, temperature = 3",
        "4/40  kd #1 seed 0  complete  val/accuracy 75.12 %  1.0 s  lambda_kd = 0.5123, temperature = 3",
        "5/38  kd #2 seed 0  pruned after 2 epochs  val/accuracy 20.00 %  lambda_kd = 0.5123, temperature = 3",
        "MLflow: no [server]",
        "stopping; finished epochs are kept",
        "3 trials of 38 found finished in the store",
    ]


def test_the_live_table_shows_running_trials_and_the_best(study: StudyConfig) -> None:
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=100)
    with show_progress(study, console) as emit:
        for event in every_event():
            emit(event)
        emit(started(number=3, seed=2, slot=1, from_epoch=1))
        emit(EpochFinished(ref(number=3, seed=2), EpochReport(3, {"val/accuracy": 0.4321}), 30))
    text = console.export_text()
    last = text[text.rindex("example") :].splitlines()
    assert last[0].endswith(" to go")
    assert last[1].strip() == "5 of 38 trials: 3 complete, 1 pruned, 1 failed (2 from the store)"
    rows = {tuple(line.split()[:2]): " ".join(line.split()) for line in last[3:]}
    assert rows["kd", "#3"] == "kd #3 seed 2 3/30 43.21 lambda_kd = 0.5123, temperature = 3"
    assert rows["none", "2"] == "none 2 70.50 ± 0.71 2 lambda_kd = 0.5123, temperature = 3"
    assert rows["kd", "3"] == "kd 3 75.12 1 lambda_kd = 0.5123, temperature = 3"
    assert rows["ciba", "0"] == "ciba 0"
    assert "failed in epoch 2: NonFiniteLossError" in text  # stays above the table
    assert "died in kd #0 seed 0" in text


@pytest.mark.parametrize("width", [1, 20, 300])
def test_the_live_table_fits_any_width(study: StudyConfig, width: int) -> None:
    progress = Progress(study)
    for event in every_event():
        progress.observe(event)
    file = io.StringIO()
    Console(file=file, width=width).print(render(progress, "starting"))
    lines = file.getvalue().splitlines()
    assert 8 <= len(lines)
    assert max(map(len, lines)) <= width


def test_the_live_table_is_drawn_at_most_four_times_a_second(study: StudyConfig) -> None:
    file = io.StringIO()
    display = LiveDisplay(study, Console(file=file, force_terminal=True, width=100))
    begun, emitted = time.monotonic(), 0
    with display.shown():
        while file.getvalue().count("best so far") < 3:  # the first is drawn at once, the others by the clock
            display.emit(started())
            display.emit(EpochFinished(ref(), EpochReport(1, {"val/accuracy": 0.1}), 4))
            emitted += 2
    redraws = file.getvalue().count("best so far")
    assert redraws <= 4 * (time.monotonic() - begun) + 2, "one more at each end"
    assert emitted > redraws


def test_a_plain_line_is_written_at_once(study: StudyConfig, tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("w") as file:
        PlainDisplay(study, Console(file=file)).emit(SlotReady(1))
        assert "slot 1 is ready" in path.read_text()


def test_orchestration_is_turnaround_without_training() -> None:
    clock = Clock()
    timing = Timing(clock)
    clock.now += 20
    timing.observe(SlotReady(0))
    timing.observe(SlotReady(1))
    # seconds until it ends, result, from_epoch; on slot 0 one after the other
    for number, (turnaround, result, from_epoch) in enumerate(
        [
            (7.0, complete(0.5, 1.0, stages=("teacher/a",)), 0),
            (1.05, complete(0.5, 1.0), 0),
            (2.0, complete(0.5, 1.5), 0),
            (1.15, complete(0.5, 1.0), 0),
            (1.0, complete(0.5, 3.0), 3),  # most of it in an earlier run
            (0.9, TrialResult("pruned", {}, 1, 1, 0.0), 0),
        ]
    ):
        timing.observe(started(number=number, from_epoch=from_epoch))
        clock.now += turnaround
        timing.observe(finished(result, number=number))
    seconds = timing.seconds()
    assert seconds.wall == pytest.approx(20 + 13.1)
    assert seconds.training == pytest.approx(7.5)
    assert seconds.orchestration_per_trial == pytest.approx(0.15)  # the median of 0.05, 0.5 and 0.15


def test_without_a_telling_trial_the_cost_is_unknown() -> None:
    assert Timing().seconds().orchestration_per_trial is None
