"""The commands `study cch-theory` and `study te-theory`: compute, draw, write the files, print what they show."""

from pathlib import Path

import numpy as np

from study.errors import StudyError
from study.figures.style import render
from study.report.format.csv_tables import Row, to_csv
from study.theory.cch import GAMMAS, LAMBDAS, SCALES, TAUS, Cell, Theory
from study.theory.cch import compute as compute_cch
from study.theory.cch import findings as cch_findings
from study.theory.cch_figure import cch_figure
from study.theory.te import COUPLINGS, PROCESSES, PROXIES, TheoryOfTE
from study.theory.te import compute as compute_te
from study.theory.te import findings as te_findings
from study.theory.te import table as te_table
from study.theory.te_figure import te_figure
from trainables.common.atomic_files import write_bytes, write_json
from trainables.theory.transfer_entropy import Coupled


def print_cch_theory(
    n: int, p: int, sigma: float, repeats: int, teacher: str, folder: Path, json_file: Path | None
) -> None:
    """Compute, write figure and table, print the results.

    Raises:
        StudyError: if a size or the teacher is outside its range.

    """
    if teacher not in SCALES:
        raise StudyError(f"--teacher must be one of {', '.join(SCALES)}, but got {teacher!r}")
    theory = compute_cch(n, p, sigma, repeats, teacher)
    points = len(GAMMAS) * len(TAUS)
    print(f"Joint Gaussian model, n = {n}, p = {p}, sigma = {sigma:g}, teacher {teacher}:")
    print(f"{points} points of gamma and tau, {repeats} training sets at each, {len(LAMBDAS)} lambda")
    print("\n".join(cch_findings(theory)))
    written = write_cch_theory(theory, folder)
    if json_file:
        write_cch_theory_json(theory, json_file)
        written.append(json_file)
    print(f"written {', '.join(map(str, written))}")


def write_cch_theory(theory: Theory, folder: Path) -> list[Path]:
    """Figure and table in `folder`."""
    figure = cch_figure(theory)
    derived = ("deviation", "predicted", "helps")
    rows = [[*cell, *(getattr(cell, name) for name in derived)] for cell in theory.cells]
    files = {
        "cch_theory.svg": render(figure, "svg"),
        "cch_theory.png": render(figure, "png"),
        "cch_theory.csv": to_csv((*Cell._fields, *derived), rows),
    }
    for name, content in files.items():
        write_bytes(folder / name, content)
    return [folder / name for name in files]


def write_cch_theory_json(theory: Theory, path: Path) -> None:
    """The grid for programs."""
    values = theory._asdict() | {"cells": [cell._asdict() | {"deviation": cell.deviation} for cell in theory.cells]}
    write_json(path, values | {"worst": theory.worst, "limit": theory.limit, "findings": cch_findings(theory)})


def print_te_theory(steps: int, dim: int, repeats: int, folder: Path) -> None:
    """Compute, write figure and table, print the results.

    Raises:
        StudyError: if a size is below its minimum.

    """
    theory = compute_te(steps, dim, repeats)
    print(f"TE proxies on coupled Gaussian series: {steps} steps, {dim} dimensions, {repeats} repeats;")
    print(f"{len(PROCESSES)} processes, c from {COUPLINGS[0]:g} to {COUPLINGS[-1]:g}; in brackets 95 % of the repeats")
    rows = te_table(theory)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("\n".join(te_findings(theory)))
    print(f"written {', '.join(map(str, write_te_theory(theory, folder)))}")


def write_te_theory(theory: TheoryOfTE, folder: Path) -> list[Path]:
    """Figure and table in `folder`."""
    figure = te_figure(theory)
    rows: list[Row] = [
        [*point.model, point.exact, *(float(np.mean(point.proxies[name])) for name in PROXIES)]
        for point in theory.points
    ]
    files = {
        "te_theory.svg": render(figure, "svg"),
        "te_theory.png": render(figure, "png"),
        "te_theory.csv": to_csv((*Coupled._fields, "te_nats", *PROXIES), rows),
    }
    for name, content in files.items():
        write_bytes(folder / name, content)
    return [folder / name for name in files]
