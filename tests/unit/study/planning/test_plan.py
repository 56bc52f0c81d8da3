import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from search_spaces.domains import Choice, FloatRange, IntRange
from study.planning import cost_probe
from study.planning.cost_probe import stage_seconds, training_seconds
from study.planning.plan import describe, make_plan, print_plan
from study.storage.store import StudyStore
from tests.helpers.example_store import example_study, fill
from tests.helpers.plan_text import render_plan
from trainables.config import TrainingConfig
from trainables.stages.artifacts import StageStore
from trainables.stages.prepared import prepared_stage
from trainables.stages.targets import required_stages
from trainables.training.loop import train
from trainables.training.session import Problem, Progress


def test_a_fresh_study_is_counted_in_full(tmp_path: Path) -> None:
    plan = make_plan(study := example_study(tmp_path), StudyStore(study.directory))
    # none and ciba are cut at what their spaces hold (2 and 10), all at 6 configurations of 3 seeds
    assert [(arm.name, arm.size, arm.groups, arm.trials, arm.finished) for arm in plan.arms] == [
        ("none", 2, 2, 6, 0),
        ("kd", None, 6, 18, 0),
        ("ciba", 10, 6, 18, 0),
    ]
    assert plan.remaining == 42 and plan.seconds > 20
    assert not study.directory.exists(), "a plan writes nothing"


def test_stages_are_shared_as_far_as_their_configs_allow(tmp_path: Path) -> None:
    plan = make_plan(study := example_study(tmp_path), StudyStore(study.directory))
    assert {stage.name: (stage.needed, stage.ready, stage.trials) for stage in plan.stages} == {
        "prepared": (2, 0, 42),  # and what the student alone is known by
        "unimodal (teacher)": (3, 0, 36),  # one per seed
        "outputs (teacher)": (3, 0, 36),
        "unimodal (student)": (3, 0, 18),  # the bottleneck's other side
        "outputs (student)": (3, 0, 18),
        "bottleneck": (15, 0, 18),  # five H times three seeds
    }


def test_a_stage_that_depends_on_a_continuous_value_is_not_shared(tmp_path: Path) -> None:
    study = example_study(tmp_path, trials=4)
    ciba = study.arms[2].model_copy(update={"space": {"lambda_ib": FloatRange(1e-4, 1e-1, log=True)}})
    plan = make_plan(study.model_copy(update={"arms": (ciba,)}), StudyStore(study.directory))
    assert {stage.name: stage.needed for stage in plan.stages}["bottleneck"] == 12


def test_two_stages_of_a_kind_that_depend_on_no_swept_value_are_shared(tmp_path: Path) -> None:
    study = example_study(tmp_path, trials=4)
    ciba = study.arms[2].model_copy(update={"space": {"lambda_kd": FloatRange(1.0, 100.0, log=True)}})
    plan = make_plan(study.model_copy(update={"arms": (ciba,)}), StudyStore(study.directory))
    # the pairs of views that a trial sees, and what the student alone is known by
    assert {stage.name: stage.needed for stage in plan.stages}["prepared"] == 2


def test_what_the_store_holds_is_finished_and_gives_the_estimate(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    store = StudyStore(study.directory)
    fill(study, store)
    plan = make_plan(study, store)
    # kd and ciba: 5 groups, number 2 pruned after one trial; one group of 3 to come
    assert [(arm.trials, arm.finished) for arm in plan.arms] == [(6, 6), (16, 13), (16, 13)]
    assert plan.source == "finished trials" and {arm.seconds_per_trial for arm in plan.arms} == {1.5}
    trials, stages = 6 * (1.5 + 0.1), sum((s.needed - s.ready) * (s.seconds or 0) for s in plan.stages)
    assert plan.seconds == pytest.approx(20 + trials + stages)


def test_a_finished_study_needs_no_time(tmp_path: Path) -> None:
    study = example_study(tmp_path, trials=4)
    store = StudyStore(study.directory)
    fill(study, store, groups=4)
    plan = make_plan(study, store)
    assert plan.remaining == 0 == plan.seconds and "Nothing is left to run" in render_plan(plan)


def test_stages_that_stand_are_ready(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    stage = prepared_stage(study.arms[1].base)
    StageStore(study.stages_directory).get(stage)
    plan = make_plan(study, StudyStore(study.directory))
    assert {stage.name: stage.ready for stage in plan.stages}["prepared"] == 1


def test_the_estimate_is_the_measured_time_scaled_to_all_rows_and_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []

    def train_on_a_clock(problem: Problem, training: TrainingConfig, seed: int) -> Progress:
        """On a machine that needs a millisecond for each row."""
        trained.append(len(problem.train.labels))
        return replace(train(problem, training, seed), seconds=0.001 * trained[-1])

    monkeypatch.setattr(cost_probe, "train", train_on_a_clock)
    ciba = example_study(tmp_path).arms[2].base
    rows = cost_probe.shape_of(ciba.data).train
    assert training_seconds(ciba) == pytest.approx(0.001 * rows * ciba.training.epochs)
    assert max(trained) < rows, "it trains on a part of them"
    longer = ciba.model_copy(update={"training": ciba.training.model_copy(update={"epochs": 4000})})
    assert training_seconds(longer) == pytest.approx(0.001 * rows * 4000)


def test_the_time_of_the_stages_that_train_is_estimated(tmp_path: Path) -> None:
    ciba = example_study(tmp_path).arms[2].base
    known = {stage.name: stage_seconds(stage) is not None for stage in required_stages(ciba)}
    assert known == {"prepared": False, "unimodal": True, "outputs": False, "bottleneck": True}


def test_the_printed_plan_says_it_all(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    text = render_plan(make_plan(study, StudyStore(study.directory)))
    for part in (
        "2 of 2",
        "6 of 10",
        "bottleneck_dim 2, 4, 8, 16, 32",
        "temperature 1 ... 8 (log)",
        "42 trials to run",
    ):
        assert part in text
    console = Console(width=160, record=True, file=open("/dev/null", "w"))
    print_plan(study, console)
    assert re.search(r"Estimated time: \d+:\d\d:\d\d", console.export_text())
    console.file.close()


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (Choice((8, 0.5, "full")), "8, 0.5, full"),
        (IntRange(1, 9), "1 ... 9"),
        (IntRange(2, 8, step=2), "2 ... 8 (step 2)"),
        (FloatRange(0.0, 1.0, step=0.25), "0 ... 1 (step 0.25)"),
    ],
)
def test_domains_in_a_few_words(domain: object, text: str) -> None:
    assert describe(domain) == text


@pytest.mark.slow
def test_planning_imports_no_ray_mlflow_or_optuna() -> None:
    code = (
        "import sys, study.planning.plan; print([name for name in ('ray', 'mlflow', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
