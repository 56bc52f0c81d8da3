"""The report's part on contrastive distillation: retrieval, zero-shot accuracy, and agreement with the teacher.

Shown for studies whose task is measured by recalls or by zero-shot accuracy. Rules answer the paper's questions from
the statistics of `study.analysis.contrastive`.
"""

from study.analysis.comparison import correct, interval_of_mean
from study.analysis.contrastive import ArmContrast, Read, final, seed_values
from study.analysis.contrastive_values import (
    COSINE,
    DOMAIN,
    MODALITIES,
    kept_number,
    names_of,
    neighbour_reads,
    neighbour_rows,
    splits,
)
from study.analysis.notation import METRICS, PERCENT, show_p, show_summary
from study.analysis.study_results import StudyResults, compare, summarise
from study.config.study_config import StudyConfig
from study.report.format.document import Block, Heading, Items, Table
from study.report.format.tables import comparison_cells
from study.report.sections.contrastive_answers import questions, statements, what_text
from study.storage.store import StudyStore
from trainables.diagnostics.contrastive import NEIGHBOURS
from trainables.tasks import TASKS

TITLE = "Retrieval and what the student kept of the teacher"
TESTED = ("i2t_r1", "t2i_r1", "top1", "ensemble_top1")
"""Metrics on which the arms of a table are tested against the baseline."""


def is_contrastive(study: StudyConfig) -> bool:
    """Whether the study's task is judged by recalls or by zero-shot accuracy."""
    return any(name in TESTED for arm in study.arms for name in TASKS[arm.base.data.task].metrics)


def clip_blocks(study: StudyConfig, results: StudyResults, store: StudyStore) -> list[Block]:
    """The section; empty for other tasks, or before a configuration is complete."""
    if not is_contrastive(study) or not any(row.best for row in results.arms):
        return []
    answers = questions(results, store)
    return [
        Heading(TITLE),
        Items(tuple(statements(answers, results))),
        *(recall_table(results, split, prefix) for split in splits(results) for prefix in prefixes(results, split)),
        *kept_tables(results, store),
        *comparisons_table(answers),
    ]


def prefixes(results: StudyResults, split: str) -> list[str]:
    """`""`, and `1k_` where folds were measured too."""
    names = names_of(results, split)
    return [prefix for prefix in ("", "1k_") if any(name.startswith("1k_") == bool(prefix) for name in names)]


def recall_table(results: StudyResults, split: str, prefix: str) -> Table:
    """Each arm's best configuration on one data set.

    Args:
        results: The study's results.
        split: The split or additional data set whose metrics are shown.
        prefix: `1k_` for the means over folds of 1,000 images, else empty.

    Returns:
        The table, with the Holm-corrected p-values of the metrics in TESTED as its last columns.

    """
    names = [name for name in names_of(results, split) if name.startswith("1k_") == bool(prefix)]
    tested = [name for name in names if name.removeprefix(prefix) in TESTED]
    holm = holm_values(results, [f"{split}/{name}" for name in tested])
    rows = []
    for row in results.arms:
        values = {name: summarise(seed_values(row.best, final(f"{split}/{name}"))) for name in names}
        n = max((summary.n for summary in values.values() if summary), default=0)
        cells = [show_summary(values[name], f"{split}/{name}") for name in names]
        rows.append((f"`{row.arm}`", *cells, str(n), *(holm.get((row.arm, f"{split}/{name}"), "") for name in tested)))
    labels = [heading(name, prefix) for name in names]
    header = ("arm", *labels, "n", *(f"Holm p, {heading(name, prefix)}" for name in tested))
    return Table(recall_caption(results, split, prefix), header, tuple(rows))


def holm_values(results: StudyResults, metrics: list[str]) -> dict[tuple[str, str], str]:
    """By arm and metric, the p-value against the arm's baseline, Holm-corrected over all of them."""
    arms = [row.arm for row in results.arms if row.arm != results.baseline_of(row.arm)]
    places = [(arm, metric) for arm in arms for metric in metrics]
    compared = correct(
        [compare(results.arm(arm).best, results.arm(results.baseline_of(arm)).best, metric) for arm, metric in places]
    )
    return {place: show_p(comparison.holm) for place, comparison in zip(places, compared, strict=True)}


