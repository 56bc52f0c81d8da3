"""The section that compares published with measured numbers and says which cells are comparable."""

from study.analysis.notation import metric_name
from study.analysis.published import PublishedComparison, compare_published
from study.analysis.study_results import StudyResults, Summary
from study.config.study_config import StudyConfig
from study.parsing.published_tables import PublishedTable, PublishedValue, published_table
from study.report.format.document import Block, Heading, Items, Table, Text

NOTHING = "–"


def published_blocks(study: StudyConfig, results: StudyResults) -> list[Block]:
    """Heading, table and reasons; empty unless the study names a published table."""
    if study.report.published is None:
        return []
    table = published_table(study.report.published)
    rows = compare_published(study, results, table)
    reasons = list(dict.fromkeys(reason for row in rows for reason in row.reasons))
    blocks: list[Block] = [Heading("Published and measured numbers"), published_block(table, rows, reasons)]
    if reasons:
        blocks += [
            Text("Not comparable, because:"),
            Items(tuple(f"({number}) {reason}." for number, reason in enumerate(reasons, 1))),
        ]
    return [*blocks, *([Text(table.note)] if table.note else [])]


def published_block(table: PublishedTable, rows: list[PublishedComparison], reasons: list[str]) -> Table:
    """The table: for each metric the printed and the measured value, and whether they are comparable."""
    columns = [(metric, kind) for metric in table.metrics for kind in ("published", "measured")]
    header = ("arm", "published as", *(f"{metric_name(metric)}, {kind}" for metric, kind in columns), "p, published")
    cells = tuple(
        (f"`{row.key}`", row.row.name, *values(table, row), printed_p(table, row), verdict(row, reasons))
        for row in rows
    )
    caption = (
        f"{table.title}. Percent, mean ± std over seeds (published: {table.seeds}). Measured: the best configuration "
        "of the arm by validation. The numbers of the last column are the reasons below."
    )
    return Table(caption, (*header, "comparable"), cells, 2)


def values(table: PublishedTable, row: PublishedComparison) -> list[str]:
    """Printed and measured cells, metric by metric."""
    cells = []
    for metric in table.metrics:
        mark = " (not comparable)" if row.reasons and row.measured.get(metric) else ""
        cells += [printed(row.row.values.get(metric)), measured(row.measured.get(metric)) + mark]
    return cells


def printed(value: PublishedValue | None) -> str:
    """`83.74 ± 0.98`."""
    if value is None:
        return NOTHING
    return f"{value.mean:.2f}" if value.std is None else f"{value.mean:.2f} ± {value.std:.2f}"


def measured(summary: Summary | None) -> str:
    """A measured value in percent; it is stored between 0 and 1."""
    if summary is None:
        return NOTHING
    mean = f"{100 * summary.mean:.2f}"
    return mean if summary.std is None else f"{mean} ± {100 * summary.std:.2f}"


def printed_p(table: PublishedTable, row: PublishedComparison) -> str:
    """The printed p-values, metric by metric."""
    cells = [row.row.values[metric].p or NOTHING for metric in table.metrics if metric in row.row.values]
    return " / ".join(cells) if set(cells) - {NOTHING} else NOTHING


def verdict(row: PublishedComparison, reasons: list[str]) -> str:
    """Whether the row is comparable, with the numbers of the reasons against it."""
    if not any(row.measured.values()):
        return "not measured"
    numbers = ", ".join(f"({reasons.index(reason) + 1})" for reason in row.reasons)
    comparable = f"not comparable {numbers}" if numbers else "yes"
    return f"{comparable}; here {', '.join(row.chosen)}" if row.chosen else comparable
