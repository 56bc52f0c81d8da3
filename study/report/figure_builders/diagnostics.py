"""The figures of the diagnostics."""

from collections.abc import Callable, Iterator

import numpy as np
from matplotlib.figure import Figure

from study.analysis.comparison import paired_difference
from study.analysis.notation import metric_label, parameter_label, scale
from study.analysis.study_results import ArmResult, values_by_seed
from study.config.study_config import Arm
from study.figures import diagnostics as draw
from study.figures.diagnostics import Box, DataCurve, Spectra, SplitCurves
from study.figures.style import Point
from study.report.figure_builders.points import has_metric, is_numeric, mean_point
from study.report.format.figure_files import FigureInputs
from study.storage.groups import Group
from trainables.diagnostics.dimension_tsne import embed_dimensions

MATRICES = {"weights/tap": "weight of the tapped layer", "weights/head": "weight of the last layer"}
FEATURES = {"features/train": "training features"}
GENERAL, SPECIFIC, LIMIT = "train/fd_general", "train/fd_specific", "split/limit"
TEACHER, STUDENT = "sample/teacher", "sample/student"

PARTS = ("data.",)
"""Prefix of swept fields that change the data, not the method."""


def stored_diagnostics(inputs: FigureInputs, group: Group | None, name: str) -> Spectra:
    """A diagnostic of each trial of a group that has it."""
    diagnostics = [inputs.store.trial(trial.trial_id).diagnostics() for trial in group.trials] if group else []
    return [arrays[name] for arrays in diagnostics if name in arrays]


def data_field(arms: tuple[Arm, ...]) -> str | None:
    """The numeric field of the data that a study sweeps; the first of several."""
    names = [
        name
        for arm in arms
        for name, domain in arm.space.items()
        if name.startswith(PARTS) and is_numeric(domain) and (domain.size() or 2) > 1
    ]
    return names[0] if names else None


def by_value(row: ArmResult, name: str) -> dict[float, Group]:
    """An arm's complete groups by the value of a swept field; the first of several with the same value."""
    groups: dict[float, Group] = {}
    for group in row.groups:
        if group.status == "complete" and name in group.params:
            groups.setdefault(float(group.params[name]), group)
    return dict(sorted(groups.items()))


def weight_spectra(inputs: FigureInputs) -> Figure | None:
    """Singular values of the linear weights of each arm's best group."""
    panels = {
        title: {row.arm: stored_diagnostics(inputs, row.best, name) for row in inputs.results.arms}
        for name, title in MATRICES.items()
    }
    return draw.spectra_by_arm(panels, inputs.styles)


def value_spectra(inputs: FigureInputs) -> Figure | None:
    """Spectra of weights and features for each value of the swept data field."""
    name = data_field(inputs.study.arms)
    if name is None:
        return None
    swept = [row for row in inputs.results.arms if by_value(row, name)]
    shown = {"weights/tap": "weights"} | FEATURES
    table = {
        title: {
            row.arm: {value: stored_diagnostics(inputs, group, key) for value, group in by_value(row, name).items()}
            for row in swept
        }
        for key, title in shown.items()
    }
    table = {
        title: {arm: {v: spectra for v, spectra in values.items() if spectra} for arm, values in arms.items()}
        for title, arms in table.items()
    }
    rank = any(arm.base.data.shared_inputs() is not None for arm in inputs.study.arms)
    return draw.spectra_by_value(table, name.partition(".")[2], rank)


def split_figure(inputs: FigureInputs) -> Figure | None:
    """General and specific loss by epoch: one line for each value of the swept data field, or the best group."""
    name = data_field(inputs.study.arms)
    arms: dict[str, dict[str, SplitCurves]] = {}
    for row in inputs.results.arms:
        groups = {f"{name.partition('.')[2]} = {v:g}": g for v, g in by_value(row, name).items()} if name else {}
        groups = groups or ({"best configuration": row.best} if row.best else {})
        curves = {label: split_curves(inputs, group) for label, group in groups.items()}
        arms[row.arm] = {label: curve for label, curve in curves.items() if curve}
    return draw.split_losses(arms)


