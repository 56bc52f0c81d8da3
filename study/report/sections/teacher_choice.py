"""Choosing among teachers by the criterion: for one student I(H2;Y) is constant, so G ranks its teachers.

Across students, gains also differ by how much a student can still gain, which is not part of G.
"""

from collections import defaultdict
from math import sqrt
from statistics import fmean, stdev

from study.analysis.comparison import LEVEL
from study.analysis.correlation import Correlation
from study.analysis.notation import metric_label, show_value
from study.analysis.scipy_functions import student_quantile
from study.analysis.study_results import StudyResults
from study.formatting import plural
from study.planning.criterion_agreement import PairOutcome, gap_against_gain
from study.report.format.document import Block, Items, Table

LEAST_TEACHERS = 3
"""Fewest teachers of one student that are ranked."""


def teacher_choice(outcomes: list[PairOutcome], results: StudyResults) -> list[Block]:
    """How well G ranks each student's teachers, and the gain of its choice; empty with fewer than three teachers."""
    students = by_student(outcomes)
    if not students:
        return []
    metric, rows, lost = results.test_metric, [], []
    for (arm, student), own in students.items():
        chosen = max(own, key=lambda one: one.estimate.gap.mean)
        best = max(own, key=lambda one: one.gain.mean)
        lost.append(best.gain.mean - chosen.gain.mean)
        rank = gap_against_gain(own)
        several = len({name for name, _ in students}) > 1
        shown = (f"{one.teacher} ({show_value(one.gain.mean, metric, '+')})" for one in (chosen, best))
        own_name, ranked = f"{arm}: {student}" if several else student, "–" if rank is None else f"{rank.rho:+.2f}"
        rows.append((own_name, str(len(own)), ranked, *shown, show_value(lost[-1], metric)))
    header = ("student", "teachers", "Spearman(G, gain)", "chosen by G (gain)", "best (gain)", "lost by the choice")
    caption = f"Choosing a student's teacher by the largest gap; gains in {metric_label(metric)}."
    line = (
        f"Within a student, where only the teacher differs, Spearman(G, gain) is {mean_rank(outcomes)}. Its teacher "
        f"with the largest gap is the best one for {sum(value == 0 for value in lost)} of "
        f"{plural(len(lost), 'student')}."
    )
    return [Items((line,)), Table(caption, header, tuple(rows), 1)]


def by_student(outcomes: list[PairOutcome]) -> dict[tuple[str, str], list[PairOutcome]]:
    """The pairs by arm and student, where the student has at least LEAST_TEACHERS teachers."""
    pairs: dict[tuple[str, str], list[PairOutcome]] = defaultdict(list)
    for one in outcomes:
        pairs[one.method, one.student].append(one)
    return {key: own for key, own in pairs.items() if len(own) >= LEAST_TEACHERS}


def mean_rank(outcomes: list[PairOutcome]) -> str:
    """`+0.55 [+0.20, +0.90] on average over 6 students`: mean of their correlations, t interval over students."""
    ranks = [
        rank.rho for own in by_student(outcomes).values() if isinstance(rank := gap_against_gain(own), Correlation)
    ]
    if len(ranks) < 2:
        return f"{ranks[0]:+.2f} for the one student" if ranks else "not defined"
    half = student_quantile(1 - LEVEL / 2, len(ranks) - 1) * stdev(ranks) / sqrt(len(ranks))
    mean = fmean(ranks)
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}] on average over {len(ranks)} students"
