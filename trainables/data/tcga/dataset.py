"""TCGA: tumours described by gene expression, copy numbers and proteins (or methylation and microRNA).

One row of LinkedOmics' BRCA, sample TCGA.3C.AAAU: mRNA = 20,155 numbers (`attrib_name` A1BG, A1CF, ...; log2 RSEM), CNV
= 24,776 (GISTIC2), RPPA = 175; PAM50 = LumA. The 1,000 most informative features of each view, selected by the training
rows, are kept and standardised.

Layouts: `linkedomics`: `*TCGA_BRCA__*.cct` or `.cct.gz` tables (one line for each feature, one column for each sample)
and the clinical `*TCGA_BRCA__*.tsi`; `mogonet`: `BRCA/{1,2,3}_{tr,te}.csv` (one line for each sample, no header),
`{1,2,3}_featname.csv` and `labels_{tr,te}.csv`, for mRNA, methylation and miRNA. The files are in `root` or in its
folder of the cohort.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from pydantic import AfterValidator, Field

from trainables.common.types import EarlierFields, PairedData, earlier
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.corruption import NO_NOISE, NoiseLevel, NoiseSeed, add_noise
from trainables.data.common.field_checks import only_with
from trainables.data.common.raw_files import fingerprint_of_files
from trainables.data.common.splits import standardise, to_batch
from trainables.data.tcga.linkedomics import Cohort, LinkedOmics
from trainables.data.tcga.mogonet import Mogonet

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""

View = Literal["mRNA", "CNV", "RPPA", "methylation", "miRNA"]
VIEWS: dict[str, tuple[View, ...]] = {
    "linkedomics": ("mRNA", "CNV", "RPPA"),
    "mogonet": ("mRNA", "methylation", "miRNA"),
}
only_linkedomics, only_mogonet = only_with("layout", "linkedomics"), only_with("layout", "mogonet")


def in_layout(view: View, info: EarlierFields) -> View:
    """A validator of `teacher` and `student`, declared after `layout` and `views`."""
    layout, views = earlier(info, "layout"), earlier(info, "views")
    if layout in VIEWS and view not in VIEWS[str(layout)]:
        known = ", ".join(VIEWS[str(layout)])
        raise ValueError(f"`layout: {layout}` has the views {known}, but got {view!r}; use one of them")
    if layout == "linkedomics" and isinstance(views, tuple) and view not in views:
        raise ValueError(f"must be one of views = {list(views)}, but got {view!r}; add it to views")
    return view


class TCGAConfig(DataConfig):
    """Two views of the same tumours, and the label of each tumour."""

    location: ClassVar[tuple[str, ...]] = ("root",)
    teacher_only: ClassVar[tuple[str, ...]] = ("teacher", "teacher_noise", "noise_seed")
    dataset: Literal["tcga"] = "tcga"
    """Tumours of one cohort: expression, copy numbers, proteins, and their subtype or stage."""
    root: Annotated[str, Field(min_length=1)]
    """Folder with the data; a relative one starts at the study file's folder."""
    layout: Literal["linkedomics", "mogonet"] = "linkedomics"
    """Source of the files in `root`."""
    cohort: Cohort = "BRCA"
    """Tumours and their label: BRCA PAM50, KIPAN KICH/KIRC/KIRP, LIHC stage I or II-IV."""
    label_row: Annotated[str | None, AfterValidator(only_linkedomics(None))] = None
    """Row of the clinical table with the label; null: PAM50, histological_type or pathologic_stage, by the cohort
    (`layout: linkedomics`)."""
    views: Annotated[tuple[View, ...], Field(min_length=1), AfterValidator(only_linkedomics(VIEWS["linkedomics"]))] = (
        VIEWS["linkedomics"]
    )
    """Views that every sample must have, so that all pairs of views have the same samples (`layout: linkedomics`)."""
    teacher: Annotated[View, Field(validate_default=True), AfterValidator(in_layout)] = "mRNA"
    """What the teacher sees."""
    student: Annotated[View, Field(validate_default=True), AfterValidator(in_layout)] = "RPPA"
    """What the student sees. The teacher's own view is allowed."""
    teacher_noise: NoiseLevel = 0.0
    """Gaussian noise added to the teacher's inputs: its deviation relative to that of each feature; 0: none."""
    features: Annotated[int, Field(ge=1)] = 1000
    """Most features of each view that are kept."""
    select: Literal["anova", "variance"] = "anova"
    """Score by which features are kept: F of an analysis of variance by class, or variance, over the training rows."""
    split: Annotated[Literal["stratified", "official"], AfterValidator(only_mogonet("stratified"))] = "stratified"
    """Test rows: those of the `te` files (`official`, mogonet only), or drawn by class from all rows (`stratified`)."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of each class in the test split (`split: stratified`)."""
    val: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of each class of the other rows in the validation split."""
    split_seed: Annotated[int | None, Field(ge=0)] = 0
    """Seed of the split; null: the trial's seed, so that five seeds are five splits."""
    noise_seed: NoiseSeed = 0
    """Seed of the teacher's noise; null: the trial's seed."""

    def for_student(self) -> DataConfig:
        return self.model_copy(update={"teacher": self.student, **NO_NOISE})


