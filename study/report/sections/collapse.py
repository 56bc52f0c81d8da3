"""The paper's questions on collapse in words: shift of the spectrum, inverted U in H, CIBA against plain distillation.

Rules turn the statistics of `study.analysis.collapse` into sentences, which claim no more than the statistics show.
"""

from study.analysis.collapse import Shift, Spectrum, bottleneck_pairs, direction, peak, spectrum_shift
from study.analysis.comparison import PairedDifference
from study.analysis.notation import metric_label, metric_name, show_difference, show_summary
from study.analysis.study_results import ArmResult, StudyResults
from study.config.study_config import StudyConfig
from study.report.format.document import Table
from study.report.format.tables import comparison_cells
from study.storage.store import StudyStore

SPECTRUM, BOTTLENECK = "features/train", "bottleneck_dim"
KINDS = {"teacher": "plain feature distillation", "bottleneck": "distillation through a bottleneck (CIBA)"}
"""By `teacher_source`, for methods with a feature term."""
WORDS = {"lower": "lower", "higher": "higher", "unclear": "no shift shown"}


def collapse_findings(study: StudyConfig, results: StudyResults, store: StudyStore) -> list[str]:
    """The statements for which the study has numbers."""
    shifts = spectrum_shifts(study, results, store)
    statements = [kind_statement(kind, study, results, shifts) for kind in KINDS]
    statements += [bend(row, results) for row in results.arms if BOTTLENECK in study.arm(row.arm).space]
    field = [name for arm in study.arms for name in arm.space if name.startswith("data.")]
    if field:
        statements.insert(
            0,
            f"The study sweeps `{field[0]}`, which changes the data: the best configuration of an arm is on the "
            "data on which the arm did best. Compare arms at equal data only, as in the figure over the field.",
        )
    return [statement for statement in statements if statement]


def spectrum_shifts(study: StudyConfig, results: StudyResults, store: StudyStore) -> list[Shift]:
    """Each distilling arm's best group against the baseline's, where both have the student see the same inputs."""
    names = {results.baseline_of(row.arm) for row in results.arms}
    theirs = {name: spectra_by_seed(results.arm(name), store) for name in names}
    shifts = []
    for row in results.arms:
        base = results.arm(results.baseline_of(row.arm))
        same = study.arm(row.arm).base.student == study.arm(base.arm).base.student
        shift = (
            spectrum_shift(row.arm, spectra_by_seed(row, store), theirs[base.arm]) if row is not base and same else None
        )
        if shift and same_student_data(row, base):
            shifts.append(shift)
    return shifts


def same_student_data(row: ArmResult, base: ArmResult) -> bool:
    """Whether the best groups' students saw the same data."""
    inputs = []
    for one in (row, base):
        data = one.best.trials[0].config.data if one.best else None
        inputs.append(data and {k: v for k, v in data.model_dump().items() if k not in data.teacher_only})
    return inputs[0] == inputs[1]


def spectra_by_seed(row: ArmResult, store: StudyStore) -> dict[int, Spectrum]:
    """Spectrum of the student's training features by seed, of an arm's best group."""
    spectra = {}
    for trial in row.best.trials if row.best else ():
        arrays = store.trial(trial.trial_id).diagnostics()
        if SPECTRUM in arrays:
            spectra[trial.config.seed] = arrays[SPECTRUM]
    return spectra


def kind_statement(kind: str, study: StudyConfig, results: StudyResults, shifts: list[Shift]) -> str:
    """The shift of the spectrum under one kind of distillation, arm by arm."""
    own = [
        shift
        for shift in shifts
        if study.arm(shift.arm).base.method.teacher_source == kind
        and "fd" in study.arm(shift.arm).base.method.active_terms
    ]
    if not own:
        return ""
    if min(shift.level.n for shift in own) < 2:
        return f"Spectrum under {KINDS[kind]}: one seed in common with {results.versus}, so no interval."
    counts = [(WORDS[word], sum(direction(shift.level) == word for shift in own)) for word in WORDS]
    summary = ", ".join(f"{word} in {count}" for word, count in counts if count)
    arms = "; ".join(
        f"`{shift.arm}` {interval(shift.level)}, effective rank {interval(shift.rank, 1)}" for shift in own
    )
    return (
        f"Spectrum of the student's training features under {KINDS[kind]} against {results.versus}: {summary} of "
        f"{len(own)} arms. Mean shift of ln σ, paired by seed, with its uncorrected 95 % interval: {arms}. A shift of "
        "ln σ also follows the features' scale; the effective rank does not."
    )


def interval(difference: PairedDifference, digits: int = 2) -> str:
    """`-0.51 [-0.60, -0.42]`."""
    mean = f"{difference.mean:+.{digits}f}"
    if difference.low is None or difference.high is None:
        return mean
    return f"{mean} [{difference.low:+.{digits}f}, {difference.high:+.{digits}f}]"


def bend(row: ArmResult, results: StudyResults) -> str:
    """Whether performance has an inverted U along H."""
    maximum = peak(row.groups, BOTTLENECK, results)
    if maximum is None:
        return ""
    smallest, best, largest = maximum.sizes
    if maximum.below is None or maximum.above is None:
        end = "smallest" if maximum.below is None else "largest"
        return (
            f"`{row.arm}`: no inverted U in H is shown: H = {best}, the {end} value tried, is the best on validation."
        )
    against = (
        f"than H = {smallest} ({gap(maximum.below, results)}) and than H = {largest} ({gap(maximum.above, results)})"
    )
    if all(is_better(side, results) for side in (maximum.below, maximum.above)):
        return (
            f"`{row.arm}`: an inverted U in H is shown: H = {best}, the best on validation, is better on "
            f"{metric_name(results.test_metric)} {against}; neither 95 % interval, paired by seed, contains 0."
        )
    return (
        f"`{row.arm}`: no inverted U in H is shown. H = {best} is the best on validation, but on "
        f"{metric_name(results.test_metric)} it is not clearly better both {against}. This does not prove a flat curve."
    )


def is_better(difference: PairedDifference, results: StudyResults) -> bool:
    """Whether the whole interval is in favour of the best H."""
    return direction(difference) != "unclear" and results.better(difference.mean)


def gap(difference: PairedDifference, results: StudyResults) -> str:
    """A difference with its interval, in the metric's unit."""
    if difference.low is None or difference.high is None:
        return f"{show_difference(difference.mean, results.test_metric)}, no interval"
    low, high = (show_difference(end, results.test_metric).split()[0] for end in (difference.low, difference.high))
    return f"{show_difference(difference.mean, results.test_metric)} [{low}, {high}]"


def pairs_table(study: StudyConfig, results: StudyResults) -> list[Table]:
    """CIBA against the same loss without a bottleneck; empty if the study has no such pair of arms."""
    rows = []
    for pair in bottleneck_pairs(study, results):
        ours, theirs = results.arm(pair.ciba), results.arm(pair.plain)
        shown = (show_summary(theirs.test, results.test_metric), show_summary(ours.test, results.test_metric))
        rows.append(
            (f"`{pair.ciba}`", f"`{pair.plain}`", *shown, *comparison_cells(pair.comparison, results.test_metric))
        )
    if not rows:
        return []
    caption = (
        f"Each arm with a bottleneck against the arm with the same loss, data and networks without one: "
        f"{metric_label(results.test_metric)} of the best configurations, mean ± std over seeds. Holm p: corrected "
        "over this table."
    )
    header = ("with bottleneck", "without", "without", "with", "Δ test", "Welch p", "Holm p", "g", "paired Δ [95 % CI]")
    return [Table(caption, header, tuple(rows), 2)]
