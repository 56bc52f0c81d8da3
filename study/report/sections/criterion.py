"""The report's part on the criterion: its prediction for each pair of networks, and the measured gain.

Reads the estimates from the stages and the gains from the store; computes neither.
"""

from study.analysis.comparison import PairedDifference
from study.analysis.correlation import Correlation, spearman
from study.analysis.notation import metric_label, metric_name, show_difference, show_params, show_value
from study.analysis.study_results import StudyResults
from study.config.resolved_study import network_params
from study.config.study_config import Params, StudyConfig
from study.formatting import clock, plural
from study.planning.criterion import Assessment, show_term
from study.planning.criterion_agreement import (
    PairOutcome,
    Share,
    agreement,
    failures,
    gap_against_gain,
    saving,
    two_by_two,
    verdicts,
)
from study.planning.criterion_cost import criterion_seconds
from study.planning.criterion_gains import pair_outcomes
from study.planning.criterion_table import criterion_rows, notes, show_with_error
from study.report.format.document import Block, Heading, Items, Table, Text
from study.report.sections.teacher_choice import teacher_choice
from study.storage.groups import Group
from study.storage.store import StudyStore


def criterion_blocks(study: StudyConfig, results: StudyResults, store: StudyStore) -> list[Block]:
    """Heading, statements and tables; empty for a study without a criterion."""
    criterion = study.criterion
    if criterion is None:
        return []
    rows = criterion_rows(study, criterion)
    header = ("teacher", "student", "I(H1;H2)", "I(H2;Y)", "gap G", "verdict")
    cells = tuple(
        (row.cell.teacher, row.cell.student)
        + (
            (*map(show_with_error, (row.found.shared, row.found.labels)), show_term(row.found.gap), row.found.verdict)
            if row.found
            else ("–", "–", "–", "not estimated")
        )
        for row in rows
    )
    expected = Table("Prediction of the criterion, in nats, before any distillation.", header, cells, 2)
    blocks: list[Block] = [Heading("Does distillation pay: the criterion and the gains"), expected]
    blocks.append(Items(tuple(notes(rows, criterion))))
    outcomes = pair_outcomes(study, results, criterion.settings)
    if not outcomes:
        return [
            *blocks,
            Text("No arm with a teacher and its baseline are both complete yet, so no gain can be computed."),
        ]
    blocks += [Items(tuple(statements(study, results, outcomes))), table_of_signs(outcomes, results)]
    blocks += teacher_choice(outcomes, results)
    tables = (by_configuration(study, results), by_estimator(study, results), table_of_failures(outcomes, results))
    return [*blocks, *(table for table in tables if table)]


def statements(study: StudyConfig, results: StudyResults, outcomes: list[PairOutcome]) -> list[str]:
    """Share of right predictions, correlation, gains by verdict, and the time and gains that a gate saves and loses."""
    right, clear = agreement(outcomes), [one for one in outcomes if one.clear]
    lines = [
        f"Gap and gain ({metric_name(results.test_metric)}) have the same sign in {show_share(right)} of the pairs.",
        f"Among the {len(clear)} whose intervals both leave out 0: {show_share(agreement(clear))}."
        if clear
        else "No pair has both intervals away from 0.",
        f"Spearman(G, gain) = {show_correlation(gap_against_gain(outcomes))}.",
        "A gain was measured "
        + "; ".join(f"after `{verdict}` in {show_share(share)}" for verdict, share in verdicts(outcomes).items())
        + ".",
        saved_line(study, results, outcomes),
    ]
    helped = sum(one.gain.mean > 0 for one in outcomes)
    lines.append(
        f"For comparison, the prediction of a gain for every pair is right in {helped} of {len(outcomes)} pairs. Pairs "
        "share teachers and students, so the intervals over pairs are narrower than for independent pairs."
    )
    return lines


def saved_line(study: StudyConfig, results: StudyResults, outcomes: list[PairOutcome]) -> str:
    """The training time that a gate saved, or would have saved, and the gains that it lost."""
    saved, metric = saving(outcomes), results.test_metric
    lost = (
        f"lost gains in {len(saved.lost)} of these pairs, up to {show_difference(saved.lost[0].gain.mean, metric)} "
        f"({saved.lost[0].name})"
        if saved.lost
        else "lost no gain"
    )
    cost = criterion_seconds(study)
    skipped = [group for row in results.arms for group in row.groups if group.status == "skipped"]
    if study.criterion and study.criterion.action == "gate":
        each = saved.of_seconds / max(1, sum(one.trainings for one in outcomes))
        trainings = len(skipped) * len(study.search.seeds)
        return (
            f"The gate skipped {plural(len(skipped), 'configuration')}, {plural(trainings, 'training')}, about "
            f"{clock(trainings * each)} of training at {each:.2g} s each; {net_of(cost, trainings * each)}. Judged by "
            f"the share that was explored, it {lost}."
        )
    return (
        f'Skipping the {plural(saved.cells, "pair")} with the verdict "does not pay" would have saved '
        f"{plural(saved.trainings, 'training')}, {clock(saved.seconds)} of {clock(saved.of_seconds)}, and would have "
        f"{lost}; {net_of(cost, saved.seconds)}."
    )


def net_of(cost: float, saved: float) -> str:
    """What remains of a saving."""
    own_cost = f"the criterion itself (its estimates, and students trained for them alone) cost {clock(cost)}"
    return f"{own_cost}, so {clock(saved - cost)} net" if saved >= cost else f"{own_cost}, more than that"


