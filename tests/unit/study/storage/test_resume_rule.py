"""The resume rule: what may change in a study file, and what may not."""

from pathlib import Path

import pytest

from study.config.study_config import StudyConfig
from study.parsing.loader import load
from study.storage.resume_rule import Differences, differences

BASE = """\
study: small
data: {dataset: mfeat, labels: 100}
teacher: {model: mlp}
student: {model: mlp}
training: {epochs: 10, lr: 1e-3}
space: {batch_size: [32, 64]}
arms:
  none: {}
  kd: {temperature: 4, space: {lambda: {low: 0.1, high: 0.9}}}
  ciba: {space: {H: [2, 4]}}
search: {sampler: random, trials: 3, seeds: 2, metric: val/accuracy}
"""


def study(folder: Path, *changes: tuple[str, str]) -> StudyConfig:
    text = BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "sweep.yaml"
    path.write_text(text)
    return StudyConfig.model_validate(load(path).model_dump(mode="json"))  # as study.json gives it back


def changed(folder: Path, *changes: tuple[str, str]) -> Differences:
    return differences(study(folder), study(folder, *changes))


def test_nothing_changed(tmp_path: Path) -> None:
    assert changed(tmp_path) == Differences([], [])
    assert changed(tmp_path, ("study: small", "# a comment\nstudy: small")) == Differences([], [])


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("trials: 3", "trials: 9", "search.trials: 3 -> 9"),
        ("seeds: 2", "seeds: 4", "search.seeds: [0, 1] -> [0, 1, 2, 3]"),
        ("sampler: random", "sampler: tpe", "search.sampler: random -> tpe"),
        ("epochs: 10,", "epochs: 20, ", "training.epochs: 10 -> 20"),
        ("H: [2, 4]", "H: [2, 4, 8]", "arms.ciba.space.bottleneck_dim"),
        ("high: 0.9", "high: 0.95", "arms.kd.space.lambda_kd"),
        ("  ciba: {space: {H: [2, 4]}}", "  ciba: {space: {H: [2, 4]}}\n  feature_kd: {}", "arms.feature_kd: added"),
        ("  ciba: {space: {H: [2, 4]}}\n", "", "arms.ciba: left out"),
        ("search: {", "resources: {workers: 0}\nsearch: {", "resources.workers: 1 -> 0"),
        ("search: {", "report: {baseline: kd}\nsearch: {", "report.baseline: none -> kd"),
        ("search: {", "tracking: {experiment: other}\nsearch: {", "tracking.experiment: small -> other"),
    ],
)
def test_what_only_adds_goes_on(old: str, new: str, line: str, tmp_path: Path) -> None:
    found = changed(tmp_path, (old, new))
    assert found.blocking == []
    assert any(harmless.startswith(line) for harmless in found.harmless)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("dataset: mfeat, labels: 100", "dataset: digits", ["data.dataset: mfeat -> digits"]),
        ("labels: 100", "labels: 200", ["data.labels: 100 -> 200"]),
        ("labels: 100", "labels: null", ["data.labels: 100 -> null"]),
        ("student: {model: mlp}", "student: {model: mlp, hidden: [64]}", ["student.hidden: [128] -> [64]"]),
        ("lr: 1e-3", "lr: 1e-2", ["training.lr: 0.001 -> 0.01", "pretraining.lr: 0.001 -> 0.01"]),
        ("temperature: 4", "temperature: 5", ["arms.kd.temperature: 4.0 -> 5.0"]),
        ("none: {}", "none: {training: {lr: 0.1}}", ["arms.none.training.lr: 0.001 -> 0.1"]),
        ("kd: {temp", "kd: {training: {epochs: 5}, temp", ["arms.kd.training.epochs: 10 -> 5"]),
        ("epochs: 10,", "epochs: 5, ", ["training.epochs: 10 -> 5", "pretraining.epochs: 10 -> 5"]),
        ("ciba: {", "ciba: {method: feature_kd}\n  other: {method: ciba, ", ["arms.ciba.method: ciba -> feature_kd"]),
        ("space: {batch", "pretraining: {epochs: 30}\nspace: {batch", ["pretraining.epochs: 10 -> 30"]),
        ("temperature: 4, space: {", "space: {T: [2, 8], ", ["arms.kd.temperature: 4.0 -> swept"]),
        (
            "metric: val/accuracy",
            "metric: val/macro_f1",
            [
                "training.monitor: val/accuracy -> val/macro_f1",
                "pretraining.monitor: val/accuracy -> val/macro_f1",
                "search.objectives: val/accuracy (maximize) -> val/macro_f1 (maximize)",
            ],
        ),
    ],
)
def test_what_makes_results_incomparable_stops(old: str, new: str, lines: list[str], tmp_path: Path) -> None:
    assert changed(tmp_path, (old, new)).blocking == lines


def test_the_teacher_concerns_the_arms_that_have_one(tmp_path: Path) -> None:
    """`none` is the same trial for every view of the teacher; the change affects every other arm."""
    found = changed(tmp_path, ("labels: 100", "labels: 100, teacher: fac"))
    assert found.blocking == ["data.teacher: pix -> fac"]


def test_a_teacher_beside_arms_without_one_changes_nothing(tmp_path: Path) -> None:
    only = ("  kd: {temperature: 4, space: {lambda: {low: 0.1, high: 0.9}}}\n  ciba: {space: {H: [2, 4]}}\n", "")
    old = study(tmp_path, only)
    new = study(tmp_path, only, ("teacher: {model: mlp}", "teacher: {model: mlp, hidden: [8]}"))
    assert differences(old, new) == Differences([], [])


def test_pretraining_may_grow_with_the_training_only(tmp_path: Path) -> None:
    found = changed(tmp_path, ("epochs: 10,", "epochs: 20, "))
    assert found == Differences([], ["training.epochs: 10 -> 20", "pretraining.epochs: 10 -> 20"])


def test_a_swept_value_may_be_fixed(tmp_path: Path) -> None:
    """Finished configurations keep their own values; new ones all have the fixed one."""
    found = changed(tmp_path, ("ciba: {space: {H: [2, 4]}}", "ciba: {H: 4}"))
    assert found.blocking == []
    assert found.harmless == ["arms.ciba.space.bottleneck_dim: 2, 4 -> nothing"]


def test_what_blocks_is_what_changes_the_group_of_a_finished_configuration(tmp_path: Path) -> None:
    """The rule and the identity agree: the group id of an old configuration stays exactly where nothing blocks."""
    old = study(tmp_path)
    params = {
        "none": {"batch_size": 32},
        "kd": {"lambda_kd": 0.3, "batch_size": 32},
        "ciba": {"bottleneck_dim": 4, "batch_size": 64},
    }
    for change in [
        ("trials: 3", "trials: 9"),
        ("H: [2, 4]", "H: [8, 16]"),
        ("labels: 100", "labels: 100, teacher: fac"),
        ("temperature: 4", "temperature: 5"),
        ("lr: 1e-3", "lr: 1e-2"),
        ("student: {model: mlp}", "student: {model: mlp, dropout: 0.1}"),
        ("temperature: 4, space: {", "space: {T: [2, 8], "),
    ]:
        new = study(tmp_path, change)
        same = all(old.arm(a).trial(p, 0).group_id == new.arm(a).trial(p, 0).group_id for a, p in params.items())
        assert same == (not differences(old, new).blocking), change
