"""Trials without training: a known value after every epoch, and a driver that can be killed at every point."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from search_spaces.domains import Choice, FloatRange
from study.config.study_config import Arm, StudyConfig
from study.search.search import Job, Search
from study.storage.store import StudyStore
from tests.helpers.example_store import example_study, trial_config
from trainables.common.types import EpochReport, TrialError, TrialResult
from trainables.config import TrialConfig

EPOCHS = 4


def accuracy(trial: TrialConfig, epoch: int) -> float:
    """Best near lambda_kd 0.3, temperature 3, H 8; a little better with every seed and epoch."""
    method, value = trial.method, 0.5 + 0.01 * trial.training.batch_size / 64 + 0.002 * trial.seed
    value -= 0.1 * abs(getattr(method, "lambda_kd", 0.5) - 0.3)
    value -= 0.02 * abs(math.log(getattr(method, "temperature", 2.0) / 3))
    value -= 0.01 * abs(math.log2(getattr(method, "bottleneck_dim", 8)) - 3)
    return value * epoch / EPOCHS


def two_arms(root: Path, **search: object) -> StudyConfig:
    """Arms `none` (batch size: 2 configurations) and `kd` (three hyperparameters, one of each kind)."""
    settings = {"trials": 6, "seeds": (0, 1), "startup_trials": 2, "warmup_epochs": 1, **search}
    study = example_study(root, **settings)
    return study.model_copy(update={"arms": study.arms[:2]})


def finite_arm(method: str = "ciba") -> Arm:
    space = {"bottleneck_dim": Choice((2, 4, 8, 16, 32)), "lambda_ib": FloatRange(0.001, 0.003, step=0.001)}
    return Arm(name=method, base=trial_config(method), space=space)


def store_of(study: StudyConfig) -> StudyStore:
    return StudyStore(study.directory)


def train(search: Search, store: StudyStore, job: Job, fails: Callable[[Job], bool] = lambda job: False) -> None:
    """Run one trial to its end."""
    for _ in training_steps(search, store, job, fails):
        pass


def training_steps(
    search: Search, store: StudyStore, job: Job, fails: Callable[[Job], bool], lead: int = 0
) -> Iterator[str]:
    """Does what a worker and the driver do for one trial; yields a name at each point at which a kill could occur.

    Training is `lead` epochs ahead of the search's answers.
    """
    trial_id, trial = job.trial.trial_id, store.trial(job.trial.trial_id)
    yield "handed out"
    stored = len(trial.history())
    trial.begin(job.config, stored)
    status, report = "complete", EpochReport(0, {})
    reports = [
        EpochReport(epoch, {"val/accuracy": accuracy(job.config, epoch), "val/loss": 1 / epoch})
        for epoch in range(1, EPOCHS + 1)
    ]
    for epoch, report in enumerate(reports, start=1):
        while stored < min(epoch + lead, EPOCHS):
            stored += 1
            trial.append(reports[stored - 1])
            yield f"epoch {stored} stored"
        if search.report(trial_id, report):
            status = "pruned"
            trial.set_history(reports[:epoch])
            break
        yield f"epoch {epoch} answered"
        if fails(job) and epoch == 2:
            status = "failed"
            break
    error = TrialError("RuntimeError", "out of memory") if status == "failed" else None
    trial.finish(result := TrialResult(status, report.metrics, report.epoch, report.epoch, 1.0, error=error))
    yield "finished"
    search.complete(trial_id, result)
    yield "told"


def run(study: StudyConfig, fails: Callable[[Job], bool] = lambda job: False) -> list[Job]:
    """Run the whole study, one trial at a time; returns the jobs in the order in which they were handed out."""
    store = store_of(study)
    search, jobs = Search(study, store), []
    while job := search.next():
        jobs.append(job)
        train(search, store, job, fails)
    assert search.finished()
    return jobs


def run_packs(
    study: StudyConfig, fails: Callable[[Job], bool] = lambda job: False, size: int = 8, hasty: bool = False
) -> list[list[Job]]:
    """Run the whole study in packs, one at a time; returns the packs."""
    store, packs = store_of(study), []
    search = Search(study, store)
    while pack := search.next_pack(lambda lead: size, hasty=hasty):
        packs.append(pack)
        for _ in pack_steps(search, store, pack, fails):
            pass
    assert search.finished()
    return packs


def run_packs_killed(study: StudyConfig, fails: Callable[[Job], bool] = lambda job: False, size: int = 8) -> None:
    """Like `run_packs`, in one process after another, killed once at each point of each trial."""
    store, places = store_of(study), set()
    while True:
        search, killed = Search(study, store), False
        while not killed and (pack := search.next_pack(lambda lead: size)):
            for place in pack_steps(search, store, pack, fails):
                if killed := place not in places:
                    places.add(place)
                    break
        if not killed:
            assert search.finished()
            return


def pack_steps(search: Search, store: StudyStore, pack: list[Job], fails: Callable[[Job], bool]) -> Iterator[str]:
    """Does what a worker and the driver do for a pack: train together, store one by one, report at the end."""
    reports = {job.trial.trial_id: list[EpochReport]() for job in pack}
    ended: dict[str, tuple[str, int]] = {}
    for job in pack:
        trial = store.trial(job.trial.trial_id)
        trial.begin(job.config, len(trial.history()))
    for epoch in range(1, EPOCHS + 1):
        for job in pack:
            trial_id = job.trial.trial_id
            if trial_id in ended or ended.get(job.follows, ("", 0))[0] == "pruned":
                continue
            report = EpochReport(epoch, {"val/accuracy": accuracy(job.config, epoch), "val/loss": 1 / epoch})
            reports[trial_id].append(report)
            if epoch > len(store.trial(trial_id).history()):
                store.trial(trial_id).append(report)
            yield f"{trial_id} epoch {epoch}"
            if search.report(trial_id, report):
                ended[trial_id] = ("pruned", epoch)
            elif fails(job) and epoch == 2:
                ended[trial_id] = ("failed", epoch)
    yield from pack_ends(search, store, pack, ended, reports)


def pack_ends(
    search: Search,
    store: StudyStore,
    pack: list[Job],
    ended: dict[str, tuple[str, int]],
    reports: dict[str, list[EpochReport]],
) -> Iterator[str]:
    """The steps after the training of a pack."""
    results: dict[str, TrialResult] = {}
    for job in pack:
        trial_id = job.trial.trial_id
        if job.follows in ended and ended[job.follows][0] != "complete":
            store.delete_trial(trial_id)
            continue
        status, epoch = ended.setdefault(trial_id, ("complete", EPOCHS))
        store.trial(trial_id).set_history(reports[trial_id][:epoch])
        error = TrialError("RuntimeError", "out of memory") if status == "failed" else None
        last = reports[trial_id][epoch - 1].metrics
        store.trial(trial_id).finish(result := TrialResult(status, last, epoch, epoch, 1.0, error=error))
        results[trial_id] = result
        yield f"{trial_id} stored"
    for job in pack:
        if result := results.get(job.trial.trial_id):
            search.complete(job.trial.trial_id, result)
        else:
            search.release(job.trial.trial_id)
    yield f"{pack[0].trial.trial_id} told"


def run_ahead(study: StudyConfig, fails: Callable[[Job], bool], depth: int) -> tuple[list[Job], int]:
    """Like `run`, with up to `depth` trials taken early; returns the jobs and the number of early ones."""
    store, taken, ahead = store_of(study), 0, deque[Job]()
    search, jobs = Search(study, store), []
    while job := ahead.popleft() if ahead else search.next():
        jobs.append(job)
        while len(ahead) < depth and (following := search.next_ahead()):
            ahead.append(following)
            taken += 1
        train(search, store, job, fails)
    assert search.finished()
    return jobs, taken


def run_killed(
    study: StudyConfig, fails: Callable[[Job], bool] = lambda job: False, every: int = 1, lead: int = 0
) -> list[Job]:
    """Run the whole study in one process after another, killed once at each point (or every nth) of each trial."""
    store, jobs, places = store_of(study), [], set()
    while True:
        search, killed = Search(study, store), False
        while not killed and (job := search.next()):
            jobs.append(job)
            for place in training_steps(search, store, job, fails, lead):
                is_new = (job.trial.trial_id, place) not in places
                places.add((job.trial.trial_id, place))
                if killed := is_new and len(places) % every == 0:
                    break
        if not killed:
            assert search.finished()
            return jobs


def snapshot(study: StudyConfig) -> dict[str, object]:
    """Every file of the study by relative path, without attempts and times."""
    found: dict[str, object] = {}
    for path in sorted(study.directory.rglob("*")):
        if path.is_file() and path.name != "attempts.jsonl":
            found[str(path.relative_to(study.directory))] = path.read_text()
    return found
