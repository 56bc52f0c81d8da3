import sys
from collections import Counter
from pathlib import Path

import pytest

from search_spaces.domains import Choice, FloatRange, IntRange
from study.config.study_config import Arm, Objective, SearchConfig, StudyConfig
from study.search.search import Counts, Job, Search
from study.storage.store import Proposal
from tests.helpers.example_store import example_study, fill, trial_config
from tests.helpers.fake_trials import (
    accuracy,
    finite_arm,
    run,
    run_ahead,
    run_killed,
    snapshot,
    store_of,
    train,
    two_arms,
)
from trainables.common.types import EpochReport, TrialResult

SAMPLER_SEED = 1
"""With which every sampler meets pruned, failed and complete configurations."""
SAMPLERS = ["random", "tpe", "gp", "qmc", "cmaes"]


def with_arms(study: StudyConfig, *arms: Arm) -> StudyConfig:
    return study.model_copy(update={"arms": arms})


def with_search(study: StudyConfig, **changes: object) -> StudyConfig:
    return study.model_copy(update={"search": SearchConfig.model_validate({**study.search.model_dump(), **changes})})


def place(job: Job) -> tuple[str, int, int]:
    return job.trial.arm, job.trial.number, job.trial.seed


def is_unlucky(job: Job) -> bool:
    return (job.trial.number, job.trial.seed) in {(1, 1), (4, 0)}


@pytest.mark.parametrize(
    ("sampler", "pruner"), [("tpe", "median"), *((sampler, "asha") for sampler in SAMPLERS)], ids=str
)
def test_a_study_killed_at_every_point_ends_as_the_undisturbed_one(tmp_path: Path, sampler: str, pruner: str) -> None:
    settings = {"sampler": sampler, "pruner": pruner, "trials": 6, "sampler_seed": SAMPLER_SEED}
    calm, killed = two_arms(tmp_path / "calm", **settings), two_arms(tmp_path / "killed", **settings)
    jobs = run(calm, is_unlucky)
    again = run_killed(killed, is_unlucky)
    assert snapshot(killed) == snapshot(calm)
    assert list(dict.fromkeys(job.trial.trial_id for job in again)) == [job.trial.trial_id for job in jobs]
    statuses = Counter(store_of(calm).trial(job.trial.trial_id).result().status for job in jobs)
    assert min(statuses["pruned"], statuses["failed"], statuses["complete"]) > 0  # the test sees every end


def test_epochs_that_nobody_had_judged_when_the_kill_came_are_judged_afterwards(tmp_path: Path) -> None:
    """Training is ahead of the driver. A past bug: stored epochs counted as not pruned, and were pruned later."""
    settings = {"sampler": "tpe", "pruner": "median", "trials": 6, "sampler_seed": SAMPLER_SEED}
    calm, killed = two_arms(tmp_path / "calm", **settings), two_arms(tmp_path / "killed", **settings)
    jobs = run(calm)
    run_killed(killed, lead=3)
    assert snapshot(killed) == snapshot(calm)
    assert any(store_of(calm).trial(job.trial.trial_id).result().status == "pruned" for job in jobs)


@pytest.mark.parametrize("every", [3, 17])
def test_kills_between_which_the_search_lives_on(tmp_path: Path, every: int) -> None:
    calm, killed = two_arms(tmp_path / "calm", sampler="tpe"), two_arms(tmp_path / "killed", sampler="tpe")
    run(calm)
    run_killed(killed, every=every)
    assert snapshot(killed) == snapshot(calm)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_trial_taken_ahead_is_the_one_that_would_have_come_next(tmp_path: Path, depth: int) -> None:
    settings = {"sampler": "tpe", "pruner": "median", "seeds": (0, 1, 2), "sampler_seed": SAMPLER_SEED}
    calm, hasty = two_arms(tmp_path / "calm", **settings), two_arms(tmp_path / "hasty", **settings)
    jobs = run(calm, is_unlucky)
    ahead, taken = run_ahead(hasty, is_unlucky, depth)
    assert [job.trial.trial_id for job in ahead] == [job.trial.trial_id for job in jobs]
    assert snapshot(hasty) == snapshot(calm)
    whole = [group for group, n in Counter(place(job)[:2] for job in jobs).items() if n == 3]
    assert taken == len(whole) > 2, "the third seed of each configuration, while the second is trained"


