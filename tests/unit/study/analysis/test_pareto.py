from pathlib import Path

from search_spaces.domains import Choice
from study.analysis.pareto import pareto_front
from study.config.study_config import Objective
from study.storage.groups import Group, collect_groups
from study.storage.store import Proposal, StudyStore
from tests.helpers.example_store import example_study
from trainables.common.types import TrialResult

ACCURACY, LOSS = Objective(), Objective(metric="val/loss", direction="minimize")


def groups_with(root: Path, points: list[tuple[float, float] | None]) -> list[Group]:
    """One complete group per (accuracy, loss) point, a failed one for None."""
    study = example_study(root, seeds=(0,))
    arm = study.arms[0].model_copy(update={"space": {"batch_size": Choice(tuple(range(2, 2 + len(points))))}})
    study, store = study.model_copy(update={"arms": (arm,)}), StudyStore(study.directory)
    for number, point in enumerate(points):
        params = {"batch_size": 2 + number}
        trial = arm.trial(params, 0)
        store.propose(Proposal(arm.name, number, trial.group_id, params))
        store.trial(trial.trial_id).begin(trial, 0)
        metrics = {} if point is None else {"val/accuracy": point[0], "val/loss": point[1]}
        store.trial(trial.trial_id).finish(TrialResult("complete" if point else "failed", metrics))
    return collect_groups(study, store)


def test_the_front_holds_what_nothing_beats(tmp_path: Path) -> None:
    groups = groups_with(tmp_path, [(0.7, 0.5), (0.8, 0.9), (0.7, 0.6), (0.6, 0.4), None, (0.8, 0.9), (0.5, 0.45)])
    assert [group.number for group in pareto_front(groups, [ACCURACY, LOSS])] == [0, 1, 3, 5]
    assert [group.number for group in pareto_front(groups, [ACCURACY])] == [1, 5]
    assert [group.number for group in pareto_front(groups, [LOSS])] == [3]
    assert pareto_front([], [ACCURACY, LOSS]) == []
