"""Published tables: their content, when a study is comparable with them, and the text of the report."""

from pathlib import Path
from typing import Any

import pytest

from search_spaces.domains import Choice
from study.analysis.published import compare_published, different
from study.analysis.study_results import study_results
from study.config.study_config import Arm, StudyConfig
from study.parsing.loader import load
from study.parsing.problems import StudyFileError
from study.parsing.published_tables import PublishedTable, published_names, published_table
from study.report.sections.published import published_blocks
from study.report.write import write_report
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from tests.helpers.example_store import example_study, write_result
from trainables.config import TrialConfig
from trainables.data import DATASETS

RECIPE = {"epochs": 3, "batch_size": 64}
CELLS = {"val/accuracy": {"mean": 70.0, "std": 1.5}, "test/accuracy": {"mean": 68.0, "std": 2.5, "p": "0.004"}}


def table(**changes: Any) -> PublishedTable:
    """A table that is comparable with the study below, except for the changes."""
    values = {
        "title": "A paper, Table 1",
        "dataset": "mfeat",
        "seeds": 3,
        "recipe": RECIPE,
        "networks": {"student": {"feature_dim": 128}},
        "rows": {"none": {"name": "Baseline", "values": CELLS}, "other": {"name": "Other", "values": CELLS}},
    }
    return PublishedTable.model_validate({**values, **changes})


def small(root: Path, **training: Any) -> tuple[StudyConfig, StudyStore]:
    """The example study with one complete group of the arm `none`."""
    study = example_study(root)
    base = TrialConfig.model_validate(
        {
            "data": {"dataset": "mfeat"},
            "teacher": {"model": "mlp"},
            "student": {"model": "mlp"},
            "method": {"method": "none"},
            "training": {**RECIPE, **training},
        }
    )
    arm = Arm(name="none", base=base, space={"lr": Choice((0.1, 0.01))})
    study = study.model_copy(update={"arms": (arm, *study.arms[1:])})
    store = StudyStore(study.directory)
    write_result(study, store, "none", 0, {"lr": 0.1}, [(0.7, 0.68), (0.71, 0.69), (0.72, 0.70)])
    return study, store


def rows(study: StudyConfig, store: StudyStore, published: PublishedTable) -> dict[str, Any]:
    results = study_results(study, collect_groups(study, store))
    return {row.key: row for row in compare_published(study, results, published)}


@pytest.fixture
def comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if mfeat were a paper's data set."""
    monkeypatch.setitem(DATASETS, "mfeat", DATASETS["mfeat"]._replace(not_comparable=lambda config: None))


@pytest.mark.parametrize("name", published_names())
def test_every_table_is_well_formed(name: str) -> None:
    found = published_table(name)
    assert found.rows and found.metrics and found.seeds >= 1 and found.recipe.keys() >= {"epochs", "optimizer", "lr"}
    for row in found.rows.values():
        assert row.values.keys() <= set(found.metrics)
        for cell in row.values.values():
            assert 0 < cell.mean < 100 and (cell.std is None) == (found.seeds == 1)


@pytest.mark.parametrize(
    ("name", "row", "metric", "cell"),
    [
        ("ciba_table1a", "mse_ciba", "test/accuracy", (81.64, 1.38, "0.004")),
        ("ciba_table1a", "none", "val/accuracy", (81.64, 0.79, None)),
        ("ciba_table1b", "f2t_sa", "test/f1_macro", (46.19, 0.34, "0.051")),
        ("ciba_table2", "ciba_4", "test/nds", (44.8, None, None)),
        ("ciba_table3", "a50_v18_ciba", "test/accuracy", (42.95, 0.19, "< 0.001")),
        ("ciba_table7", "i2a_mse", "test/accuracy", (67.61, 1.82, None)),
    ],
)
def test_cells_are_the_papers(name: str, row: str, metric: str, cell: tuple) -> None:
    found = published_table(name).rows[row].values[metric]
    assert (found.mean, found.std, found.p) == cell


