"""A study of contrastive distillation with a filled store, made without training."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from search_spaces.domains import Choice
from study.config.study_config import (
    Arm,
    Objective,
    ReportConfig,
    ResourcesConfig,
    SearchConfig,
    StudyConfig,
    TrackingConfig,
)
from study.storage.store import Proposal, StudyStore
from tests.helpers.tiny_clip import ENTRIES
from trainables.common.types import EpochReport, TrialResult
from trainables.config import CHOICES, TrialConfig
from trainables.data import DATASETS
from trainables.diagnostics.contrastive import clip_arrays

ARMS = {
    "cl": {},
    "kl_mse": {"kl": 1.0, "mse": 1.0},
    "mi": {"mi": 1.0},
    "te1": {"te1": 1.0},
    "te2": {"te2": 1.0},
    "unified": {"crd": 1.0, "fd": 2000.0, "icl": 1.0},
}
RECALLS = [f"{way}_r{most}" for way in ("i2t", "t2i") for most in (1, 5, 10)]
SPACE = {"temperature": Choice((0.03, 0.07)), "batch_size": Choice((64, 128))}


@contextmanager
def captioned_data() -> Iterator[None]:
    """Adds the generated captioned data to the data sets within a block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, entry in ENTRIES.items():
            patch.setitem(DATASETS, name, entry)
            patch.setitem(CHOICES["data"][1], name, entry.config)
        yield


def clip_study(root: Path, arms: dict[str, dict[str, float]] = ARMS, seeds: tuple[int, ...] = (0, 1, 2)) -> StudyConfig:
    return StudyConfig(
        study="clip",
        arms=tuple(Arm(name=name, base=trial_config(weights), space=SPACE) for name, weights in arms.items()),
        search=SearchConfig(
            trials=4, seeds=seeds, sampler="grid", pruner="none", objectives=(Objective(metric="val/i2t_r1"),)
        ),
        resources=ResourcesConfig(),
        tracking=TrackingConfig(uri=f"sqlite:///{root}/mlflow.db", experiment="clip"),
        report=ReportConfig(baseline=next(iter(arms))),
        studies=root,
        source="study: clip\n",
    )


def trial_config(weights: dict[str, float]) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "data": {"dataset": "captioned"},
            "teacher": {"model": "clip", "feature_dim": 8},
            "student": {"model": "clip", "feature_dim": 8},
            "method": {"method": "clip_kd", **weights},
            "training": {"epochs": 3, "monitor": "val/i2t_r1"},
        }
    )


def write_group(
    study: StudyConfig,
    store: StudyStore,
    arm: str,
    recalls: list[float],
    *,
    falls: list[float] | None = None,
    arrays: list[dict[str, np.ndarray]] | None = None,
    **params: float,
) -> None:
    """One complete configuration: R@1 of each seed (others follow), and by what part KL and MSE fell."""
    values = {"temperature": 0.07, "batch_size": 64, **params}
    number = len(store.proposals(arm))
    configs = [study.arm(arm).trial(values, seed) for seed in study.search.seeds]
    store.propose(Proposal(arm, number, configs[0].group_id, values))
    for place, (config, recall) in enumerate(zip(configs, recalls, strict=True)):
        trial = store.trial(config.trial_id)
        trial.begin(config, 0)
        fall = falls[place] if falls else 0.5
        for epoch in (1, 2, 3):
            left = 1 - fall * (epoch - 1) / 2
            gap = {"val/teacher_kl": 2 * left, "val/teacher_kl_fixed": 3 * left, "val/teacher_mse": left}
            trial.append(EpochReport(epoch, {"val/i2t_r1": recall * epoch / 3, **gap}))
        metrics = {"val/i2t_r1": recall, "test/i2t_median_rank": 9.0}
        for split, factor in (("test", 1.0), ("openmoji", 0.5)):
            metrics |= {f"{split}/{name}": factor * (recall + 0.05 * step) for step, name in enumerate(RECALLS)}
        if arrays:
            trial.write_diagnostics(arrays[place])
        trial.finish(TrialResult("complete", metrics, 3, 3, 1.0))


def kept_by(student: torch.Tensor, teacher: torch.Tensor) -> dict[str, np.ndarray]:
    """The arrays that a trial stores of embeddings (rows, 2, dim)."""
    return {name: array.numpy() for name, array in clip_arrays(student, teacher, student, 64).items()}


def fill(study: StudyConfig, store: StudyStore) -> None:
    """Every configuration of every arm; each arm is closer to the teacher than the previous one."""
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(80, 2, 8, generator=generator)
    for place, arm in enumerate(study.arms):
        for temperature in (0.03, 0.07):
            for batch_size in (64, 128):
                noise = [torch.randn(80, 2, 8, generator=generator) for _ in study.search.seeds]
                write_group(
                    study,
                    store,
                    arm.name,
                    list(0.2 + 0.03 * place - temperature + rng.normal(0, 0.005, len(study.search.seeds))),
                    falls=list(0.8 - 4 * temperature + rng.normal(0, 0.01, len(study.search.seeds))),
                    arrays=[kept_by(teacher + (1.5 - 0.2 * place) * each, teacher) for each in noise],
                    temperature=temperature,
                    batch_size=batch_size,
                )