def test_nothing_is_taken_ahead_of_a_first_seed_that_still_runs(tmp_path: Path) -> None:
    study = two_arms(tmp_path, sampler="tpe", pruner="none", seeds=(0, 1, 2))
    store = store_of(study)
    search = Search(study, store)
    one, other = search.next(), search.next()
    assert one and other and one.trial.arm == "none" and other.trial.arm == "kd"
    train(search, store, other)
    assert search.next_ahead() is None, "the followers of `none` come first, if it lets them"
    train(search, store, one)
    jobs = [search.next_ahead() for _ in range(5)]
    assert [(job.trial.arm, job.trial.seed) for job in jobs if job] == [("none", 1), ("none", 2), ("kd", 1), ("kd", 2)]


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_proposals_that_know_nothing_of_results_are_taken_ahead_and_stay_the_same(tmp_path: Path, sampler: str) -> None:
    settings = {"sampler": sampler, "pruner": "none"}
    calm, hasty = two_arms(tmp_path / "calm", **settings), two_arms(tmp_path / "hasty", **settings)
    run(calm, is_unlucky)
    jobs, taken = run_ahead(hasty, is_unlucky, 1)
    assert snapshot(hasty) == snapshot(calm)
    assert taken > len(jobs) / 2


def test_the_first_seed_goes_first_and_open_configurations_before_new_ones(tmp_path: Path) -> None:
    study = example_study(tmp_path, trials=2, seeds=(5, 3), pruner="none")
    order = [(job.trial.arm, job.trial.number, job.trial.seed, job.first_seed) for job in run(study)]
    assert order[:6] == [
        ("none", 0, 5, True),
        ("none", 0, 3, False),
        ("kd", 0, 5, True),
        ("kd", 0, 3, False),
        ("ciba", 0, 5, True),
        ("ciba", 0, 3, False),
    ]
    assert [entry[:2] for entry in order[6::2]] == [("none", 1), ("kd", 1), ("ciba", 1)]


def test_several_at_once_never_hand_out_a_trial_twice_and_wait_for_the_first_seed(tmp_path: Path) -> None:
    study = two_arms(tmp_path, trials=2, seeds=(0, 1, 2), pruner="none")
    store = store_of(study)
    search = Search(study, store)
    first = [search.next() for _ in range(4)]
    assert search.next() is None and not search.finished()
    assert all(job and job.first_seed for job in first) and len({job.trial.trial_id for job in first if job}) == 4
    train(search, store, first[1])
    followers = [search.next(), search.next()]
    assert [place(job) for job in followers if job] == [
        ("kd", 0, 1),
        ("kd", 0, 2),
    ]
    assert search.next() is None


def test_a_released_trial_is_handed_out_again(tmp_path: Path) -> None:
    study = two_arms(tmp_path)
    search = Search(study, store_of(study))
    job = search.next()
    assert job
    search.release(job.trial.trial_id)
    assert search.next() == job


@pytest.mark.slow
def test_no_configuration_is_proposed_twice_and_a_small_space_ends_early(tmp_path: Path) -> None:
    for sampler in SAMPLERS:
        study = with_arms(
            two_arms(tmp_path / sampler, sampler=sampler, trials=50, seeds=(0,), pruner="none"), finite_arm()
        )
        jobs = run(study)
        assert len(jobs) == 15 == len({job.config.group_id for job in jobs})
        assert {job.trial.params["lambda_ib"] for job in jobs} == {0.001, 0.002, 0.003}


def test_the_grid_is_taken_in_order_and_cut_at_the_budget(tmp_path: Path) -> None:
    study = with_arms(two_arms(tmp_path, sampler="grid", trials=4, seeds=(0,), pruner="none"), finite_arm())
    expected = [(2, 0.001), (2, 0.002), (2, 0.003), (4, 0.001)]
    assert [tuple(job.trial.params.values()) for job in run(study)] == expected
    rest = [tuple(job.trial.params.values()) for job in run(with_search(study, trials=99))]
    assert rest[:2] == [(4, 0.002), (4, 0.003)] and len(rest) == 11


def test_values_that_do_not_fit_together_are_left_out(tmp_path: Path) -> None:
    arm = Arm(name="ciba", base=trial_config("ciba"), space={"bottleneck_dim": Choice((64, 128, 256, 512))})
    for sampler in ["grid", "tpe"]:
        study = with_arms(two_arms(tmp_path / sampler, sampler=sampler, seeds=(0,)), arm)
        assert sorted(job.trial.params["bottleneck_dim"] for job in run(study)) == [64, 128]
        assert Search(study, store_of(study)).next() is None


def test_counts_and_reuse_after_the_end(tmp_path: Path) -> None:
    study = two_arms(tmp_path, pruner="none", trials=4)
    assert Search(study, store_of(study)).counts == Counts(12, 0, 0, 0, 0)
    run(
        study,
        lambda job: place(job)[:2] in {("kd", 1)} or place(job) == ("kd", 2, 1),
    )
    search = Search(study, store_of(study))
    # kd #1 fails at its first seed, so its second is not run; kd #2 fails at its second
    assert search.counts == Counts(planned=11, complete=9, pruned=0, failed=2, reused=11)
    assert search.next() is None and search.finished()
    assert len(search.take_reused()) == 11 and search.take_reused() == []


