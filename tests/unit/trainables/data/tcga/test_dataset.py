"""TCGA from tiny tables of LinkedOmics and MOGONET: samples, features, splits, and the errors for wrong files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.feature_selection import f_classif

from tests.helpers.generated import root
from trainables.common.types import PairedData
from trainables.data.tcga import dataset as tcga
from trainables.data.tcga.linkedomics import kidney_class, pam50_class, stage_class

SPLITS = ("train", "val", "test")


def config_of(layout: str, folder: Path | None = None, **changes: Any) -> tcga.TCGAConfig:
    views = {"teacher": "mRNA", "student": "RPPA" if layout == "linkedomics" else "miRNA"}
    return tcga.TCGAConfig(**{"root": str(folder or root(f"tcga_{layout}")), "layout": layout, **views, **changes})


def load(layout: str = "linkedomics", folder: Path | None = None, **changes: Any) -> PairedData:
    return tcga.load(config_of(layout, folder, **changes))


def read_cct(view: str) -> dict[str, np.ndarray]:
    (path,) = Path(root("tcga_linkedomics"), "BRCA").glob(f"*{view}*.cct")
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    table = np.array([[np.nan if value == "NA" else float(value) for value in line[1:]] for line in lines[1:]])
    return dict(zip(lines[0][1:], table.T, strict=True))


def test_linkedomics_samples_have_every_view_and_a_label() -> None:
    """Of 60 each of three tables lacks two, and two have no label: 52. Rows are samples in alphabetical order."""
    data = load(features=5000)
    assert data.notes == {"samples": 52, "samples_without_label": 2}
    names = [f"TCGA.{n:02d}.BRCA" for n in range(60) if n % 30 > 2 and n not in (10, 11)]
    for view, seen in (("HiSeq_RNA", "teacher"), ("RPPA", "student")):
        raw = read_cct(view)
        train = np.stack([raw[names[row]] for row in data.train.indices])
        mean = np.nanmean(train, axis=0)
        filled = np.where(np.isnan(train), mean, train)
        for split in (data.train, data.test):
            rows = np.stack([raw[names[row]] for row in split.indices])
            expected = (np.where(np.isnan(rows), mean, rows) - mean) / filled.std(axis=0)
            assert np.allclose(getattr(split, seen), expected, atol=1e-4)
    labels = [int(names[row][5:7]) % 5 for row in data.test.indices]
    assert data.test.labels.tolist() == labels and data.num_classes == 5


@pytest.mark.parametrize(("cohort", "classes"), [("BRCA", 5), ("KIPAN", 3), ("LIHC", 2)])
def test_every_cohort_has_its_label(cohort: str, classes: int) -> None:
    data = load(cohort=cohort, student="CNV")
    assert data.num_classes == classes and set(data.test.labels.tolist()) == set(range(classes))


def test_what_the_clinical_values_mean() -> None:
    assert [pam50_class(v) for v in ("Normal", "Basal", "HER2-enriched", "LumA", "Luminal B", "other")] == [
        0,
        1,
        2,
        3,
        4,
        None,
    ]
    assert [kidney_class(v) for v in ("Kidney Chromophobe", "KIRC", "kidney papillary renal cell carcinoma", "x")] == [
        0,
        1,
        2,
        None,
    ]
    stages = ("stagei", "Stage IA", "stageii", "stage iiic", "stageiv", "IVB", "not reported")
    assert [stage_class(v) for v in stages] == [0, 0, 1, 1, 1, 1, None]


def test_splits_are_stratified_and_drawn_anew_by_seed() -> None:
    data = load(split_seed=1)
    counts = {split: data.split(split).labels.bincount(minlength=5).tolist() for split in SPLITS}
    for label in range(5):
        total = sum(own[label] for own in counts.values())
        assert counts["test"][label] == round(0.3 * total)
        assert counts["val"][label] == max(1, round(0.15 * (total - counts["test"][label])))
    seeds = [load(split_seed=seed).test.indices for seed in (1, 2)]
    assert torch.equal(seeds[0], data.test.indices) and not torch.equal(*seeds)
    assert config_of("linkedomics", split_seed=None).for_seed(2) == config_of("linkedomics", split_seed=2)
    teachers = [load(teacher=view, split_seed=1).train.indices for view in ("mRNA", "CNV", "RPPA")]
    assert torch.equal(teachers[0], teachers[1]) and torch.equal(teachers[0], teachers[2])


def test_f_values_against_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    table, labels = generator.normal(size=(40, 6)), np.arange(40) % 3
    table[:, 1] += labels
    table[:, 2] = 4.0
    expected, _ = f_classif(np.delete(table, 2, axis=1), labels)
    found = tcga.f_values(table, labels)
    assert found[2] == 0 and np.allclose(np.delete(found, 2), expected, rtol=1e-9)


def test_features_are_chosen_by_training_rows_alone() -> None:
    """Column 0 tells the classes apart in training, column 1 only elsewhere, column 2 only varies."""
    generator = np.random.default_rng(0)
    labels, train = np.arange(60) % 3, np.arange(30)
    table = generator.normal(size=(60, 4)) * [1, 1, 9, 1]
    table[:30, 0] += 3 * labels[:30]
    table[30:, 1] += 100 * labels[30:]
    assert tcga.choose(table, labels, train, "anova", 1).tolist() == [0]
    assert tcga.choose(table, labels, train, "variance", 2).tolist() == [0, 2]
    assert tcga.choose(table, labels, train, "variance", 9).tolist() == [0, 1, 2, 3]
    assert load(features=4).train.teacher.shape == (load().train.teacher.shape[0], 4)


def test_missing_numbers_are_the_training_mean() -> None:
    table = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, 5.0], [10.0, np.nan]])
    assert tcga.fill_in(table, np.array([0, 1])).tolist() == [[1, 0], [3, 0], [2, 5], [10, 0]]


def test_mogonet_official_and_drawn_splits() -> None:
    data = load("mogonet", split="official")
    raw = np.loadtxt(Path(root("tcga_mogonet"), "BRCA", "3_te.csv"), delimiter=",")
    assert data.test.indices.tolist() == list(range(40, 60)) and len(data.train.labels) + len(data.val.labels) == 40
    assert data.test.labels.tolist() == [row % 5 for row in range(20)] and data.num_classes == 5
    for column in range(12):
        assert np.corrcoef(raw[:, column], data.test.student[:, column])[0, 1] == pytest.approx(1, abs=1e-5)
    drawn = load("mogonet")
    assert len(drawn.test.labels) == 20 and drawn.test.indices.min() < 40
    assert drawn.test.labels.bincount().tolist() == [4] * 5


BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"layout": "mogonet", "student": "CNV"},
        "`layout: mogonet` has the views mRNA, methylation, miRNA, but got 'CNV'",
    ),
    ({"layout": "mogonet"}, "but got 'RPPA'"),
    ({"views": ("mRNA", "CNV")}, "must be one of views = ['mRNA', 'CNV'], but got 'RPPA'"),
    ({"split": "official"}, "is used only with `layout: mogonet`"),
    ({"layout": "mogonet", "student": "miRNA", "label_row": "x"}, "is used only with `layout: linkedomics`"),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_a_wrong_config_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        tcga.TCGAConfig(root="x", **fields)
    assert message in str(error.value) and error.value.errors()[0]["loc"]


def edited(pattern: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (path,) = folder.glob(f"BRCA/{pattern}")
        path.write_text(change(path.read_text()))

    return apply


def twice(folder: Path) -> None:
    (path,) = folder.glob("BRCA/*RPPA*.cct")
    shutil.copy(path, path.with_name(path.name.replace("Gene", "Analyte")))


def gone(pattern: str) -> Callable[[Path], None]:
    return lambda folder: [path.unlink() for path in folder.glob(f"BRCA/{pattern}")] and None


WRONG: list[tuple[str, Callable[[Path], None], dict[str, Any], str]] = [
    ("linkedomics", gone("*SCNA*"), {}, r"needs LinkedOmics' CNV table of BRCA: there is no .*SCNA__SNP_6.0\*.cct"),
    ("linkedomics", gone("*.tsi"), {}, r"clinical table of BRCA: there is no '\*TCGA_BRCA__\*Clinical\*.tsi'"),
    ("linkedomics", twice, {}, "there must be one RPPA table of BRCA, .* keep one"),
    ("linkedomics", lambda folder: None, {"label_row": "PAM"}, "no row 'PAM'; its rows are gender, PAM50; set"),
    ("linkedomics", lambda folder: None, {"label_row": "gender"}, "values of 'gender' must be .* but are female; set"),
    (
        "linkedomics",
        edited("*RPPA*", lambda t: t.replace("attrib_name", "gene")),
        {},
        "must be 'attrib_name', but is 'gene'",
    ),
    (
        "linkedomics",
        edited("*RPPA*", lambda t: t.replace("TCGA.", "TCGA-", 99)),
        {},
        "no sample is in every table",
    ),
    (
        "linkedomics",
        edited("*RPPA*", lambda t: t.replace("TCGA.05", "TCGA.06", 1)),
        {},
        "has 'TCGA.06.BRCA' twice",
    ),
    (
        "linkedomics",
        edited("*RPPA*", lambda t: t + "x\t1.0\n"),
        {},
        r"line 14 of .* \(x\) must have at least .* but has 1;",
    ),
    (
        "linkedomics",
        edited("*RPPA*", lambda t: t.replace("RPPA3\t", "RPPA3\tmuch ", 1)),
        {},
        r"\(RPPA3\) must be numbers",
    ),
    ("linkedomics", edited("*RPPA*", lambda t: ""), {}, "RPPA.cct' must be a table, but is empty, truncated or wrong"),
    ("mogonet", gone("3_te.csv"), {}, r"needs MOGONET's BRCA: .*3_te.csv' does not exist"),
    (
        "mogonet",
        edited("labels_te.csv", lambda t: t.split("\n", 1)[1]),
        {},
        r"1_te.csv' must have 19 rows \(as labels_te",
    ),
    ("mogonet", edited("1_featname.csv", lambda t: t + "more\n"), {}, r"of 31 features .* but has 40 of 30"),
    ("mogonet", edited("1_tr.csv", lambda t: "a" + t), {}, r"line 1 of .*1_tr.csv' must be numbers"),
    ("mogonet", edited("1_tr.csv", lambda t: t + "1.0,2.0\n"), {}, "line 41 of .* must have 30 columns, but has 2"),
    (
        "mogonet",
        edited("labels_tr.csv", lambda t: "0.5\n" + t.split("\n", 1)[1]),
        {},
        "must have a class 0, 1, ... on each line",
    ),
    ("mogonet", lambda folder: None, {"cohort": "LIHC"}, "needs MOGONET's LIHC"),
]


@pytest.mark.parametrize(("layout", "change", "fields", "message"), WRONG)
def test_wrong_files_are_named_in_one_line(
    layout: str, change: Callable[[Path], None], fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(root(f"tcga_{layout}"), tmp_path / layout))
    change(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        load(layout, folder, **fields)
    assert "\n" not in str(error.value) and str(error.value).startswith("tcga")


def test_a_class_of_one_sample_cannot_be_split() -> None:
    config = config_of("linkedomics")
    with pytest.raises(ValueError, match="class 1 of BRCA has 1 samples, too few"):
        tcga.split_samples(config, np.array([0] * 10 + [1]), np.zeros(11, dtype=bool))
