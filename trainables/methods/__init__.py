"""Distillation methods: one file each, and one entry here."""

from collections.abc import Callable
from typing import Any, NamedTuple

from trainables.methods.base import Method, MethodConfig
from trainables.methods.ciba import CIBA, CIBAConfig
from trainables.methods.clip_kd import ClipKD, ClipKDConfig
from trainables.methods.feature_kd import FeatureKD, FeatureKDConfig
from trainables.methods.kd import KD, KDConfig
from trainables.methods.none import NoDistillation, NoneConfig
from trainables.methods.nullified_kd import NullifiedKD, NullifiedKDConfig
from trainables.methods.regression_kd import RegressionKD, RegressionKDConfig


class MethodEntry(NamedTuple):
    """One line of `METHODS`."""

    config: type[MethodConfig]
    build: Callable[..., Method[Any]]
    """`build(config, student_dim, teacher_dim, task) -> Method`; dimensions are feature widths (0: no teacher)."""


METHODS: dict[str, MethodEntry] = {
    "none": MethodEntry(NoneConfig, NoDistillation),
    "kd": MethodEntry(KDConfig, KD),
    "regression_kd": MethodEntry(RegressionKDConfig, RegressionKD),
    "feature_kd": MethodEntry(FeatureKDConfig, FeatureKD),
    "ciba": MethodEntry(CIBAConfig, CIBA),
    "nullified_kd": MethodEntry(NullifiedKDConfig, NullifiedKD),
    "clip_kd": MethodEntry(ClipKDConfig, ClipKD),
}