def recall_caption(results: StudyResults, split: str, prefix: str) -> str:
    """What the table shows, and how its p-values were computed."""
    where = "the test split" if split == DOMAIN else f"`{split}`, without fine-tuning"
    folds = " Means of consecutive folds of 1,000 images, each with its own captions as candidates." if prefix else ""
    return (
        f"Measured on {where}: mean ± std over n seeds of each arm's best configuration by the objective. Fractions in "
        f"percent; ranks count ties against the student.{folds} p: Welch's test against {results.versus}, "
        "Holm-corrected over this table."
    )


def heading(name: str, prefix: str) -> str:
    """A column's name: short for recalls."""
    bare = name.removeprefix(prefix)
    words = METRICS.get(bare, bare).replace("image→text", "I→T").replace("text→image", "T→I")
    return f"{words} (%)" if bare in PERCENT else words


def kept_tables(results: StudyResults, store: StudyStore) -> list[Table]:
    """Agreement of neighbours and cosine with the teacher, arm by arm; empty where no trial stored them."""
    tables = []
    for side, modality in enumerate(MODALITIES):
        reads: dict[str, Read] = {**neighbour_reads(store, side), "cosine": kept_number(store, COSINE, (side,))}
        rows = [(row.arm, [seed_values(row.best, read) for read in reads.values()]) for row in results.arms]
        rows = [(arm, values) for arm, values in rows if any(values)]
        if not rows:
            continue
        leasts = [-1.0 if name == "cosine" else 0.0 for name in reads]
        shown = [(f"`{arm}`", *map(mean_text, values, leasts), str(max(map(len, values)))) for arm, values in rows]
        count = neighbour_rows(results, store)
        if count:
            chance = [f"{k / (count - 1):.3f}" if k < count else "–" for k in NEIGHBOURS]
            shown.append(("chance", *chance, "", ""))
        caption = (
            f"Agreement of student and teacher among the {modality} of the test split: share of the k nearest "
            "neighbours that both have, and mean teacher–student cosine (through the last epoch's projection where the "
            "widths differ); mean over seeds [95 % interval]. Of several captions, the first is used. "
        )
        if any(not values[-1] for _, values in rows):
            caption += "No cosine (–) where the widths differ and the arm trains no projection to the teacher's."
        header = ("arm", *(f"kNN agreement, k = {k}" for k in NEIGHBOURS), "cosine", "n")
        tables.append(Table(caption.strip(), header, tuple(shown)))
    return tables


def mean_text(values: dict[int, float], least: float = 0.0) -> str:
    """`0.412 [0.398, 0.426]`, of a number between `least` and 1. Student's interval is clipped to this range."""
    if not values:
        return "–"
    interval = interval_of_mean(list(values.values()), max(map(abs, values.values())))
    ends = (
        ""
        if interval.low is None or interval.high is None
        else f" [{max(interval.low, least):.3f}, {min(interval.high, 1.0):.3f}]"
    )
    return f"{interval.mean:.3f}{ends}"


def comparisons_table(answers: dict[str, list[ArmContrast]]) -> list[Table]:
    """The comparisons of all questions."""
    rows = [
        (question, f"`{each.arm}`", f"`{each.other}`", what_text(each.what), *comparison_cells(each.comparison, key))
        for question, compared in answers.items()
        for each in compared
        for key in [each.what if each.what.partition("/")[2] in METRICS else ""]
    ]
    if not rows:
        return []
    caption = (
        "The paper's comparisons, best configurations on the test split. Holm p: corrected over the rows of one "
        "question. Δ: arm minus the other; percentages in points."
    )
    header = ("question", "arm", "against", "number", "Δ", "Welch p", "Holm p", "g", "paired Δ [95 % CI]")
    return [Table(caption, header, tuple(rows), 4)]
