"""Every trial of a study directory, also those that the present study file does not contain."""

from study.storage.store import StudyStore, TrialRecord


def stored_records(store: StudyStore) -> list[TrialRecord]:
    """Every trial that ever began, in the order of the ids, also those that the study file does not contain."""
    paths = sorted((store.directory / "trials").glob("*/config.json"))
    return [store.record(path.parent.name) for path in paths]