def test_a_trial_that_two_arms_share_runs_once(tmp_path: Path) -> None:
    study = two_arms(tmp_path, pruner="none")
    none = study.arms[0]
    shared = with_arms(study, none, none.model_copy(update={"name": "again"}))
    jobs = run(shared)
    assert len(jobs) == 4 == len({job.trial.trial_id for job in jobs})
    assert Search(shared, store_of(shared)).counts == Counts(8, 8, 0, 0, 8)


def test_a_trial_shared_by_two_running_arms_ends_for_both(tmp_path: Path) -> None:
    study = two_arms(tmp_path, sampler="grid", seeds=(0,), pruner="none", trials=1)
    none = study.arms[0]
    study = with_arms(study, none, none.model_copy(update={"name": "again"}))
    search = Search(study, store_of(study))
    job = search.next()
    assert job and search.next() is None and not search.finished()
    train(search, store_of(study), job)
    assert search.next() is None and search.finished()
    assert search.counts == Counts(2, 2, 0, 0, 1)


def test_more_trials_go_on_as_if_they_had_been_asked_for_at_once(tmp_path: Path) -> None:
    whole, parts = two_arms(tmp_path / "whole", trials=9), two_arms(tmp_path / "parts", trials=5)
    run(whole)
    run(parts)
    run(with_search(parts, trials=9))
    assert [p for p in store_of(whole).proposals("kd")] == store_of(parts).proposals("kd")


def test_more_seeds_run_for_complete_configurations_only(tmp_path: Path) -> None:
    study = two_arms(tmp_path, trials=8)
    jobs = run(study, lambda job: place(job)[:2] == ("kd", 0))
    store = store_of(study)
    ended = {place(job)[:2]: store.trial(job.trial.trial_id).result().status for job in jobs if job.first_seed}
    complete = {key for key, status in ended.items() if status == "complete"}
    assert 0 < len(complete) < len(ended) and "pruned" in ended.values()
    more = run(with_search(study, seeds=(0, 1, 2)))
    assert Counter(place(job) for job in more) == Counter((*key, 2) for key in complete)


def test_one_more_arm_starts_at_its_first_proposal(tmp_path: Path) -> None:
    study = two_arms(tmp_path, trials=2, pruner="none")
    run(study)
    assert [place(job)[:2] for job in run(with_arms(study, *study.arms, finite_arm()))] == [
        ("ciba", 0),
        ("ciba", 0),
        ("ciba", 1),
        ("ciba", 1),
    ]


def test_other_ranges_keep_the_old_proposals_and_search_the_new_ranges(tmp_path: Path) -> None:
    study = two_arms(tmp_path, trials=6, seeds=(0,), pruner="none")
    kd = study.arms[1]
    run(study)
    old = store_of(study).proposals("kd")
    space = {"lambda_kd": FloatRange(0.0, 0.5), "lr": FloatRange(1e-3, 1e-2, log=True), "batch_size": Choice((64, 96))}
    jobs = run(with_search(with_arms(study, kd.model_copy(update={"space": space})), trials=12))
    assert store_of(study).proposals("kd")[:6] == old and [job.trial.number for job in jobs] == list(range(6, 12))
    assert all(set(job.trial.params) == set(space) and job.trial.params["lambda_kd"] <= 0.5 for job in jobs)


def test_more_epochs_leave_out_the_old_proposals_and_number_on(tmp_path: Path) -> None:
    study = two_arms(tmp_path, trials=3, seeds=(0,), pruner="none")
    run(study)
    longer = [
        arm.model_copy(
            update={
                "base": arm.base.model_copy(update={"training": arm.base.training.model_copy(update={"epochs": 9})})
            }
        )
        for arm in study.arms
    ]
    changed = with_arms(study, *longer)
    assert [place(job)[:2] for job in run(changed)] == [
        ("none", 2),
        ("kd", 3),
        ("none", 3),
        ("kd", 4),
        ("kd", 5),
    ]
    assert Search(changed, store_of(study)).counts == Counts(5, 5, 0, 0, 5)
    assert Search(study, store_of(study)).counts == Counts(5, 5, 0, 0, 5)  # and back: nothing is lost


