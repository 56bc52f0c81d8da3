"""Which figures a study has: picks their numbers from groups and store, and says below each what it shows."""

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from matplotlib.figure import Figure

from search_spaces.domains import Choice, Domain, FloatRange, IntRange, Value
from study.analysis.collapse import bottleneck_pairs
from study.analysis.notation import metric_label, parameter_label, scale
from study.analysis.study_results import StudyResults, by_seed, summarise
from study.config.study_config import StudyConfig
from study.figures import study_results as figures
from study.figures.study_results import Curve, Outcome, Sweep
from study.figures.style import ArmStyle, Point, arm_styles, render
from study.search.importance import importance
from study.storage.groups import Group, best_group
from study.storage.store import StudyStore

BOTTLENECK = "bottleneck_dim"
SPECTRUM = "features/train"
"""Diagnostic that holds a trial's singular values."""

LOG_RATIO = 8
"""A choice of positive numbers is drawn on a logarithmic axis where the largest is this many times the smallest."""


class Drawn(NamedTuple):
    """A figure of the report, as files."""

    name: str
    title: str
    caption: str
    svg: bytes
    png: bytes


class Material(NamedTuple):
    """What the figures are made from."""

    study: StudyConfig
    results: StudyResults
    store: StudyStore
    styles: dict[str, ArmStyle]

    @property
    def ylabel(self) -> str:
        """Axis label of the objective."""
        return metric_label(self.results.metric)


Figures = Mapping[str, tuple[str, str, Callable[[Material], Figure | None]]]
"""By file name: title, caption, and what draws the figure (or returns None)."""


def draw_figures(
    study: StudyConfig, results: StudyResults, store: StudyStore, table: Figures | None = None
) -> list[Drawn]:
    """Every figure of `table` (by default FIGURES) for which the study has numbers, in its order."""
    styles = arm_styles([arm.name for arm in study.arms], results.baseline)
    material = Material(study, results, store, styles)
    drawn = []
    for name, (title, caption, make) in (FIGURES if table is None else table).items():
        figure = make(material)
        if figure is not None:
            drawn.append(Drawn(name, title, caption, render(figure, "svg"), render(figure, "png")))
    return drawn


def h_curve(material: Material) -> Figure | None:
    """Objective and test metric against H."""
    results = material.results
    panels, bands = {}, {}
    for metric in (results.metric, results.test_metric):
        label = metric_label(metric)
        swept = [row for row in results.arms if BOTTLENECK in material.study.arm(row.arm).space]
        panels[label] = {row.arm: bottleneck_points(row.groups, metric, results) for row in swept}
        bands[label] = {
            row.arm: point(0, row.best, metric) for row in results.arms if row not in swept and has(row.best, metric)
        }
    plain = {pair.ciba: (pair.plain,) for pair in bottleneck_pairs(material.study, results)}
    counterparts = {
        arm: tuple(name for name in (results.baseline, *plain.get(arm, ())) if name in bands[label])
        for label, curves in panels.items()
        for arm in curves
    }
    return figures.bottleneck_curve(panels, bands, material.styles, counterparts)


def bottleneck_points(groups: tuple[Group, ...], metric: str, results: StudyResults) -> Curve:
    """One arm over H: at each H the group that the objective chooses."""
    complete = [group for group in groups if group.status == "complete" and has(group, metric)]
    sizes = sorted({float(group.params[BOTTLENECK]) for group in complete if BOTTLENECK in group.params})
    best = []
    for size in sizes:
        chosen = best_group([g for g in complete if g.params[BOTTLENECK] == size], results.metric, results.direction)
        if chosen:
            best.append(point(size, chosen, metric))
    return Curve(best, [(float(g.params[BOTTLENECK]), point(0, g, metric).mean) for g in complete])


def sweeps(material: Material) -> Figure | None:
    """Objective against every other numeric hyperparameter."""
    metric = material.results.metric
    panels: dict[str, Sweep] = {}
    for arm in material.study.arms:
        for name, domain in arm.space.items():
            if name == BOTTLENECK or not is_numeric(domain):
                continue
            groups = [g for g in material.results.arm(arm.name).groups if g.status == "complete" and name in g.params]
            points = [(float(g.params[name]), point(0, g, metric).mean) for g in groups if has(g, metric)]
            panel = panels.get(name, Sweep(parameter_label(name), 0, {}))
            arms = panel.arms | ({arm.name: points} if points else {})
            panels[name] = panel._replace(arms=arms, base=max(panel.base, log_base(domain)))
    shown = [panel for panel in panels.values() if len({x for points in panel.arms.values() for x, _ in points}) > 1]
    return figures.sweep_panels(shown, material.ylabel, material.results.direction, material.styles)


def feature_spectra(material: Material) -> Figure | None:
    """Singular values of each arm's best group."""
    found = {}
    for row in material.results.arms:
        kept = [material.store.trial(trial.trial_id).diagnostics() for trial in row.best.trials] if row.best else []
        found[row.arm] = [arrays[SPECTRUM] for arrays in kept if SPECTRUM in arrays]
    return figures.spectra(found, material.styles)


