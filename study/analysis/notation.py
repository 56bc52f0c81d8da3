"""How hyperparameters and metrics are written in tables and figures: canonical names, the papers' symbols, units."""

import math

from search_spaces.domains import Value
from study.analysis.study_results import Summary
from study.config.study_config import Params

PARAMETERS: dict[str, str] = {
    "bottleneck_dim": "bottleneck dimension H",
    "temperature": "temperature T",
    "lambda_kd": "distillation weight λ (lambda_kd)",
    "lambda_ib": "bottleneck KL weight λ_IB (lambda_ib)",
    "batch_size": "batch size B",
    "lr": "learning rate (lr)",
    "weight_decay": "weight decay",
    "feature_dim": "feature dimension D",
}
"""Axis labels of the hyperparameters that have a name or a symbol in the papers."""

SPLITS = {"val": "validation", "test": "test", "train": "training"}

RECALLS: dict[str, str] = {
    f"{way}_r{most}": f"{words} R@{most}"
    for way, words in (("i2t", "image→text"), ("t2i", "text→image"))
    for most in (1, 5, 10)
}

METRICS: dict[str, str] = {
    **RECALLS,
    **{f"1k_{name}": f"{words} (1k folds)" for name, words in RECALLS.items()},
    "i2t_median_rank": "image→text median rank",
    "t2i_median_rank": "text→image median rank",
    "top1": "zero-shot top-1",
    "top5": "zero-shot top-5",
    "ensemble_top1": "zero-shot top-1 (prompt ensemble)",
    "ensemble_top5": "zero-shot top-5 (prompt ensemble)",
}
"""Metrics whose name in tables differs from their key."""

PERCENT = frozenset({"accuracy", "top5_accuracy", "macro_f1", "weighted_f1"}) | frozenset(
    name for name in METRICS if not name.endswith("rank")
)
"""Metrics between 0 and 1 that are shown in percent. Files for programs (CSV, JSON) have the raw values."""


def parameter_label(name: str) -> str:
    """Axis label of a hyperparameter."""
    return PARAMETERS.get(name, name)


def metric_label(metric: str) -> str:
    """Axis label of a metric key: `val/accuracy` is `validation accuracy (%)`."""
    return f"{metric_name(metric)} (%)" if scale(metric) == 100 else metric_name(metric)


def metric_name(metric: str) -> str:
    """A metric key in words, without a unit."""
    split, _, name = metric.partition("/")
    return f"{SPLITS.get(split, split)} {METRICS.get(name, name.replace('_', ' '))}"


def scale(metric: str) -> int:
    """What a raw value is multiplied with before it is shown: 100 for percentages, else 1."""
    return 100 if metric.partition("/")[2] in PERCENT else 1


def show_value(value: float, metric: str, sign: str = "") -> str:
    """A metric's value as tables print it: two decimals of a percentage, one of a rank, four of anything else."""
    digits = 2 if scale(metric) == 100 else 1 if metric.endswith("_rank") else 4
    return f"{value * scale(metric):{sign}.{digits}f}"


def show_summary(summary: Summary | None, metric: str) -> str:
    """`mean ± std`, the mean alone for one seed, a dash without a value."""
    if summary is None:
        return "–"
    mean = show_value(summary.mean, metric)
    return mean if summary.std is None else f"{mean} ± {show_value(summary.std, metric)}"


def show_difference(difference: float, metric: str) -> str:
    """A signed difference in words: percentage points, or the metric's own unit."""
    return show_value(difference, metric, "+") + (" points" if scale(metric) == 100 else "")


def show_p(p: float | None) -> str:
    """A p-value to three decimals, `< 0.001` below, a dash without one."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def equals_p(p: float | None) -> str:
    """`p = 0.012`, or `p < 0.001`: for running text."""
    shown = show_p(p)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def show_param(value: Value) -> str:
    """A hyperparameter's value to four significant digits."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def show_params(params: Params) -> str:
    """`name = value` of every swept hyperparameter; a dash without any."""
    return ", ".join(f"{name} = {show_param(value)}" for name, value in params.items()) or "–"
