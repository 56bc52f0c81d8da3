"""`evaluate:` of a study file: read, checked, compared with what was run before."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from study.config.study_config import StudyConfig
from study.parsing.loader import load
from study.parsing.problems import StudyFileError
from study.planning.plan import make_plan
from study.storage.resume_rule import differences
from study.storage.store import StudyStore
from tests.helpers import tiny_clip
from trainables.config import CHOICES
from trainables.data import DATASETS

STUDY = """
study: further
data: {dataset: captioned}
teacher: {model: clip, channels: [4, 8], text_width: 8, feature_dim: 6}
student: {model: clip, channels: [4, 8], text_width: 8, feature_dim: 6}
training: {epochs: 1, batch_size: 16}
search: {metric: val/i2t_r1, sampler: random, trials: 1, seeds: 1}
space: {lr: [0.01, 0.001]}
arms: {none: {method: none}}
"""


@pytest.fixture(autouse=True, scope="module")
def _generated_data() -> Iterator[None]:
    DATASETS.update(tiny_clip.ENTRIES)
    CHOICES["data"][1].update({name: entry.config for name, entry in tiny_clip.ENTRIES.items()})
    yield
    for name in tiny_clip.ENTRIES:
        del DATASETS[name], CHOICES["data"][1][name]


def study(folder: Path, more: str = "") -> StudyConfig:
    path = folder / "sweep.yaml"
    path.write_text(STUDY + more)
    return load(path)


def test_every_trial_of_the_study_is_measured_on_them(tmp_path: Path) -> None:
    found = study(tmp_path, "evaluate: [{name: colours, data: {dataset: classified, train: 20}}]\n")
    trial = found.arms[0].trial({"lr": 0.01}, 0)
    assert [evaluation.name for evaluation in trial.evaluate] == ["colours"]
    assert trial.evaluate[0].data == tiny_clip.ClassifiedConfig(train=20)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("evaluate: {name: a}", "evaluate: must be a list of {name, data}; put [ ] around it"),
        ("evaluate: [{name: a}]", "evaluate.0.data: is missing; every evaluation has a name and its data"),
        ("evaluate: [{name: a, data: {dataset: coca}}]", "evaluate.0.data.dataset: "),
        ("evaluate: [{name: a, data: {dataset: captioned}, seeds: 3}]", "evaluate.0.seeds: unknown key 'seeds'"),
        ("evaluate: [{name: test, data: {dataset: captioned}}]", "evaluate.0.name: "),
        ("evaluate: [{name: a, data: {dataset: mfeat}}]", "'a' is data for classification, but the student learns"),
        (
            "evaluate: [{name: a, data: {dataset: captioned}}, {name: a, data: {dataset: classified}}]",
            "evaluate.1: the name 'a' is used twice; choose another",
        ),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, more: str, line: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        study(tmp_path, more)
    (found,) = str(caught.value).splitlines()
    assert line in found and "sweep.yaml:10:" in found


def test_further_data_choose_nothing(tmp_path: Path) -> None:
    more = "evaluate: [{name: colours, data: {dataset: classified}}]\n"
    path = tmp_path / "sweep.yaml"
    path.write_text(STUDY.replace("val/i2t_r1", "colours/top1") + more)
    with pytest.raises(StudyFileError, match="no arm reports 'colours/top1'; use for example val/"):
        load(path)


def test_other_further_data_are_other_trials(tmp_path: Path) -> None:
    old = study(tmp_path)
    new = study(tmp_path, "evaluate: [{name: colours, data: {dataset: classified}}]\n")
    (line,) = differences(old, new).blocking
    assert line == "evaluate: nothing -> {colours: {data: {dataset: classified, train: 32}}}"
    assert differences(new, new).blocking == []
    smaller = study(tmp_path, "evaluate: [{name: colours, data: {dataset: classified, train: 20}}]\n")
    assert differences(new, smaller).blocking == ["evaluate.colours.data.train: 32 -> 20"]


def test_a_dry_run_knows_what_captioned_data_cost(tmp_path: Path) -> None:
    more = "evaluate: [{name: colours, data: {dataset: classified}}]\n"
    path = tmp_path / "sweep.yaml"
    path.write_text(STUDY.replace("none: {method: none}", "kd: {method: clip_kd, kl: 1.0, mfd: 1.0}") + more)
    plan = make_plan(found := load(path), StudyStore(found.directory))
    assert {stage.name: stage.needed for stage in plan.stages}["prepared"] == 2
    assert {arm.name for arm in plan.arms if arm.seconds_per_trial > 0} == {"none", "kd"}