def history(material: Material) -> Figure | None:
    """Objective by proposal."""
    metric = material.results.metric
    outcomes = {
        row.arm: [Outcome(group.number, outcome(group, metric), group.status) for group in row.groups]
        for row in material.results.arms
    }
    return figures.optimisation_history(outcomes, material.ylabel, material.results.direction, material.styles)


def outcome(group: Group, metric: str) -> float | None:
    """What the history shows of a group: its mean, or where its first seed was when it was pruned."""
    value = group.mean(metric)
    if group.status == "pruned":
        epochs = group.trials[0].history
        value = epochs[-1].metrics.get(metric) if epochs else None
    return None if value is None else value * scale(metric)


def spread(material: Material) -> Figure | None:
    """Test metric of the best groups, seed by seed."""
    metric = material.results.test_metric
    values = {
        row.arm: {seed: value * scale(metric) for seed, value in by_seed(row.best, metric).items()}
        for row in material.results.arms
    }
    return figures.seed_spread(values, metric_label(metric), material.styles)


def learning(material: Material) -> Figure | None:
    """Objective of the best groups, epoch by epoch."""
    metric = material.results.metric
    curves = {}
    for row in material.results.arms:
        trials = row.best.trials if row.best else ()
        curves[row.arm] = [
            {
                report.epoch: report.metrics[metric] * scale(metric)
                for report in trial.history
                if metric in report.metrics
            }
            for trial in trials
        ]
    return figures.learning_curves(curves, material.ylabel, material.styles)


def importances(material: Material) -> Figure | None:
    """Importance of the hyperparameters."""
    groups = [group for row in material.results.arms for group in row.groups]
    return figures.importance_bars(importance(material.study, groups), material.styles)


def has(group: Group | None, metric: str) -> bool:
    """Whether the group has the metric."""
    return group is not None and group.mean(metric) is not None


def point(x: float, group: Group | None, metric: str) -> Point:
    """A group that has the metric, as figures show it."""
    summary = summarise(by_seed(group, metric))
    assert summary is not None
    factor = scale(metric)
    return Point(x, summary.mean * factor, None if summary.std is None else summary.std * factor)


def is_numeric(domain: Domain) -> bool:
    """Whether the values of `domain` have a place on an axis."""
    return not isinstance(domain, Choice) or all(is_number(value) for value in domain.options)


def is_number(value: Value) -> bool:
    """Whether `value` is a number; a switch is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def log_base(domain: Domain) -> Literal[0, 2, 10]:
    """Base of the axis: 10 for logarithmic ranges, 2 for choices of whole numbers far apart, 10 for other such."""
    if isinstance(domain, FloatRange | IntRange):
        return 10 if domain.log else 0
    numbers = [float(value) for value in domain.options]
    if min(numbers) <= 0 or max(numbers) < LOG_RATIO * min(numbers):
        powers = all(number > 0 and math.log2(number).is_integer() for number in numbers)
        return 2 if powers else 0
    return 2 if all(number.is_integer() for number in numbers) else 10


FIGURES: Figures = {
    "h_curve": (
        "Performance against the bottleneck dimension",
        "At each H the configuration that is best on validation, mean ± 1 std over seeds; faint points are all "
        "complete configurations. Dashed lines: best configuration of each arm without a bottleneck, with ± 1 std as a "
        "bar in the right margin. The points were chosen on validation, whose panel therefore flatters. More than four "
        "arms get a panel each, on the test split, with the baseline and the arm that has the same loss without a "
        "bottleneck.",
        h_curve,
    ),
    "spectra": (
        "Singular values of the student's features",
        "Training features of each arm's best configuration. A line that falls off early uses few dimensions "
        "(dimensional collapse). The effective rank, exp of the entropy of the normalised values, is averaged over "
        "seeds.",
        feature_spectra,
    ),
    "seed_spread": (
        "Test results seed by seed",
        "Best configuration of each arm; a point is a seed, the bar beside the points is mean ± 1 std. Thin lines "
        "join the same seed, which shares teacher, initialisation and data order across arms.",
        spread,
    ),
    "learning_curves": (
        "Learning curves",
        "Objective after each epoch for the best configuration of each arm. The axis is scaled by the second half of "
        "training.",
        learning,
    ),
    "history": (
        "Optimisation history",
        "Every proposal of each arm in the order in which it was made.",
        history,
    ),
    "sweeps": (
        "Swept hyperparameters",
        "Every complete configuration, mean over seeds. The other hyperparameters differ from point to point.",
        sweeps,
    ),
    "importance": (
        "Importance of the hyperparameters",
        "PED-ANOVA (Optuna): which hyperparameters distinguish an arm's best configurations from all others, as shares "
        "that sum to 1. With few configurations this is a rough guide.",
        importances,
    ),
}
"""By file name: title, caption, and what draws the figure (or returns None)."""
