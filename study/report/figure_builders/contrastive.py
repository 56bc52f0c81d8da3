"""The figures of contrastive distillation."""

import numpy as np
from matplotlib.figure import Figure

from study.analysis.contrastive import families
from study.analysis.contrastive_values import KL, KL_FIXED, MODALITIES, MSE, NEIGHBOUR, neighbour_rows
from study.figures import contrastive as draw
from study.figures.contrastive import Curves, Projected
from study.report.figure_builders.diagnostics import stored_diagnostics
from study.report.format.figure_files import FigureInputs
from study.storage.groups import Group
from trainables.diagnostics.contrastive import NEIGHBOURS
from trainables.evaluation.contrastive_diagnostics import FIXED_TEMPERATURE

DISTANCES = {KL: "KL to the teacher (nats)", MSE: "MSE to the teacher"}
SYMBOLS = {"temperature": "τ", "batch_size": "B"}
MOST_COLUMNS = 5
"""Most students in one row."""


def curves_of(group: Group | None, metric: str, relative: bool = False) -> Curves:
    """A metric by epoch, for each complete trial that has it; `relative` to the first epoch's value."""
    curves = []
    for trial in group.trials if group else ():
        curve = {report.epoch: report.metrics[metric] for report in trial.history if metric in report.metrics}
        first = curve[min(curve)] if curve else 0.0
        if first > 0:
            curves.append({epoch: value / first if relative else value for epoch, value in curve.items()})
    return curves


def trajectory_figure(inputs: FigureInputs) -> Figure | None:
    """Distance to the teacher by epoch, best groups: the KL at one temperature, as theirs may differ."""
    shown = {KL_FIXED: f"KL to the teacher at τ = {FIXED_TEMPERATURE:g} (nats)", MSE: DISTANCES[MSE]}
    panels = {
        label: {row.arm: curves_of(row.best, metric) for row in inputs.results.arms} for metric, label in shown.items()
    }
    return draw.trajectories(panels, inputs.styles)


def by_field(inputs: FigureInputs, field: str) -> Figure | None:
    """Distance to the teacher by epoch for each value of a swept field, other hyperparameters being equal."""
    groups = [group for row in inputs.results.arms for group in row.groups]
    table: dict[str, dict[str, dict[float, Curves]]] = {}
    for metric, label in DISTANCES.items():
        columns: dict[str, dict[float, Curves]] = {}
        for arms, several in families(groups, field).items():
            values: dict[float, Curves] = {}
            for family in several:
                for value, group in sorted(family.items()):
                    values.setdefault(value, []).extend(curves_of(group, metric, relative=True))
            if any(values.values()):
                columns[" / ".join(arms)] = values
        if columns:
            table[f"{label.partition(' to')[0]} / first epoch's"] = columns
    return draw.trajectories_by_value(table, SYMBOLS[field])


def neighbour_figure(inputs: FigureInputs) -> Figure | None:
    """Share of common neighbours, best groups."""
    panels = {
        name: {
            row.arm: [array[side] for array in stored_diagnostics(inputs, row.best, NEIGHBOUR)]
            for row in inputs.results.arms
        }
        for side, name in enumerate(MODALITIES)
    }
    return draw.neighbour_bars(panels, NEIGHBOURS, neighbour_rows(inputs.results, inputs.store), inputs.styles)


def plane_figure(inputs: FigureInputs) -> Figure | None:
    """Students in the teacher's planes, first seed of each best group; arms that share the first one's teacher."""
    students: dict[str, Projected] = {}
    shares = None
    for row in inputs.results.arms:
        arrays = first_arrays(inputs, row.best)
        if "clip/pca_student" not in arrays or len(students) == MOST_COLUMNS:
            continue
        teacher = next(iter(students.values())).teacher if students else arrays["clip/pca_teacher"]
        if not np.array_equal(teacher, arrays["clip/pca_teacher"]):
            continue
        students[row.arm] = Projected(teacher, arrays["clip/pca_student"])
        shares = arrays["clip/pca_shares"]
    return None if shares is None else draw.teacher_planes(students, shares, inputs.styles)


def joint_figure(inputs: FigureInputs) -> Figure | None:
    """Images and captions of the teacher and of each arm's student, first seed of each best group."""
    networks = {}
    for row in inputs.results.arms:
        arrays = first_arrays(inputs, row.best)
        if "clip/joint_student" in arrays:
            networks.setdefault("teacher", arrays["clip/joint_teacher"])
            networks[row.arm] = arrays["clip/joint_student"]
    return draw.joint_planes(networks)


def first_arrays(inputs: FigureInputs, group: Group | None) -> dict[str, np.ndarray]:
    """The planes that the first seed's trial stored; empty where a number is not finite."""
    arrays = inputs.store.trial(group.trials[0].trial_id).diagnostics() if group else {}
    planes = {name: array for name, array in arrays.items() if name.startswith(("clip/pca", "clip/joint"))}
    return planes if all(np.isfinite(array).all() for array in planes.values()) else {}
