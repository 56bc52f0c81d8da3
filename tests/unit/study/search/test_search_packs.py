"""Packs of the search: which trials are handed out together, and that packs do not change the results."""

from collections import Counter
from pathlib import Path

import pytest

from search_spaces.domains import Choice
from study.search.search import Job, Search
from tests.helpers.fake_trials import run, run_packs, run_packs_killed, snapshot, store_of, two_arms

SAMPLERS = ["random", "tpe", "gp", "qmc", "cmaes"]


def is_unlucky(job: Job) -> bool:
    return (job.trial.number, job.trial.seed) in {(1, 1), (4, 0)}


def names(pack: list[Job]) -> list[tuple[str, int, int]]:
    return [(job.trial.arm, job.trial.number, job.trial.seed) for job in pack]


@pytest.mark.parametrize(("sampler", "pruner"), [*((sampler, "median") for sampler in SAMPLERS), ("random", "none")])
def test_packs_end_as_trials_one_after_another(tmp_path: Path, sampler: str, pruner: str) -> None:
    settings = {"sampler": sampler, "pruner": pruner, "trials": 6, "sampler_seed": 1, "startup_trials": 4}
    alone, packed = two_arms(tmp_path / "alone", **settings), two_arms(tmp_path / "packed", **settings)
    jobs = run(alone, is_unlucky)
    packs = run_packs(packed, is_unlucky)
    assert snapshot(packed) == snapshot(alone)
    assert len(packs) < len(jobs) / 2 and max(map(len, packs)) > 3


def test_a_packed_study_killed_at_every_point_ends_as_the_undisturbed_one(tmp_path: Path) -> None:
    settings = {"sampler": "tpe", "pruner": "median", "trials": 5, "sampler_seed": 1}
    alone, killed = two_arms(tmp_path / "alone", **settings), two_arms(tmp_path / "killed", **settings)
    jobs = run(alone, is_unlucky)
    run_packs_killed(killed, is_unlucky)
    assert snapshot(killed) == snapshot(alone)
    statuses = Counter(store_of(alone).trial(job.trial.trial_id).result().status for job in jobs)
    assert min(statuses["pruned"], statuses["failed"], statuses["complete"]) > 0


def test_the_other_seeds_come_along_and_follow_the_first(tmp_path: Path) -> None:
    study = two_arms(tmp_path, sampler="tpe", pruner="median", seeds=(0, 1, 2), startup_trials=0)
    pack = Search(study, store_of(study)).next_pack(lambda lead: 8)
    assert names(pack) == [("none", 0, 0), ("none", 0, 1), ("none", 0, 2)]
    assert [job.follows for job in pack] == ["", pack[0].trial.trial_id, pack[0].trial.trial_id]
    assert [job.first_seed for job in pack] == [True, False, False]


def test_batch_sizes_are_packed_apart(tmp_path: Path) -> None:
    study = two_arms(tmp_path, sampler="grid", pruner="none", seeds=(0, 1), trials=6)
    arm = study.arms[0].model_copy(update={"space": {"batch_size": Choice((32, 64, 96))}})
    packs = run_packs(study.model_copy(update={"arms": (arm,)}))
    assert [names(pack) for pack in packs] == [[("none", number, 0), ("none", number, 1)] for number in range(3)]
    assert [{job.config.training.batch_size for job in pack} for pack in packs] == [{32}, {64}, {96}]


@pytest.mark.parametrize("room", [1, 2, 5, 100])
def test_no_pack_is_larger_than_asked_for(tmp_path: Path, room: int) -> None:
    study = two_arms(tmp_path, sampler="random", pruner="none", seeds=(0, 1, 2), trials=9)
    packs = run_packs(study, size=room)
    assert max(map(len, packs)) <= room
    assert Counter(job.trial.trial_id for pack in packs for job in pack).most_common(1)[0][1] == 1


def test_proposals_that_depend_on_results_wait_for_them(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "a", sampler="tpe", pruner="none", seeds=(0,), trials=8, startup_trials=3)
    study = study.model_copy(update={"arms": study.arms[1:]})
    Search(study, store_of(study)).next_pack(lambda lead: 8)
    assert len(store_of(study).proposals("kd")) == 3, "the rest is up to TPE, which wants to know how those end"
    pruned = two_arms(tmp_path / "c", sampler="random", pruner="median", seeds=(0,), trials=8, startup_trials=3)
    pruned = pruned.model_copy(update={"arms": pruned.arms[1:]})
    Search(pruned, store_of(pruned)).next_pack(lambda lead: 8)
    assert len(store_of(pruned).proposals("kd")) == 3, "from the fourth on the median prunes"
    other = two_arms(tmp_path / "b", sampler="tpe", pruner="asha", seeds=(0,), trials=8, startup_trials=3)
    other = other.model_copy(update={"arms": other.arms[1:]})
    Search(other, store_of(other)).next_pack(lambda lead: 8)
    assert len(store_of(other).proposals("kd")) == 1, "ASHA compares each with those before it"


def test_a_number_of_trials_is_taken_at_once_whatever_the_sampler(tmp_path: Path) -> None:
    study = two_arms(tmp_path, sampler="tpe", pruner="median", seeds=(0,), trials=8, startup_trials=0)
    study = study.model_copy(update={"arms": study.arms[1:]})
    packs = run_packs(study, size=4, hasty=True)
    assert len(packs[0]) > 1 and sum(map(len, packs)) == 8


def test_what_a_slot_gives_back_is_handed_out_again(tmp_path: Path) -> None:
    study = two_arms(tmp_path, sampler="random", pruner="none", seeds=(0, 1), trials=3)
    search = Search(study, store_of(study))
    pack = search.next_pack(lambda lead: 4)
    for job in pack[1:]:
        search.release(job.trial.trial_id)
    assert [job.trial.trial_id for job in search.next_pack(lambda lead: 4)] != [job.trial.trial_id for job in pack]
    assert search.left <= search.counts.planned - 1