def show_share(share: Share) -> str:
    """`21 of 30 (70 % [52, 83])`."""
    percent = f" ({100 * share.k / share.n:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}])" if share.n else ""
    return f"{share.k} of {share.n}{percent}"


def show_correlation(correlation: Correlation | None) -> str:
    """`+0.61 [+0.31, +0.80] over 30 pairs`."""
    if correlation is None:
        return "not defined"
    interval = (
        ""
        if correlation.low is None or correlation.high is None
        else f" [{correlation.low:+.2f}, {correlation.high:+.2f}]"
    )
    return f"{correlation.rho:+.2f}{interval} over {correlation.n} pairs"


def table_of_signs(outcomes: list[PairOutcome], results: StudyResults) -> Table:
    """The 2 x 2 table."""
    counts = two_by_two(outcomes)
    rows = tuple(
        (f"G {'> 0' if gap else '<= 0'}", str(counts[gap, True]), str(counts[gap, False])) for gap in (True, False)
    )
    caption = f"Pairs by the sign of the gap and of the gain in {metric_name(results.test_metric)}."
    return Table(caption, ("", "gain > 0", "gain <= 0"), rows)


def table_of_failures(outcomes: list[PairOutcome], results: StudyResults) -> Table | None:
    """The pairs for which the criterion failed; None without any."""
    wrong = failures(outcomes)
    if not wrong:
        return None
    metric = results.test_metric
    rows = tuple(
        (one.name, show_term(one.estimate.gap), one.estimate.verdict, show_gain(one.gain, metric), yes(one.clear))
        for one in wrong
    )
    caption = (
        f"Where the criterion failed: {len(wrong)} of {len(outcomes)} pairs in which gain and gap have different "
        "signs. `clear`: neither interval contains 0. Pairs with G <= 0 and a gain do not contradict the theorem, "
        "which says when distillation helps, not when it does not."
    )
    return Table(caption, ("pair", "gap G", "verdict", f"gain in {metric_label(metric)}", "clear"), rows, 1)


def show_gain(gain: PairedDifference, metric: str) -> str:
    """`+1.20 [+0.40, +2.00]`."""
    mean = show_value(gain.mean, metric, "+")
    if gain.low is None or gain.high is None:
        return mean
    return f"{mean} [{show_value(gain.low, metric, '+')}, {show_value(gain.high, metric, '+')}]"


def yes(said: bool) -> str:
    """`yes`, or nothing."""
    return "yes" if said else ""


def by_configuration(study: StudyConfig, results: StudyResults) -> Table | None:
    """Agreement and correlation at each setting of the other hyperparameters, where several pairs have it."""
    assert study.criterion is not None
    settings: dict[str, Params] = {}
    for arm in study.arms:
        for group in results.arm(arm.name).groups if arm.base.method.teacher_source != "nothing" else ():
            own = network_params(arm, group.params)
            params = {name: value for name, value in group.params.items() if name not in own}
            settings.setdefault(show_params(params), params)
    rows = []
    for text, params in settings.items():

        def pick(groups: list[Group], params: Params = params) -> Group | None:
            fits = [group for group in groups if params.items() <= group.params.items() and group.status == "complete"]
            return fits[0] if fits else None

        outcomes = pair_outcomes(study, results, study.criterion.settings, pick)
        if len(outcomes) >= 4:
            mean = sum(one.gain.mean for one in outcomes) / len(outcomes)
            shown = (show_share(agreement(outcomes)), show_correlation(gap_against_gain(outcomes)))
            rows.append((text, *shown, show_value(mean, results.test_metric, "+")))
    if len(rows) < 2:
        return None
    caption = (
        "The same at each setting of the hyperparameters that do not change the networks, without a choice on "
        "validation."
    )
    return Table(caption, ("setting", "signs agree", "Spearman(G, gain)", "mean gain"), tuple(rows), 1)


def by_estimator(study: StudyConfig, results: StudyResults) -> Table | None:
    """A comparison of the estimators; None for a study with one."""
    assert study.criterion is not None
    every = {
        name: pair_outcomes(study, results, settings) for name, settings in study.criterion.settings_by_name.items()
    }
    if len(every) < 2:
        return None
    first = {one.name: one.estimate.gap.mean for one in next(iter(every.values()))}
    rows = []
    for name, outcomes in every.items():
        common = [one for one in outcomes if one.name in first]
        ranks = spearman([first[one.name] for one in common], [one.estimate.gap.mean for one in common])
        mean = [
            sum(values) / max(1, len(outcomes))
            for values in zip(*(middle(one.estimate) for one in outcomes), strict=True)
        ]
        shown = " / ".join(f"{value:.2f}" for value in mean) or "–"
        cells = (show_share(agreement(outcomes)), show_correlation(gap_against_gain(outcomes)), show_correlation(ranks))
        rows.append((name, shown, *cells))
    caption = (
        "Estimators: mean I(H1;H2) / I(H2;Y) / G over the pairs in nats, and how well the gaps of each estimator "
        "predict and rank the gains."
    )
    header = ("estimator", "means", "signs agree", "Spearman(G, gain)", f"Spearman with {next(iter(every))}'s G")
    return Table(caption, header, tuple(rows), 2)


def middle(assessment: Assessment) -> tuple[float, float, float]:
    """Both terms and the gap."""
    return assessment.shared.mean, assessment.labels.mean, assessment.gap.mean