def test_printed_p_values_agree_with_printed_means() -> None:
    """Welch's test from the printed means and deviations of Table 4a gives the printed p, as far as rounding goes."""
    from scipy.stats import ttest_ind_from_stats

    found = published_table("ciba_table1a").rows
    for loss in ("mse", "ce", "clip", "margin"):
        for metric in ("val/accuracy", "test/accuracy"):
            ours, theirs = found[f"{loss}_ciba"].values[metric], found[loss].values[metric]
            p = ttest_ind_from_stats(ours.mean, ours.std, 5, theirs.mean, theirs.std, 5, equal_var=False)[1]
            assert p == pytest.approx(float(ours.p), abs=0.006), (loss, metric)


def test_the_same_recipe_may_be_compared(tmp_path: Path, comparable: None) -> None:
    found = rows(*small(tmp_path), table())
    assert found["none"].reasons == () and found["none"].measured["test/accuracy"].mean == pytest.approx(0.69)
    assert found["other"].measured == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seeds": 5}, "3 instead of 5 seeds"),
        ({"recipe": {"epochs": 100}}, "training epochs = 3 instead of 100"),
        ({"recipe": {"optimizer": "sgd"}}, "training optimizer = adamw instead of sgd"),
        ({"recipe": {"lr": 0.01}}, "training lr = 0.1 instead of 0.01"),
        ({"networks": {"student": {"feature_dim": 1024}}}, "student feature_dim = 128 instead of 1024"),
        ({"networks": {"student": {"model": "cnn"}}}, "student model = mlp instead of cnn"),
        ({"dataset": "ravdess"}, "data set `mfeat` instead of `ravdess`"),
    ],
)
def test_each_difference_forbids_the_comparison(tmp_path: Path, comparable: None, changes: dict, reason: str) -> None:
    assert rows(*small(tmp_path), table(**changes))["none"].reasons == (reason,)


def test_the_data_set_itself_may_forbid_it(tmp_path: Path) -> None:
    (reason,) = rows(*small(tmp_path), table())["none"].reasons
    assert reason == DATASETS["mfeat"].not_comparable(None)


def test_a_networks_width_counts_for_the_teacher_only_where_it_teaches(tmp_path: Path, comparable: None) -> None:
    assert rows(*small(tmp_path), table(networks={"teacher": {"feature_dim": 1024}}))["none"].reasons == ()


def test_another_choice_of_hyperparameters_is_a_result_and_said() -> None:
    assert different({"bottleneck_dim": 8}, {"bottleneck_dim": 16}) == ["bottleneck_dim = 16 instead of 8"]
    assert different({"lr": 1, "on": True}, {"lr": 1.0, "on": True}) == []
    assert different({"seeds": 1}, {"seeds": True}) == ["seeds = True instead of 1"]


def test_the_report_marks_what_may_not_be_compared(tmp_path: Path) -> None:
    study, store = small(tmp_path)
    study = study.model_copy(update={"report": study.report.model_copy(update={"published": "ciba_table1a"})})
    text = (write_report(study, store).parent / "report.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| `none` | Image-baseline")]
    assert "81.64 ± 0.79 | 71.00 ± 1.00 (not comparable) | 78.08 ± 1.30 | 69.00 ± 1.00 (not comparable)" in line
    assert "not comparable (1), (2)" in line
    assert "(1) data set `mfeat` instead of `ravdess`." in text and "(2) 3 instead of 5 seeds." in text
    (line,) = [line for line in text.splitlines() if line.startswith("| `mse_ciba`")]
    assert "83.74 ± 0.98 | – | 81.64 ± 1.38 | – | 0.001 / 0.004 | not measured" in line


def test_no_table_no_section(tmp_path: Path) -> None:
    study, store = small(tmp_path)
    assert published_blocks(study, study_results(study, collect_groups(study, store))) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ciba_tabel1a", "did you mean ciba_table1a?"),
        ("ciba_table2", "no arm is a row of ciba_table2"),
    ],
)
def test_a_wrong_table_is_said_with_its_place(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "study: s\ndata: {dataset: mfeat}\nteacher: {model: mlp}\nstudent: {model: mlp}\n"
        f"arms: {{base: {{method: none}}}}\nreport: {{baseline: base, published: {name}}}\n"
    )
    with pytest.raises(StudyFileError) as error:
        load(path)
    assert message in str(error.value) and ":6:" in str(error.value) and "report.published" in str(error.value)
    path.write_text(
        path.read_text().replace(name, "ciba_table1a").replace("base: {", "mse: {").replace(": base", ": mse")
    )
    assert load(path).report.published == "ciba_table1a"
