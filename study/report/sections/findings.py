"""The findings in words: rules turn the statistics into sentences, which claim no more than the statistics show."""

from collections import Counter

from search_spaces.domains import Choice, Domain, Value
from study.analysis.comparison import LEVEL, detectable_difference
from study.analysis.notation import (
    equals_p,
    metric_label,
    metric_name,
    show_difference,
    show_p,
    show_param,
    show_summary,
)
from study.analysis.study_results import ArmResult, StudyResults
from study.config.study_config import StudyConfig
from study.report.format.document import Block, Heading, Items

LEVEL_TEXT = f"{100 * LEVEL:g} %"


def findings(study: StudyConfig, results: StudyResults) -> list[str]:
    """The statements, the most important first."""
    statements = [state_of_study(study, results)]
    if any(row.best for row in results.arms):
        statements += [ranking(results), *tests(results), *paired(results), *edges(study, results)]
    return [statement for statement in statements if statement]


def state_of_study(study: StudyConfig, results: StudyResults) -> str:
    """How many configurations are complete, pruned, failed, skipped and unfinished."""
    counts = Counter(group.status for row in results.arms for group in row.groups)
    if not counts["complete"]:
        return "No configuration is complete yet, so there is nothing to compare."
    parts = [
        f"{counts[status]} {status}"
        for status in ("complete", "pruned", "failed", "skipped", "unfinished")
        if counts[status]
    ]
    missing = [f"`{row.arm}`" for row in results.arms if row.best is None]
    without = f" No complete configuration yet: {', '.join(missing)}." if missing else ""
    return (
        f"{counts.total()} configurations were proposed ({', '.join(parts)}), each complete one with "
        f"{seeds_text(len(study.search.seeds))}.{without}"
    )


def seeds_text(count: int) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count} seed{'s' if count != 1 else ''}"


def ranking(results: StudyResults) -> str:
    """The arms in the order of their validation results, with their test values."""
    rows = [row for row in results.arms if row.best and row.objective]
    sign = -1 if results.direction == "maximize" else 1
    rows.sort(key=lambda row: sign * (row.objective.mean if row.objective else 0))
    shown = [f"`{row.arm}` {show_summary(row.test, results.test_metric)}" for row in rows if row.test]
    if not shown:
        return f"No {metric_name(results.test_metric)} was measured."
    label = metric_label(results.test_metric)
    label = label[:1].upper() + label[1:]  # R@5 keeps its capital
    return f"{label}, arms ordered by their validation result: {', '.join(shown)}."


def tests(results: StudyResults) -> list[str]:
    """The arms that differ from the baseline, and the difference that the test can detect."""
    compared = [row for row in results.arms if p_value(row) is not None]
    if not compared:
        return untested(results)
    different = [row for row in compared if holm(row) <= LEVEL]
    statements = [significant(row, results) for row in different]
    if not different:
        least = min(compared, key=holm)
        statements.append(
            f"No arm differs from {results.versus} on {metric_name(results.test_metric)} at the {LEVEL_TEXT} level "
            f"after Holm's correction (smallest corrected p: {show_p(holm(least))}, `{least.arm}`)."
        )
    before = [row for row in compared if row not in different and (p_value(row) or 0) <= LEVEL]
    if before:
        names = ", ".join(f"`{row.arm}` ({equals_p(p_value(row))})" for row in before)
        statements.append(f"Below {LEVEL_TEXT} before the correction only, which is no basis for a claim: {names}.")
    if len(different) < len(compared):
        statements.append(power(compared))
    return statements


def untested(results: StudyResults) -> list[str]:
    """Why nothing was tested."""
    reasons = Counter(row.comparison.reason for row in results.arms if row.comparison)
    why = "; ".join(sorted(reasons)) or "there is no other arm"
    return [f"No arm could be tested against {results.versus}: {why}."]


