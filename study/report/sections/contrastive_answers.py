"""The paper's questions on contrastive distillation, answered by rules from `study.analysis.contrastive`.

No sentence claims more than its numbers show, and a question is answered whether or not a difference is shown.
"""

from collections.abc import Iterable

from study.analysis.comparison import LEVEL, PairedDifference
from study.analysis.contrastive import MI, PLAIN, TE, ArmContrast, Effect, compare_kinds, effects, fall, final
from study.analysis.contrastive_values import (
    COSINE,
    DOMAIN,
    KL,
    KL_FIXED,
    MODALITIES,
    MSE,
    kept_number,
    names_of,
    neighbour_reads,
    splits,
)
from study.analysis.notation import METRICS, PERCENT, show_param, show_value
from study.analysis.study_results import StudyResults
from study.report.sections.collapse import interval
from study.storage.store import StudyStore


def questions(results: StudyResults, store: StudyStore) -> dict[str, list[ArmContrast]]:
    """The paper's comparisons, by question."""
    ways = {"image→text": "i2t", "text→image": "t2i"}
    contrasts = {}
    for against in (MI, PLAIN):
        for words, way in ways.items():
            reads = {f"{DOMAIN}/{way}_r{most}": final(f"{DOMAIN}/{way}_r{most}") for most in (1, 5, 10)}
            contrasts[f"{TE} against {against}, {words}"] = compare_kinds(results.arms, TE, against, reads)
    for split in splits(results):
        names = [name for name in ("i2t_r1", "t2i_r1", "top1", "ensemble_top1") if name in names_of(results, split)]
        if split == DOMAIN and "i2t_r1" in names:
            continue
        reads = {f"{split}/{name}": final(f"{split}/{name}") for name in names}
        for against in (MI, PLAIN):
            contrasts[f"{TE} against {against}, transfer to `{split}`"] = compare_kinds(
                results.arms, TE, against, reads
            )
    near = {f"kNN agreement of {m}, k = 10": neighbour_reads(store, s)["10"] for s, m in enumerate(MODALITIES)}
    close = {f"cosine of {m}": kept_number(store, COSINE, (s,)) for s, m in enumerate(MODALITIES)}
    for against in (MI, PLAIN):
        contrasts[f"{TE} against {against}, kNN agreement"] = compare_kinds(results.arms, TE, against, near)
        contrasts[f"{TE} against {against}, cosine"] = compare_kinds(results.arms, TE, against, close)
    return {question: compared for question, compared in contrasts.items() if compared}


def statements(answers: dict[str, list[ArmContrast]], results: StudyResults) -> Iterable[str]:
    """The answers in words."""
    for question, compared in answers.items():
        yield answer(question, compared)
    if not answers:
        yield (
            f"The study has no arm that distils by {TE} terms alone together with one that distils by {MI} or by "
            f"{PLAIN} alone, so the paper's comparisons cannot be made."
        )
    groups = [group for row in results.arms for group in row.groups]
    for metric, field, name, words in (
        (KL, "temperature", "KL divergence at the configuration's own τ", "τ"),
        (KL_FIXED, "temperature", "KL divergence at τ = 0.07", "τ"),
        (MSE, "temperature", "MSE", "τ"),
        (KL, "batch_size", "KL divergence", "B"),
        (MSE, "batch_size", "MSE", "B"),
    ):
        yield from field_statement(list(effects(groups, field, fall(metric))), name, words)


def answer(question: str, compared: list[ArmContrast]) -> str:
    """One question: the number of comparisons by outcome, then the first metric of each pair of arms."""
    words = [verdict(each) for each in compared]
    counts = ", ".join(
        f"{word} in {words.count(word)}" for word in ("better", "worse", "no difference shown") if word in words
    )
    first = dict.fromkeys((each.arm, each.other) for each in compared)
    shown = [next(each for each in compared if (each.arm, each.other) == pair) for pair in first]
    metric = shown[0].what
    details = "; ".join(
        f"`{each.arm}` against `{each.other}` {gap(each.comparison.paired, each.what)}" for each in shown
    )
    return (
        f"{question}: {counts} of {len(compared)} comparisons (Holm-corrected Welch p ≤ {LEVEL:g} within the "
        f"question). {what_text(metric)}, mean difference by seed with its uncorrected 95 % interval: {details}."
    )


def verdict(each: ArmContrast) -> str:
    """The outcome of Holm-corrected Welch's test. Higher is better for every number here."""
    comparison = each.comparison
    if comparison.holm is None or comparison.holm > LEVEL or comparison.difference is None:
        return "no difference shown"
    return "better" if comparison.difference > 0 else "worse"


def what_text(what: str) -> str:
    """A number's name; metrics in words."""
    split, _, name = what.partition("/")
    if name not in METRICS:
        return what
    return f"{METRICS[name][:1].upper()}{METRICS[name][1:]}" + ("" if split == DOMAIN else f" on `{split}`")


def gap(pair: PairedDifference | None, what: str) -> str:
    """A paired difference, in points where the number is a percentage."""
    if pair is None:
        return "no common seed"
    if what.partition("/")[2] not in PERCENT:
        return interval(pair, 3)
    mean, *ends = (None if end is None else show_value(end, what, "+") for end in (pair.mean, pair.low, pair.high))
    return f"{mean} points" + (f" [{ends[0]}, {ends[1]}]" if all(ends) else "")


def field_statement(effects: list[Effect], name: str, symbol: str) -> Iterable[str]:
    """The effect of a swept field on the fall of a distance to the teacher."""
    if not effects:
        return
    parts = []
    for effect in effects:
        falls = ", ".join(
            f"{100 * mean:.0f} % at {symbol} = {show_param(value)}"
            for value, mean in zip(effect.values, effect.means, strict=True)
        )
        difference = "" if effect.difference is None else f" (difference {points(effect.difference)})"
        parts.append(f"{' / '.join(f'`{arm}`' for arm in effect.arms)} {falls}{difference}")
    signs = {mean > 0 for effect in effects for mean in effect.means}
    same = "It fell" if signs == {True} else "It rose" if signs == {False} else "It fell in some and rose in others"
    yield (
        f"Effect of {symbol} on the {name} to the teacher (validation split, whether or not the arm's loss has the "
        f"term): {same}{' everywhere' if len(signs) == 1 else ''}. Fall from the first epoch to the last "
        f"in configurations that differ in {symbol} alone; difference of smallest and largest {symbol} in points, with "
        f"the uncorrected 95 % interval over seeds: {'; '.join(parts)}."
    )


def points(pair: PairedDifference) -> str:
    """A difference of parts, in percentage points."""
    mean, *ends = (None if end is None else f"{round(100 * end) + 0:+d}" for end in (pair.mean, pair.low, pair.high))
    return f"{mean}" + (f" [{ends[0]}, {ends[1]}]" if all(ends) else "")
