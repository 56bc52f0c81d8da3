"""The numbers on student and teacher that contrastive trials store, as the report reads them."""

import numpy as np

from study.analysis.contrastive import Read
from study.analysis.notation import METRICS
from study.analysis.study_results import StudyResults
from study.storage.store import StudyStore, TrialRecord
from trainables.diagnostics.contrastive import NEIGHBOURS

MODALITIES = ("images", "captions")
"""In the order of the stored arrays."""

NEIGHBOUR, COSINE, ROWS = "clip/neighbours", "clip/cosine", "clip/rows"
KL, KL_FIXED, MSE = "val/teacher_kl", "val/teacher_kl_fixed", "val/teacher_mse"
"""Metrics of every epoch: see `trainables.diagnostics.contrastive`."""

DOMAIN = "test"
EPOCHS = ("train", "val")
"""Splits that are measured after every epoch."""


def kept_number(store: StudyStore, name: str, place: tuple[int, ...]) -> Read:
    """One number of a stored array; None where the trial has no such array or the number is not finite."""

    def read(trial: TrialRecord) -> float | None:
        array = store.trial(trial.trial_id).diagnostics().get(name)
        value = None if array is None else float(array[place])
        return value if value is not None and np.isfinite(value) else None

    return read


def neighbour_reads(store: StudyStore, side: int) -> dict[str, Read]:
    """Agreement of neighbours by k, of images (side 0) or captions (1)."""
    return {str(k): kept_number(store, NEIGHBOUR, (side, place)) for place, k in enumerate(NEIGHBOURS)}


def neighbour_rows(results: StudyResults, store: StudyStore) -> int | None:
    """Number of rows among which neighbours were searched, if it is the same in all arms."""
    read = kept_number(store, ROWS, (0,))
    found = {read(trial) for row in results.arms for trial in (row.best.trials if row.best else ())} - {None}
    return int(found.pop() or 0) if len(found) == 1 else None


def names_of(results: StudyResults, split: str) -> list[str]:
    """Metrics of the best groups that are measured on `split` and that the tables know, in their order."""
    found = {
        name
        for row in results.arms
        for trial in (row.best.trials if row.best else ())
        for name in (trial.result.metrics if trial.result else ())
    }
    return [name for name in METRICS if f"{split}/{name}" in found]


def splits(results: StudyResults) -> list[str]:
    """The test split, then the additional data sets on which students were measured."""
    keys = [
        name.partition("/")[0]
        for row in results.arms
        for trial in (row.best.trials if row.best else ())
        for name in (trial.result.metrics if trial.result else ())
    ]
    others = [name for name in dict.fromkeys(keys) if name not in (DOMAIN, *EPOCHS)]
    return [split for split in (DOMAIN, *others) if names_of(results, split)]