def split_curves(inputs: FigureInputs, group: Group) -> SplitCurves | None:
    """The split loss of one group; None where its trials have none."""
    tables = []
    for metric in (GENERAL, SPECIFIC):
        seeds = [[report.metrics[metric] for report in t.history if metric in report.metrics] for t in group.trials]
        length = min((len(values) for values in seeds), default=0)
        if not length:
            return None
        tables.append(draw.band(np.arange(1, length + 1), np.array([values[:length] for values in seeds])))
    limits = stored_diagnostics(inputs, group, LIMIT)
    general, specific = tables
    return SplitCurves(general, specific, float(np.mean(limits)) if limits else None)


def data_figure(inputs: FigureInputs) -> Figure | None:
    """Test metric and paired gain against the swept data field."""
    name = data_field(inputs.study.arms)
    if name is None:
        return None
    metric, results = inputs.results.test_metric, inputs.results
    label, position = axis(inputs, name)
    base = results.arm(results.baseline)
    curves, bands = {}, {}
    for row in results.arms:
        groups = {value: group for value, group in by_value(row, name).items() if has_metric(group, metric)}
        if not groups and has_metric(row.best, metric):
            bands[row.arm] = mean_point(0, row.best, metric)
        against = by_value(base, name)
        gains = (
            gain(position(value), group, against.get(value, base.best if not against else None), metric)
            for value, group in groups.items()
        )
        level = [mean_point(position(value), group, metric) for value, group in groups.items()]
        curves[row.arm] = DataCurve(level, [] if row is base else [difference for difference in gains if difference])
    return draw.data_curves(curves, bands, label, metric_label(metric), inputs.styles)


def axis(inputs: FigureInputs, name: str) -> tuple[str, Callable[[float], float]]:
    """How the papers plot a field of the data: label, and their value of ours."""
    field = name.partition(".")[2]
    for arm in inputs.study.arms:
        if field in arm.base.data.axes:
            return arm.base.data.axes[field]
    return parameter_label(field), float


def gain(x: float, group: Group, base: Group | None, metric: str) -> Point | None:
    """Paired difference from the baseline's group, with half of its interval."""
    pair = paired_difference(values_by_seed(group, metric), values_by_seed(base, metric))
    if pair is None:
        return None
    factor = scale(metric)
    half = None if pair.high is None else (pair.high - pair.mean) * factor
    return Point(x, pair.mean * factor, half)


def boxes(inputs: FigureInputs) -> Figure | None:
    """Box plots of each arm's best group."""
    panels = {}
    for metric in (inputs.results.metric, inputs.results.test_metric):
        panels[metric_label(metric)] = {
            row.arm: Box(
                [value * scale(metric) for value in values_by_seed(row.best, metric).values()],
                inputs.study.arm(row.arm).base.method.teacher_source == "bottleneck",
            )
            for row in inputs.results.arms
            if row.best
        }
    return draw.seed_boxes(panels, inputs.styles)


def dimension_figure(inputs: FigureInputs) -> Figure | None:
    """t-SNE of the dimensions of teacher, baseline, plain feature distillation and CIBA, all with one seed."""
    samples: dict[str, np.ndarray] = {}
    teacher = None
    for row in paper_arms(inputs):
        assert row.best is not None
        arrays = inputs.store.trial(row.best.trials[0].trial_id).diagnostics()
        if STUDENT in arrays:
            samples[row.arm] = arrays[STUDENT]
            teacher = arrays.get(TEACHER, teacher)
    if teacher is None or not all(len(sample) == len(teacher) for sample in samples.values()):
        return None
    if not all(np.isfinite(sample).all() for sample in (teacher, *samples.values())):
        return None
    first, *others = embed_dimensions([teacher, *samples.values()])
    return draw.dimensions(first, dict(zip(samples, others, strict=True)), inputs.styles)


def paper_arms(inputs: FigureInputs) -> Iterator[ArmResult]:
    """The baseline, and of plain feature distillation and of CIBA the arm that is best on validation, on equal data."""
    results = inputs.results
    sign = 1 if results.direction == "maximize" else -1
    rows = sorted(
        (row for row in results.arms if row.best and row.objective),
        key=lambda row: -sign * (row.objective.mean if row.objective else 0),
    )
    base = results.arm(results.baseline)
    if base.best:
        yield base
    data = inputs.study.arm(results.baseline).base.data
    for source in ("teacher", "bottleneck"):
        for row in rows:
            arm = inputs.study.arm(row.arm).base
            if (
                row is not base
                and arm.method.teacher_source == source
                and "fd" in arm.method.active_terms
                and arm.data == data
            ):
                yield row
                break