def significant(row: ArmResult, results: StudyResults) -> str:
    """An arm that differs from the baseline after correction."""
    comparison = row.comparison
    assert comparison and comparison.difference is not None
    word = "better" if results.better(comparison.difference) else "worse"
    size = show_difference(abs(comparison.difference), results.test_metric).removeprefix("+")
    return (
        f"`{row.arm}` is {word} than `{results.baseline_of(row.arm)}` on {metric_name(results.test_metric)} by {size} "
        f"(Welch {equals_p(comparison.p)}, Holm-corrected {show_p(comparison.holm)})."
    )


def power(compared: list[ArmResult]) -> str:
    """The smallest difference that the test can detect: a large p does not prove equality."""
    count = min(row.test.n for row in compared if row.test)
    return (
        f"Not significant does not mean equal: with {count} seeds on each side, Welch's test reaches {LEVEL_TEXT} "
        f"(before correction) only where the means lie at least about {detectable_difference(count):.1f} standard "
        "deviations apart."
    )


def paired(results: StudyResults) -> list[str]:
    """Arms whose paired interval excludes 0."""
    clear = []
    for row in results.arms:
        pair = row.comparison.paired if row.comparison else None
        if pair and pair.low is not None and pair.high is not None and pair.low * pair.high > 0:
            clear.append(f"`{row.arm}` ({show_difference(pair.mean, results.test_metric)})")
    if not clear:
        return []
    return [
        f"Compared seed by seed, the uncorrected 95 % interval of the difference from {results.versus} excludes "
        f"0 for {', '.join(clear)}. This comparison is descriptive; the corrected Welch test above decides."
    ]


def edges(study: StudyConfig, results: StudyResults) -> list[str]:
    """Best values at the end of their range, where a wider range may contain better ones."""
    at_ends = []
    for row in results.arms:
        space = study.arm(row.arm).space
        for name, value in (row.best.params if row.best else {}).items():
            if name in space and at_edge(space[name], value):
                at_ends.append(f"`{row.arm}`: {name} = {show_param(value)}")
    if not at_ends:
        return []
    return [f"The best value lies at an end of its search range, so a wider range may be better: {'; '.join(at_ends)}."]


def at_edge(domain: Domain, value: Value) -> bool:
    """Whether `value` is the first or last of three or more numbers."""
    if isinstance(domain, Choice):
        numbers = [
            option for option in domain.options if isinstance(option, int | float) and not isinstance(option, bool)
        ]
        return len(numbers) == len(domain.options) > 2 and value in (min(numbers), max(numbers))
    return domain.low < domain.high and value in (domain.low, domain.high)


def p_value(row: ArmResult) -> float | None:
    """The uncorrected p-value of an arm, if it has one."""
    return row.comparison.p if row.comparison else None


def holm(row: ArmResult) -> float:
    """The corrected p-value of an arm that has one."""
    assert row.comparison and row.comparison.holm is not None
    return row.comparison.holm


def reading(results: StudyResults) -> list[Block]:
    """How to read the numbers: the assumptions behind the table."""
    return [
        Heading("How to read the numbers"),
        Items(
            (
                f"An arm's configuration is the one with the best mean {metric_name(results.metric)}. This "
                "choice makes its validation values optimistic; the test examples were not used for it.",
                "The configuration was chosen with the same seeds that are reported, so other seeds may give slightly "
                "lower values. The bias is larger for arms with more configurations.",
                "p: Welch's two-sided test of the test values over seeds, variances not assumed equal. It is about "
                "repeating the training on this split, not about other splits or data: all seeds share the test rows.",
                "Holm p: corrected over all arms of the table, so that the chance of even one false claim is at most "
                "5 %.",
                "g: Hedges' g, the difference in pooled standard deviations; with few seeds it is a rough estimate.",
                "Paired Δ: mean difference seed by seed, with Student's 95 % interval, not corrected. Equal seeds "
                "share teacher, initialisation and data order, so it can be narrower than Welch's comparison.",
            )
        ),
    ]
