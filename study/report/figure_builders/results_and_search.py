"""The figures of the results and the search."""

import math
from typing import Literal

from matplotlib.figure import Figure

from search_spaces.domains import Domain, FloatRange, IntRange
from study.analysis.collapse import bottleneck_pairs
from study.analysis.notation import metric_label, parameter_label, scale
from study.analysis.study_results import values_by_seed
from study.config.spectrum_rule import BOTTLENECK
from study.figures.arm_results import learning_curves, seed_spread, spectra
from study.figures.bottleneck_curve import bottleneck_curve
from study.figures.hyperparameter_search import Outcome, Sweep, importance_bars, optimisation_history, sweep_panels
from study.report.figure_builders.points import bottleneck_points, has_metric, is_numeric, mean_point
from study.report.format.figure_files import FigureInputs
from study.search.importance import importance
from study.storage.groups import Group

SPECTRUM = "features/train"
"""Diagnostic with a trial's singular values."""

LOG_RATIO = 8
"""A choice of positive numbers is drawn on a logarithmic axis where the largest is this many times the smallest."""


def h_curve(inputs: FigureInputs) -> Figure | None:
    """Objective and test metric against H."""
    results = inputs.results
    panels, bands = {}, {}
    for metric in (results.metric, results.test_metric):
        label = metric_label(metric)
        swept = [row for row in results.arms if BOTTLENECK in inputs.study.arm(row.arm).space]
        panels[label] = {row.arm: bottleneck_points(row.groups, metric, results) for row in swept}
        bands[label] = {
            row.arm: mean_point(0, row.best, metric)
            for row in results.arms
            if row not in swept and has_metric(row.best, metric)
        }
    plain = {pair.ciba: (pair.plain,) for pair in bottleneck_pairs(inputs.study, results)}
    counterparts = {
        arm: tuple(name for name in (results.baseline, *plain.get(arm, ())) if name in bands[label])
        for label, curves in panels.items()
        for arm in curves
    }
    return bottleneck_curve(panels, bands, inputs.styles, counterparts)


def sweeps(inputs: FigureInputs) -> Figure | None:
    """Objective against every other numeric hyperparameter."""
    metric = inputs.results.metric
    panels: dict[str, Sweep] = {}
    for arm in inputs.study.arms:
        for name, domain in arm.space.items():
            if name == BOTTLENECK or not is_numeric(domain):
                continue
            groups = [g for g in inputs.results.arm(arm.name).groups if g.status == "complete" and name in g.params]
            points = [(float(g.params[name]), mean_point(0, g, metric).mean) for g in groups if has_metric(g, metric)]
            panel = panels.get(name, Sweep(parameter_label(name), 0, {}))
            arms = panel.arms | ({arm.name: points} if points else {})
            panels[name] = panel._replace(arms=arms, base=max(panel.base, log_base(domain)))
    shown = [panel for panel in panels.values() if len({x for points in panel.arms.values() for x, _ in points}) > 1]
    return sweep_panels(shown, inputs.ylabel, inputs.results.direction, inputs.styles)


def feature_spectra(inputs: FigureInputs) -> Figure | None:
    """Singular values of each arm's best group."""
    values = {}
    for row in inputs.results.arms:
        diagnostics = (
            [inputs.store.trial(trial.trial_id).diagnostics() for trial in row.best.trials] if row.best else []
        )
        values[row.arm] = [arrays[SPECTRUM] for arrays in diagnostics if SPECTRUM in arrays]
    return spectra(values, inputs.styles)


def history(inputs: FigureInputs) -> Figure | None:
    """Objective by proposal."""
    metric = inputs.results.metric
    outcomes = {
        row.arm: [Outcome(group.number, outcome(group, metric), group.status) for group in row.groups]
        for row in inputs.results.arms
    }
    return optimisation_history(outcomes, inputs.ylabel, inputs.results.direction, inputs.styles)


def outcome(group: Group, metric: str) -> float | None:
    """The value of a group in the history: its mean or, if it was pruned, the last value of its first seed."""
    value = group.mean(metric)
    if group.status == "pruned":
        epochs = group.trials[0].history
        value = epochs[-1].metrics.get(metric) if epochs else None
    return None if value is None else value * scale(metric)


def spread(inputs: FigureInputs) -> Figure | None:
    """Test metric of the best groups, seed by seed."""
    metric = inputs.results.test_metric
    values = {
        row.arm: {seed: value * scale(metric) for seed, value in values_by_seed(row.best, metric).items()}
        for row in inputs.results.arms
    }
    return seed_spread(values, metric_label(metric), inputs.styles)


def learning(inputs: FigureInputs) -> Figure | None:
    """Objective of the best groups, epoch by epoch."""
    metric = inputs.results.metric
    curves = {}
    for row in inputs.results.arms:
        trials = row.best.trials if row.best else ()
        curves[row.arm] = [
            {
                report.epoch: report.metrics[metric] * scale(metric)
                for report in trial.history
                if metric in report.metrics
            }
            for trial in trials
        ]
    return learning_curves(curves, inputs.ylabel, inputs.styles)


def importances(inputs: FigureInputs) -> Figure | None:
    """Importance of the hyperparameters."""
    groups = [group for row in inputs.results.arms for group in row.groups]
    return importance_bars(importance(inputs.study, groups), inputs.styles)


def log_base(domain: Domain) -> Literal[0, 2, 10]:
    """Base of the axis: 10 for logarithmic ranges; for choices over a wide range, 2 for integers, else 10."""
    if isinstance(domain, FloatRange | IntRange):
        return 10 if domain.log else 0
    numbers = [float(value) for value in domain.options]
    if min(numbers) <= 0 or max(numbers) < LOG_RATIO * min(numbers):
        powers = all(number > 0 and math.log2(number).is_integer() for number in numbers)
        return 2 if powers else 0
    return 2 if all(number.is_integer() for number in numbers) else 10
