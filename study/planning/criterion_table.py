"""`study criterion`: which teacher is expected to help which student most. Distils nothing."""

from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from study.config.criterion import CriterionConfig
from study.config.study_config import StudyConfig
from study.errors import StudyError
from study.formatting import plural
from study.parsing.loader import load
from study.planning.criterion import (
    Assessment,
    Cell,
    Say,
    Term,
    assess,
    compute_criterion,
    distils,
    distinct,
    network_values,
    show_term,
    study_cells,
    wanted_stages,
)
from study.storage.store import StudyStore
from trainables.common.atomic_files import write_json
from trainables.stages.artifacts import StageStore


class Row(NamedTuple):
    """One pair of networks."""

    cell: Cell
    arms: list[str]
    """The arms that distil this teacher into this student."""
    found: Assessment | None
    """None if it could not be estimated."""


def print_criterion(path: Path, json_file: Path | None = None, say: Say = print) -> None:
    """Compute the missing estimates, and print the pairs of networks, the most promising teachers first.

    Args:
        path: the study file.
        json_file: where to write the table as JSON, if anywhere.
        say: receives the lines.

    Raises:
        StudyError: if no arm has a teacher.
    """
    study = load(path)
    criterion = study.criterion or CriterionConfig()
    if not study_cells(study, StudyStore(study.directory)):
        raise StudyError(
            f"{path}: no arm has a teacher whose use could be estimated; add for example `kd: {{method: kd}}`"
        )
    failed = compute_criterion(study, criterion, say)
    rows = criterion_rows(study, criterion)
    say(render(rows, criterion, failed))
    if json_file:
        write_json(json_file, as_json(study, criterion, rows, failed))


def criterion_rows(study: StudyConfig, criterion: CriterionConfig) -> list[Row]:
    """The pairs by student, by descending gap, pairs without an estimate last. Computes nothing."""
    stages, cells = StageStore(study.stages_directory), study_cells(study, StudyStore(study.directory))
    keys = {cell.stages(criterion.settings)[0].key: list[str]() for cell in cells}
    for cell in cells:
        keys[cell.stages(criterion.settings)[0].key].append(cell.arm)
    rows = [
        Row(
            cell,
            keys[cell.stages(criterion.settings)[0].key],
            assess(cell, criterion.settings, stages, repeats=criterion.self_test),
        )
        for cell in distinct(cells, criterion)
    ]
    students = list(dict.fromkeys(row.cell.student for row in rows))
    return sorted(
        rows, key=lambda row: (students.index(row.cell.student), -(row.found.gap.mean if row.found else float("-inf")))
    )