def source_of(config: TCGAConfig) -> LinkedOmics | Mogonet:
    """The files of the config's layout."""
    root = Path(config.root)
    if config.layout == "mogonet":
        return Mogonet(root, config.cohort)
    return LinkedOmics(root, config.cohort, config.views, config.label_row)


def split_samples(
    config: TCGAConfig, labels: Int64[ndarray, " rows"], official_test: ndarray
) -> dict[str, Int64[ndarray, " _"]]:
    """Rows of train, val and test in ascending order, drawn class by class.

    Args:
        config: the data config.
        labels: class of each row.
        official_test: bool (rows,): the official test rows.

    Raises:
        ValueError: if a class has too few samples to be in every split.

    """
    generator = np.random.default_rng(config.split_seed or 0)
    splits: dict[str, list[ndarray]] = {"train": [], "val": [], "test": []}
    for label in np.unique(labels):
        shuffled = generator.permutation(np.flatnonzero(labels == label))
        if config.split == "official":
            test, rest = shuffled[official_test[shuffled]], shuffled[~official_test[shuffled]]
        else:
            count = max(1, round(config.test * len(shuffled)))
            test, rest = shuffled[:count], shuffled[count:]
        val = max(1, round(config.val * len(rest)))
        if len(rest) - val < 1:
            raise ValueError(
                f"tcga: class {label} of {config.cohort} has {len(shuffled)} samples, too few for training, validation "
                "and test; use another label_row or lower shares"
            )
        for name, rows in (("train", rest[val:]), ("val", rest[:val]), ("test", test)):
            splits[name].append(rows)
    return {name: np.sort(np.concatenate(parts)) for name, parts in splits.items()}


def load(config: TCGAConfig) -> PairedData:
    """The splits; features are selected, imputed and standardised by the training rows only.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is wrong, or samples do not match.

    """
    source = source_of(config)
    labels, official_test = source.labels()
    splits = split_samples(config, labels, official_test)
    train = splits["train"]
    views = []
    for view in (config.teacher, config.student):
        table = fill_in(source.table(view), train)
        kept = choose(table, labels, train, config.select, config.features)
        views.append(standardise(table[:, kept], train))
    views[0] = add_noise(views[0], config.teacher_noise, config.noise_seed, train)
    arrays = (*views, labels, np.ones(len(labels), dtype=bool), np.arange(len(labels)))
    batches = {name: to_batch(*(array[rows] for array in arrays)) for name, rows in splits.items()}
    splits_in_order = (batches[name] for name in ("train", "val", "test"))
    return PairedData(*splits_in_order, num_classes=source.classes, notes=dict(source.notes()))


def fill_in(table: Float[ndarray, "rows features"], train: Int64[ndarray, " train"]) -> Float[ndarray, "rows features"]:
    """Missing numbers become the mean of their feature over the training rows; 0 if all of them miss it."""
    missing = np.isnan(table)
    if not missing.any():
        return table
    present = ~missing[train]
    means = np.where(present, table[train], 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    return np.where(missing, means, table)


def choose(
    table: Float[ndarray, "rows features"],
    labels: Int64[ndarray, " rows"],
    train: Int64[ndarray, " train"],
    by: str,
    count: int,
) -> Int64[ndarray, " kept"]:
    """The columns with the highest scores over the training rows.

    Args:
        table: all features of a view.
        labels: class of each row.
        train: training rows.
        by: "variance", or "anova" for the F value by class.
        count: number of columns.

    Returns:
        Column numbers in ascending order.

    """
    scores = table[train].var(axis=0) if by == "variance" else f_values(table[train], labels[train])
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def f_values(table: Float[ndarray, "rows features"], labels: Int64[ndarray, " rows"]) -> Float[ndarray, " features"]:
    """F of a one-way analysis of variance: variance between class means over variance within; 0 for a constant."""
    classes = np.unique(labels)
    total = np.square(table - table.mean(axis=0)).sum(axis=0)
    within = np.zeros_like(total)
    for label in classes:
        rows = table[labels == label]
        within += np.square(rows - rows.mean(axis=0)).sum(axis=0)
    between = np.maximum(total - within, 0) / max(len(classes) - 1, 1)
    residual = np.maximum(within / max(len(labels) - len(classes), 1), np.finfo(np.float64).tiny)
    return np.where(total > 0, between / residual, 0)


def fingerprint(config: TCGAConfig) -> str:
    """Hash of the labels and of names and sizes of the tables that are read or that determine the samples."""
    source = source_of(config)
    files = sorted(source.files({config.teacher, config.student}))
    return fingerprint_of_files("tcga", VERSION, source.label_files(), files, Path(config.root))


def shape(config: TCGAConfig) -> DataShape:
    """Shapes and sizes from labels, headers and first lines. Raises ValueError or FileNotFoundError."""
    source = source_of(config)
    split = split_samples(config, *source.labels())
    train, val, test = (len(split[name]) for name in ("train", "val", "test"))
    teacher, student = ((source.width(view, config.features),) for view in (config.teacher, config.student))
    return DataShape(teacher, student, source.classes, train, val, test)


def not_comparable(config: TCGAConfig) -> str | None:
    """The paper publishes no tables."""
    return "the paper publishes no tables, samples, labels, features or splits"


TCGA = Dataset(TCGAConfig, load, fingerprint, shape, not_comparable=not_comparable)
