"""Statistics on contrastive distillation: comparisons of arms by kind of loss, and the effect of a swept field.

Arms are compared seed by seed, with Student's 95 % interval over seeds, and by Welch's test with Holm's correction over
the comparisons of one question. Nothing here reads a file.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from statistics import fmean
from typing import NamedTuple, cast

from pydantic import JsonValue

from study.analysis.comparison import Comparison, PairedDifference, compare_values, correct, paired_difference
from study.analysis.study_results import ArmResult
from study.storage.groups import Group
from study.storage.store import TrialRecord
from trainables.config import TrialConfig, digest

TE, MI, PLAIN = "TE proxy", "MI", "KL + MSE"

KINDS: dict[str, tuple[frozenset[str], ...]] = {
    TE: (frozenset({"te1"}), frozenset({"te2"}), frozenset({"te1", "te2"})),
    MI: (frozenset({"mi"}),),
    PLAIN: (frozenset({"kl", "mse"}), frozenset({"kl"}), frozenset({"mse"})),
}
"""By kind of distillation in the papers' questions, the loss terms besides the contrastive one."""

CONTRASTIVE = "cl"

Read = Callable[[TrialRecord], float | None]
"""A number of a finished trial, or None where it has none."""


class ArmContrast(NamedTuple):
    """Two arms' best groups on one number."""

    arm: str
    other: str
    what: str
    """The number's name."""
    comparison: Comparison


class Effect(NamedTuple):
    """The effect of a swept field on a number, with all other hyperparameters equal."""

    arms: tuple[str, ...]
    values: tuple[float, ...]
    """Of the field, ascending; two at least."""
    means: tuple[float, ...]
    """At each value, over configurations and seeds."""
    difference: PairedDifference | None
    """Number at the smallest value minus number at the largest, seed by seed."""
    configurations: int
    """Pairs of configurations that differ in the field alone, averaged within each seed."""


Families = dict[tuple[str, ...], list[dict[float, Group]]]
"""By arm names: configurations that differ in one field alone, by its value."""


def kind_of(row: ArmResult) -> str | None:
    """The kind of distillation of an arm's best group, or None."""
    if row.best is None:
        return None
    terms = frozenset(row.best.trials[0].config.method.active_terms) - {CONTRASTIVE}
    return next((kind for kind, sets in KINDS.items() if terms in sets), None)


def compare_kinds(
    rows: tuple[ArmResult, ...], kind: str, against: str, reads: Mapping[str, Read], data: bool = True
) -> list[ArmContrast]:
    """Every arm of one kind against every arm of another, on each number; Holm over all of them.

    With `data`, arms on different data, teachers or students are not compared.
    """
    ours, theirs = ([row for row in rows if kind_of(row) == name] for name in (kind, against))
    found: list[ArmContrast] = []
    for us, them, (what, read) in product(ours, theirs, reads.items()):
        values = [seed_values(row.best, read) for row in (us, them)]
        if all(values) and not (data and problem(us) != problem(them)):
            found.append(ArmContrast(us.arm, them.arm, what, compare_values(*values)))
    corrected = correct([each.comparison for each in found])
    return [each._replace(comparison=comparison) for each, comparison in zip(found, corrected, strict=True)]


def problem(row: ArmResult) -> object:
    """The data, teacher and student of an arm's best group."""
    assert row.best is not None
    config = row.best.trials[0].config
    return config.data, config.teacher, config.student


def seed_values(group: Group | None, read: Read) -> dict[int, float]:
    """A number of each complete trial of a group, by seed."""
    found: dict[int, float] = {}
    for trial in group.trials if group else ():
        if trial.result and trial.result.status == "complete":
            value = read(trial)
            if value is not None:
                found[trial.config.seed] = value
    return found


def final(metric: str) -> Read:
    """A trial's final value of a metric."""
    return lambda trial: trial.result.metrics.get(metric) if trial.result else None


def fall(metric: str) -> Read:
    """The fraction by which a metric fell from the first epoch to the last: 1 - last / first. Below 0, it rose."""

    def read(trial: TrialRecord) -> float | None:
        values = [report.metrics[metric] for report in trial.history if metric in report.metrics]
        return 1 - values[-1] / values[0] if len(values) > 1 and values[0] > 0 else None

    return read


FIELDS: dict[str, tuple[str, str]] = {
    "temperature": ("method", "temperature"),
    "batch_size": ("training", "batch_size"),
}
"""Fields whose effect the papers ask about: section of a trial's config, and field."""


def families(groups: list[Group], field: str) -> Families:
    """Complete configurations that differ in one field alone, by their arms; only those with two values or more."""
    found: dict[str, dict[float, Group]] = {}
    for group in groups:
        value, rest = apart(group.trials[0].config, field) if group.status == "complete" else (None, "")
        if value is not None:
            found.setdefault(rest, {}).setdefault(value, group)
    several: Families = {}
    for values in found.values():
        if len(values) > 1:
            names = tuple(dict.fromkeys(group.arm for _, group in sorted(values.items())))
            several.setdefault(names, []).append(dict(sorted(values.items())))
    return several


def apart(config: TrialConfig, field: str) -> tuple[float | None, str]:
    """The value of a field, and the identity of all else but the seed; None where the method has no such field."""
    part, name = FIELDS[field]
    canonical = config.canonical()
    del canonical["seed"]
    values = cast("dict[str, JsonValue]", canonical[part])
    value = values.pop(name, None)
    return (float(value) if isinstance(value, int | float) else None), digest(canonical)


def effects(groups: list[Group], field: str, read: Read) -> Iterator[Effect]:
    """The effect of `field` on a number in each arm, or set of arms that differ in the field alone.

    Args:
        groups: Configurations of all arms; only complete ones count.
        field: One of FIELDS.
        read: Returns the number of a finished trial.

    Yields:
        One effect for each set of arms in which two values of the field or more have the number.

    """
    for arms, several in families(groups, field).items():
        effect = effect_of(arms, several, read)
        if effect:
            yield effect


def effect_of(arms: tuple[str, ...], several: list[dict[float, Group]], read: Read) -> Effect | None:
    """The effect in one set of arms, over the families that have its smallest and its largest value."""
    tables = [tabulate(family, read) for family in several]
    tables = [table for table in tables if len(table) > 1]
    if not tables:
        return None
    ends = min(map(min, tables)), max(map(max, tables))
    spanning = [table for table in tables if (min(table), max(table)) == ends]
    if not spanning:
        return None
    values = tuple(sorted({value for table in spanning for value in table}))
    by_value = [seed_means([table[value] for table in spanning if value in table]) for value in values]
    means = tuple(fmean(each.values()) for each in by_value)
    return Effect(arms, values, means, paired_difference(by_value[0], by_value[-1]), len(spanning))


def tabulate(family: dict[float, Group], read: Read) -> dict[float, dict[int, float]]:
    """By value of the field and by seed, the number; values at which no trial has it are left out."""
    table = {value: seed_values(group, read) for value, group in family.items()}
    return {value: numbers for value, numbers in table.items() if numbers}


def seed_means(tables: list[dict[int, float]]) -> dict[int, float]:
    """Mean over configurations, for each seed that all of them have."""
    seeds = [seed for seed in sorted(tables[0]) if all(seed in table for table in tables)]
    return {seed: fmean(table[seed] for table in tables) for seed in seeds}
