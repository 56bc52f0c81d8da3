"""`pairs:` of a study file: which arms it makes, of what they are made, and against what each is compared."""

from pathlib import Path

import pytest

from study.analysis.study_results import study_results
from study.config.study_config import StudyConfig
from study.parsing.loader import load
from study.parsing.problems import StudyFileError
from study.report.format.tables import arms_table_block
from study.report.sections.findings import findings
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from tests.helpers.example_store import write_result

TEXT = """\
study: small
data: {dataset: mfeat, train: 70, val: 30}
teacher: {model: mlp, hidden: [8], feature_dim: 8}
student: {model: mlp, hidden: [8], feature_dim: 8}
training: {epochs: 1}
pairs: {teacher: [pix, fou], student: [fou, mor]}
arms:
  none:
  kd: {space: {lambda: [0.2, 0.5]}}
search: {trials: 2, seeds: 2, sampler: grid, pruner: none}
"""


def study_in(folder: Path, text: str = TEXT) -> StudyConfig:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return load(path)


def views(study: StudyConfig) -> dict[str, tuple[str, str]]:
    data = {arm.name: arm.base.data.model_dump() for arm in study.arms}
    return {name: (values["teacher"], values["student"]) for name, values in data.items()}


def test_every_pair_of_two_views_has_an_arm_and_every_student_a_baseline(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    assert views(study) == {
        "none-fou": ("pix", "fou"),
        "none-mor": ("pix", "mor"),
        "kd-pix-fou": ("pix", "fou"),
        "kd-pix-mor": ("pix", "mor"),
        "kd-fou-mor": ("fou", "mor"),
    }
    assert {arm.written for arm in study.arms} == {"none", "kd"} and study.report.baseline == "none-fou"
    assert {arm.name: study.baseline_of(arm) for arm in study.arms} == {
        "none-fou": "none-fou",
        "none-mor": "none-mor",
        "kd-pix-fou": "none-fou",
        "kd-pix-mor": "none-mor",
        "kd-fou-mor": "none-mor",
    }
    assert all(list(study.arm(name).space) == ["lambda_kd"] for name in ("kd-pix-fou", "kd-fou-mor"))


def test_a_pair_is_the_trial_that_an_arm_with_the_same_data_is(tmp_path: Path) -> None:
    plain = TEXT.replace("pairs: {teacher: [pix, fou], student: [fou, mor]}\n", "")
    alone = study_in(tmp_path, plain.replace("kd: {", "kd: {data: {teacher: fou, student: mor}, "))
    paired = study_in(tmp_path).arm("kd-fou-mor")
    params = {"lambda_kd": 0.2}
    assert paired.trial(params, 3).trial_id == alone.arm("kd").trial(params, 3).trial_id


def test_what_an_arm_sets_or_sweeps_itself_is_not_paired(tmp_path: Path) -> None:
    arms = "  kd: {data: {student: zer}}\n  feature_kd: {space: {data.teacher: [pix, kar]}}\n"
    study = study_in(tmp_path, TEXT.replace("  kd: {space: {lambda: [0.2, 0.5]}}\n", arms))
    assert list(views(study)) == ["none-fou", "none-mor", "kd-pix", "kd-fou", "feature_kd-fou", "feature_kd-mor"]
    assert views(study)["kd-fou"] == ("fou", "zer")


def test_a_field_of_the_teacher_alone_makes_one_baseline(tmp_path: Path) -> None:
    text = TEXT.replace("{dataset: mfeat, train: 70, val: 30}", "{dataset: digits, train: 70, val: 30}")
    text = text.replace("mlp, hidden: [8]", "cnn, widths: [2]").replace(
        "pairs: {teacher: [pix, fou], student: [fou, mor]}", "pairs: {teacher_blur: [0, 0.5, 2]}"
    )
    study = study_in(tmp_path, text)
    assert [arm.name for arm in study.arms] == ["none", "kd-0", "kd-0.5", "kd-2"]
    assert [arm.base.data.model_dump()["teacher_blur"] for arm in study.arms][1:] == [0, 0.5, 2]
    assert {study.baseline_of(arm) for arm in study.arms} == {"none"}


@pytest.mark.parametrize(
    ("pairs", "line"),
    [
        ("{techer: [pix]}", "pairs.techer: unknown key 'techer'; did you mean teacher?"),
        ("{dataset: [mfeat]}", "pairs.dataset: unknown key 'dataset'"),
        ("{teacher: pix}", "pairs.teacher: must be a list of values, but got 'pix'; put [ ] around it"),
        ("{teacher: []}", "pairs.teacher: must be a list of values, but got []"),
        ("{teacher: [pix, pxi]}", "pairs.teacher: must be one of"),
        (
            "{teacher: [pix, pix]}",
            "pairs.teacher: each value may be listed once, but got ['pix', 'pix']; remove the repeated one",
        ),
        ("[pix]", "pairs: must be a mapping of keys to values"),
        ("{split_seed: [" + ", ".join(map(str, range(101))) + "]}", "pairs: makes 202 arms, more than 200"),
    ],
)
def test_wrong_pairs_are_answered_in_one_line(tmp_path: Path, pairs: str, line: str) -> None:
    with pytest.raises(StudyFileError) as error:
        study_in(tmp_path, TEXT.replace("{teacher: [pix, fou], student: [fou, mor]}", pairs))
    (only,) = str(error.value).splitlines()
    assert line in only and "sweep.yaml:6:" in only


def test_a_fault_of_an_arm_is_said_once_and_not_for_each_pair(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError) as error:
        study_in(tmp_path, TEXT.replace("lambda: [0.2, 0.5]", "lambda: [0.2, 1.5]"))
    (only,) = str(error.value).splitlines()
    assert "sweep.yaml:9:30: arms.kd.space.lambda_kd: " in only


@pytest.mark.slow
def test_each_arm_is_tested_against_the_baseline_with_its_student(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    store = StudyStore(study.directory)
    levels = {"none-fou": 0.5, "none-mor": 0.3, "kd-pix-fou": 0.6, "kd-pix-mor": 0.6, "kd-fou-mor": 0.2}
    for name, level in levels.items():
        params = {"lambda_kd": 0.2} if name.startswith("kd") else {}
        write_result(study, store, name, 0, params, [(level, level), (level + 0.01, level + 0.02)])
    results = study_results(study, collect_groups(study, store))
    found = {row.arm: row.comparison and round(row.comparison.difference or 0, 9) for row in results.arms}
    assert found == {"none-fou": None, "none-mor": None, "kd-pix-fou": 0.1, "kd-pix-mor": 0.3, "kd-fou-mor": -0.1}
    cells = [row[0] for row in arms_table_block(results).rows]
    assert cells[2:] == ["`kd-pix-fou` vs `none-fou`", "`kd-pix-mor` vs `none-mor`", "`kd-fou-mor` vs `none-mor`"]
    assert "`kd-pix-mor` is better than `none-mor` on test accuracy by 30.00" in " ".join(findings(study, results))