def test_a_proposal_of_another_method_is_left_out(tmp_path: Path) -> None:
    study = two_arms(tmp_path, trials=1, seeds=(0,))
    store = store_of(study)
    store.propose(Proposal("kd", 7, "0" * 16, {"bottleneck_dim": 4}))
    assert [place(job)[:2] for job in run(study)] == [("none", 0), ("kd", 8)]


def test_a_store_filled_by_others_is_taken_over(tmp_path: Path) -> None:
    study = example_study(tmp_path, trials=5)
    fill(study, store_of(study))
    search = Search(study, store_of(study))
    assert search.counts == Counts(planned=32, complete=28, pruned=2, failed=2, reused=32)


def test_several_objectives_are_searched_without_a_pruner(tmp_path: Path) -> None:
    objectives = (Objective(), Objective(metric="val/loss", direction="minimize"))
    for sampler in ["tpe", "gp"]:
        study = two_arms(tmp_path / sampler, sampler=sampler, objectives=objectives, pruner="asha", startup_trials=4)
        jobs = run(study)
        assert Search(study, store_of(study)).counts.complete == 16 == len(jobs)


def test_a_metric_that_an_arm_does_not_report_is_named(tmp_path: Path) -> None:
    study = two_arms(tmp_path, objectives=(Objective(metric="train/loss_kd"),), trials=1)
    with pytest.raises(ValueError, match=r"no 'train/loss_kd'; it reports \['val/accuracy', 'val/loss'\]"):
        run(study)


def test_a_grid_needs_a_finite_space(tmp_path: Path) -> None:
    study = two_arms(tmp_path, sampler="grid")
    with pytest.raises(ValueError, match=r"'lambda_kd' of arm 'kd' is FloatRange.*list its values"):
        Search(study, store_of(study))


def test_a_missing_cmaes_package_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    study = two_arms(tmp_path, sampler="cmaes")
    with pytest.raises(ValueError, match="pip install cmaes"):
        Search(study, store_of(study))


def test_an_epoch_that_comes_again_gets_the_same_answer(tmp_path: Path) -> None:
    study = two_arms(tmp_path, pruner="median", seeds=(0,), startup_trials=1, warmup_epochs=2, trials=9)
    study = with_arms(study, study.arms[1])
    store, seen = store_of(study), set()
    search = Search(study, store)
    while job := search.next():
        trial_id = job.trial.trial_id
        reports = [EpochReport(epoch, {"val/accuracy": accuracy(job.config, epoch)}) for epoch in range(1, 5)]
        first = [search.report(trial_id, report) for report in reports]
        seen.add(tuple(first))
        assert first == sorted(first), "once stopped, always stopped"
        assert [search.report(trial_id, report) for report in reports] == first
        result = TrialResult("pruned" if first[-1] else "complete", reports[-1].metrics, 4, 4)
        search.complete(trial_id, result)
    assert {(False, False, False, False), (False, True, True, True)} <= seen


def test_what_a_running_trial_was_let_pass_before_a_kill_is_not_judged_again(tmp_path: Path) -> None:
    study = two_arms(tmp_path, pruner="asha", seeds=(0,), reduction_factor=2)
    study = with_arms(study, study.arms[1])
    store = store_of(study)
    search = Search(study, store)
    weak, strong = (job.trial.trial_id for job in (search.next(), search.next()) if job)
    reports = {
        weak: [EpochReport(epoch, {"val/accuracy": 0.2}) for epoch in range(1, 5)],
        strong: [EpochReport(epoch, {"val/accuracy": 0.9}) for epoch in range(1, 5)],
    }
    for trial_id, epochs in [(weak, 3), (strong, 4)]:  # the weak one passed the rungs 1 and 2 before there was a rival
        for report in reports[trial_id][:epochs]:
            store.trial(trial_id).append(report)
            assert not search.report(trial_id, report)
    rebuilt = Search(study, store)
    assert [rebuilt.report(strong, report) for report in reports[strong]] == [False] * 4
    assert [rebuilt.report(weak, report) for report in reports[weak]] == [False, False, False, True]


def test_int_ranges_with_steps_stay_on_their_steps(tmp_path: Path) -> None:
    space = {"batch_size": IntRange(16, 100, step=16), "lambda_kd": FloatRange(0.1, 0.7, step=0.1)}
    arm = Arm(name="kd", base=trial_config("kd"), space=space)
    for sampler in ["tpe", "qmc"]:
        study = with_arms(two_arms(tmp_path / sampler, sampler=sampler, trials=20, seeds=(0,)), arm)
        jobs = run(study)
        assert len(jobs) == 20
        assert all(space[name].contains(job.trial.params[name]) for job in jobs for name in space)
        assert {job.trial.params["lambda_kd"] for job in jobs} <= set(space["lambda_kd"].grid())