def render(rows: list[Row], criterion: CriterionConfig, failed: dict[str, str]) -> str:
    """The table, with notes below it.

    Args:
        rows: the pairs.
        criterion: its settings.
        failed: by name of the cell, why its estimate failed.
    """
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("teacher", "student", "I(H1;H2)", "I(H2;Y)", "gap G", "distillation"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        if row.found is None:
            table.add_row(row.cell.teacher, row.cell.student, "–", "–", "–", failed.get(row.cell.name, "not estimated"))
            continue
        terms = [show_with_error(term) for term in (row.found.shared, row.found.labels)]
        table.add_row(row.cell.teacher, row.cell.student, *terms, show_term(row.found.gap), row.found.verdict)
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(table, soft_wrap=True)
        for line in notes(rows, criterion):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    return capture.get().rstrip()


def show_with_error(term: Term) -> str:
    """`1.78 [1.65, 1.90], self-test -0.21 ± 0.03`."""
    error = "" if term.self_test is None else f", self-test {term.self_test[0]:+.2f} ± {term.self_test[1]:.2f}"
    return f"{term.mean:.2f} [{term.low:.2f}, {term.high:.2f}]{error}"


def notes(rows: list[Row], criterion: CriterionConfig) -> list[str]:
    """Notes: what was estimated from which data, and what a verdict means."""
    found = [row.found for row in rows if row.found]
    if not found:
        return []
    reduced = criterion.settings.mi.pca
    sides = f"{reduced} principal components of the {criterion.representation}" if reduced else criterion.representation
    return [
        f"Nats, by {criterion.estimator.kind} from {sides} of {found[0].rows} {criterion.split} pairs; mean over "
        f"{plural(found[0].seeds, 'seed')}, 95 % intervals.",
        "pays: the interval of G = I(H1;H2) - I(H2;Y) is above 0; does not pay: below; undecided: it contains 0. A gap "
        "above 0 is sufficient in the Gaussian case, not necessary; the interval contains no bias of the estimator.",
        *self_test_lines(found),
        *warning_lines(rows),
    ]


def self_test_lines(found: list[Assessment]) -> list[str]:
    """A note about the self-test, if there is one."""
    if all(one.shared.self_test is None for one in found):
        return []
    return [
        "self-test: bias and spread of the same estimator near this value, on Gaussians of known information with as "
        "many rows and dimensions. If the biases of both terms differ by as much as G, the sign of G is not reliable."
    ]


def warning_lines(rows: list[Row]) -> list[str]:
    """Each warning of the estimator once, with the number of pairs that have it."""
    pairs: dict[str, int] = {}
    for row in rows:
        for text in row.found.warnings if row.found else ():
            pairs[text] = pairs.get(text, 0) + 1
    return [f"{text} ({plural(count, 'pair')} of networks)" for text, count in pairs.items()]


def as_json(study: StudyConfig, criterion: CriterionConfig, rows: list[Row], failed: dict[str, str]) -> JsonValue:
    """The table as JSON.

    Args:
        study: the study.
        criterion: its settings.
        rows: the pairs.
        failed: by name of the cell, why its estimate failed.
    """

    def term(one: Term) -> JsonValue:
        return dict(one._asdict())

    return {
        "study": study.study,
        "criterion": criterion.settings.model_dump(mode="json"),
        "pairs": [
            {
                "teacher": row.cell.teacher,
                "student": row.cell.student,
                "arms": list(row.arms),
                "swept": dict(row.cell.params),
                "shared": term(row.found.shared) if row.found else None,
                "labels": term(row.found.labels) if row.found else None,
                "gap": term(row.found.gap) if row.found else None,
                "verdict": row.found.verdict if row.found else None,
                "seeds": row.found.seeds if row.found else 0,
                "rows": row.found.rows if row.found else 0,
                "warnings": list(row.found.warnings) if row.found else [],
                "error": failed.get(row.cell.name, "") if not row.found else "",
            }
            for row in rows
        ],
    }


def plan_lines(study: StudyConfig) -> list[str]:
    """Lines of `--dry-run` about the criterion: which estimates are ready, and what they skip."""
    criterion = study.criterion
    if criterion is None:
        return []
    stages, store = StageStore(study.stages_directory), StudyStore(study.directory)
    cells = study_cells(study, store)
    stages_wanted = {stage.key: stage for cell in cells for stage in wanted_stages(cell, criterion)}
    ready = sum(map(stages.has, stages_wanted.values()))
    lines = [
        f"Criterion: {', '.join(criterion.settings_by_name)} on {plural(len(distinct(cells, criterion)), 'pair')} "
        f"of networks, {ready} of {plural(len(stages_wanted), 'estimate')} ready; the others, and the unimodal "
        "networks that they need, are computed before the first trial and are not in the time below"
    ]
    if criterion.action == "gate":
        lines.append(gate_line(study, criterion, cells, stages))
        lines += unlisted_lines(study)
    return lines


def unlisted_lines(study: StudyConfig) -> list[str]:
    """The line about arms whose pairs of networks cannot be listed before the search, if there are any."""
    arms = [arm.name for arm in study.arms if distils(arm) and network_values(arm) is None]
    if not arms:
        return []
    return [
        f"Gate: the networks of {', '.join(arms)} depend on a range, so their configurations are run without a "
        "verdict; list the values of the range to have them judged"
    ]


def gate_line(study: StudyConfig, criterion: CriterionConfig, cells: list[Cell], stages: StageStore) -> str:
    """The line about the configurations that are skipped according to the existing estimates.

    Args:
        study: the study.
        criterion: its settings.
        cells: its pairs of networks by arm.
        stages: the stored estimates.
    """
    known = [(cell, found) for cell in cells if (found := assess(cell, criterion.settings, stages))]
    hopeless = [cell for cell, found in known if found.verdict == "does not pay"]
    arms = list(dict.fromkeys(cell.arm for cell in hopeless))
    share = {arm: sum(c.arm == arm for c in hopeless) / sum(c.arm == arm for c in cells) for arm in arms}
    skipped = sum(study.planned_groups(study.arm(arm)) * share[arm] for arm in arms) * (1 - criterion.explore)
    return (
        f'Gate: of {len(known)} estimated of {plural(len(cells), "pair")}, {len(hopeless)} "does not pay"; about '
        f"{plural(round(skipped), 'configuration')} skipped, {criterion.explore:.0%} of such are run anyway"
        + (f" (arms {', '.join(arms)})" if arms else "")
    )
