"""kill -9 in the middle of a pack: its members lose at most the current epoch, and end as if trained separately."""

from collections import Counter
from pathlib import Path

import pytest

from study.storage.store import StudyStore
from tests.helpers.stored_trials import stored_records
from tests.helpers.waiting import has_ended, wait_until
from tests.integration.test_resume import Run, kill_after
from trainables.fitting import fit
from trainables.stages.artifacts import StageStore

pytestmark = pytest.mark.slow

STUDY = """
study: packed
data: {dataset: mfeat, teacher: pix, student: fou, train: 300, val: 100, labels: 60}
teacher: {model: mlp, hidden: [32], feature_dim: 32}
student: {model: mlp, hidden: [32], feature_dim: 32}
training: {epochs: 100, lr: 3e-3, batch_size: 32, precision: float64}
pretraining: {epochs: 5}
arms:
  none: {method: none}
  kd: {method: kd, space: {T: {low: 1, high: 8, log: true}, lambda: {low: 0.1, high: 0.9}}}
search: {sampler: random, pruner: none, trials: 3, seeds: 2}
resources: {concurrency: 1, checkpoint_seconds: 0, pack: 6}
studies: STUDIES
"""


def epochs_by_trial(run: Run) -> dict[str, int]:
    """Epochs in the store of each trial that has begun and not finished."""
    store = StudyStore(run.directory)
    return {record.trial_id: len(record.history) for record in stored_records(store) if not record.result}


def wait_for_the_orphans(run: Run) -> None:
    """Wait until the workers that a killed driver has left have noticed it, and write nothing any more."""
    store = StudyStore(run.directory)
    workers = {
        attempt["pid"] for record in stored_records(store) for attempt in store.trial(record.trial_id).attempts()
    }
    wait_until(lambda: all(map(has_ended, workers)), "the workers of the killed driver have ended")


def test_a_pack_killed_on_the_way_goes_on_with_every_member(tmp_path: Path) -> None:
    file = tmp_path / "packed.yaml"
    file.write_text(STUDY.replace("STUDIES", str(tmp_path / "studies")))
    run = Run(file)
    store = StudyStore(run.directory)
    assert kill_after(run, run.start(), "driver", 300)  # in the second pack
    run.wait()
    wait_for_the_orphans(run)
    stored = epochs_by_trial(run)
    run.start()
    outcome = run.wait()
    assert outcome.code == 0, outcome.output
    assert len(stored) == 6, "all members of the pack were on their way"
    for trial_id, epochs in stored.items():
        begun = store.trial(trial_id).attempts()[1]["from_epoch"]
        assert epochs - 1 <= begun <= epochs, "at most the epoch under way is lost"
    records = stored_records(store)
    attempts = Counter(len(store.trial(record.trial_id).attempts()) for record in records)
    assert attempts == {1: 2, 2: 6}, "what was finished did not run again"
    for record in records:
        assert record.result is not None and record.result.status == "complete"
        assert record.result.trained_together > 1
        alone = fit(record.config, stages=StageStore(run.directory.parent / "stages"))
        assert record.result.metrics == pytest.approx(alone.result.metrics, rel=1e-9), record.trial_id
        for mine, other in zip(record.history, alone.history, strict=True):
            assert mine.epoch == other.epoch and mine.metrics == pytest.approx(other.metrics, rel=1e-9)
