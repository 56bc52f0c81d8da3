"""Golden values of the identities and the numbers: no refactoring may change one of them.

`golden.json` was written by the version before the rooms (commit 072baed). For every study file that loads without
data of the user it contains the ids of each arm's base trial, the keys of the stages that it needs, and the first
trials that the search proposes when each trial gets a known metric. For the quickstart's arms it also contains the
metrics of a short training with a fixed seed.

To write it again after a change that is meant to change numbers (say so in the CHANGELOG):
`python -m tests.project.test_golden`.
"""

import hashlib
import json
import math
from pathlib import Path

import pytest

from study.config.study_config import Arm, StudyConfig
from study.parsing.loader import load
from study.parsing.problems import StudyFileError
from study.planning.criterion import distils
from study.planning.resolve import resolve
from study.search.search import Search
from study.storage.store import StudyStore
from tests.helpers.paths import ROOT
from trainables.common.types import EpochReport, TrialResult
from trainables.config import TrialConfig
from trainables.fitting import fit
from trainables.stages.artifacts import Stage, StageStore
from trainables.stages.criterion import criterion_stage
from trainables.stages.estimator_error import self_test_stage
from trainables.stages.reconstruction import spectrum_stage
from trainables.stages.targets import required_stages

GOLDEN = Path(__file__).with_name("golden.json")
QUICKSTART = "sweep.yaml"
PROPOSED = 12
"""Trials of each study file whose ids are compared; of the quickstart all are."""


def study_files() -> list[str]:
    """Every study file of the project that describes a study that can be planned without the user's data."""
    found = [QUICKSTART]
    for folder in ("search_spaces/presets", "tests/sweeps/good"):
        found += [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / folder).glob("*.yaml"))]
    return found


def value_of(trial_id: str) -> float:
    """A metric in [0, 1) that depends on the trial alone."""
    return int(hashlib.sha256(trial_id.encode()).hexdigest()[:12], 16) / 16**12


def identities(file: str, folder: Path) -> dict[str, object] | None:
    """Ids, stage keys and proposals of one study file; None if its data are missing here."""
    try:
        study = resolve(load(ROOT / file).model_copy(update={"studies": folder}), compute=False)
    except StudyFileError:
        return None
    arms = {
        arm.name: {
            "trial_id": arm.base.trial_id,
            "group_id": arm.base.group_id,
            "stages": [f"{stage.name}/{stage.key}" for stage in every_stage(arm, study)],
        }
        for arm in study.arms
    }
    gated = study.criterion is not None and study.criterion.action == "gate"
    limit = 10_000 if file == QUICKSTART else PROPOSED
    return {"arms": arms, "proposed": [] if gated else proposed(study, limit)}


def every_stage(arm: Arm, study: StudyConfig) -> list[Stage]:
    """The stages of the arm's base trial, of the spectrum of its bottleneck and of the study's criterion."""
    found = required_stages(arm.base)
    if arm.base.method.teacher_source == "bottleneck":
        found.append(spectrum_stage(arm.base))
    if study.criterion is not None and distils(arm):
        found.append(criterion_stage(arm.base, study.criterion.settings))
        found.append(self_test_stage(study.criterion.settings.mi, 100, (8, 8), 10, 2))
    return found


def proposed(study: StudyConfig, limit: int) -> list[str]:
    """`arm/number/seed/trial_id` of the first trials in order; each gets a known metric, and may be pruned."""
    search, found = Search(study, StudyStore(study.directory)), []
    metrics = [objective.metric for objective in study.search.objectives]
    while len(found) < limit and (job := search.next()):
        trial_id = job.trial.trial_id
        found.append(f"{job.trial.arm}/{job.trial.number}/{job.trial.seed}/{trial_id}")
        values = {metric: value_of(trial_id + metric) for metric in metrics}
        epochs, pruned = job.config.training.epochs, False
        for epoch in (1, epochs):
            pruned = pruned or search.report(trial_id, EpochReport(epoch, values))
        status = "pruned" if pruned and job.first_seed else "complete"
        search.complete(trial_id, TrialResult(status, values, epochs, epochs, 1.0))
    return found


def short(config: TrialConfig) -> TrialConfig:
    """The trial with three epochs for everything that is trained."""
    values = config.model_dump(mode="json")
    values["training"]["epochs"] = values["pretraining"]["epochs"] = 3
    if "bottleneck_epochs" in values["method"]:
        values["method"]["bottleneck_epochs"] = 3
    return TrialConfig.model_validate(values)


def numbers(folder: Path) -> dict[str, dict[str, float]]:
    """Metrics of a short training of each arm of the quickstart."""
    stages, study = StageStore(folder / "stages"), load(ROOT / QUICKSTART)
    return {arm.name: dict(fit(short(arm.base), stages=stages).result.metrics) for arm in study.arms}


def golden() -> dict[str, dict]:
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("file", study_files())
def test_ids_stage_keys_and_proposals_are_those_of_the_version_before(file: str, tmp_path: Path) -> None:
    assert identities(file, tmp_path) == golden()["identities"].get(file)


def test_most_study_files_have_golden_values() -> None:
    assert len(golden()["identities"]) > 20


def test_a_short_training_gives_the_numbers_of_the_version_before(tmp_path: Path) -> None:
    found, known = numbers(tmp_path), golden()["numbers"]
    assert found.keys() == known.keys()
    for arm, metrics in known.items():
        assert found[arm].keys() == metrics.keys()
        wrong = {
            name: found[arm][name]
            for name in metrics
            if not math.isclose(found[arm][name], metrics[name], rel_tol=1e-5, abs_tol=1e-6)
        }
        assert not wrong, arm


def write(folder: Path) -> None:
    found = {file: values for file in study_files() if (values := identities(file, folder / file)) is not None}
    GOLDEN.write_text(json.dumps({"identities": found, "numbers": numbers(folder)}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        write(Path(made))
