"""A small study with a filled store, made without training, for code that only reads stores."""

from pathlib import Path

import numpy as np

from search_spaces.domains import Choice, FloatRange
from study.config.resolved_study import ResolvedStudy
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
from trainables.common.types import EpochReport, TrialError, TrialResult
from trainables.config import TrialConfig

BASE = {"data": {"dataset": "mfeat"}, "teacher": {"model": "mlp"}, "student": {"model": "mlp"}}


def example_study(root: Path, **search: object) -> ResolvedStudy:
    """Three arms: none (batch size), kd (lambda, temperature, batch size), ciba (H, batch size)."""
    batch = {"batch_size": Choice((32, 64))}
    arms = (
        Arm(name="none", base=trial_config("none"), space=batch),
        Arm(
            name="kd",
            base=trial_config("kd"),
            space={"lambda_kd": FloatRange(0.1, 0.9), "temperature": FloatRange(1.0, 8.0, log=True), **batch},
        ),
        Arm(name="ciba", base=trial_config("ciba"), space={"bottleneck_dim": Choice((2, 4, 8, 16, 32)), **batch}),
    )
    return ResolvedStudy(
        study="example",
        arms=arms,
        search=SearchConfig(**{"trials": 6, "seeds": (0, 1, 2), "objectives": (Objective(),), **search}),
        resources=ResourcesConfig(),
        tracking=TrackingConfig(uri=f"sqlite:///{root}/mlflow.db", experiment="example"),
        report=ReportConfig(baseline="none"),
        studies=root,
        source="study: example\n",
    )


def trial_config(method: str) -> TrialConfig:
    return TrialConfig.model_validate({**BASE, "method": {"method": method}, "training": {"epochs": 4}})


def fill(study: StudyConfig, store: StudyStore, groups: int = 5) -> None:
    """`groups` configurations for each arm: most complete, number 2 pruned, number 3 with one failed seed."""
    rng = np.random.default_rng(0)
    for shift, arm in enumerate(study.arms):
        for number in range(min(groups, arm.size() or groups)):
            params = {name: pick(domain, number) for name, domain in arm.space.items()}
            first = arm.trial(params, study.search.seeds[0])
            store.propose(Proposal(arm.name, number, first.group_id, params))
            for seed in study.search.seeds:
                status = {2: "pruned", 3: "failed" if seed == 1 else "complete"}.get(number, "complete")
                write_trial(store, arm.trial(params, seed), status, 0.7 + 0.02 * shift, rng)
                if status == "pruned":
                    break


def pick(domain: object, number: int) -> object:
    grid = domain.grid()
    return grid[number % len(grid)] if grid else domain.low + (domain.high - domain.low) * (number + 0.5) / 8


def write_trial(store: StudyStore, config: TrialConfig, status: str, level: float, rng: np.random.Generator) -> None:
    trial = store.trial(config.trial_id)
    trial.begin(config, 0)
    epochs = {"complete": 4, "pruned": 2, "failed": 1}[status]
    for epoch in range(1, epochs + 1):
        metrics = {"train/loss": 2 / epoch, "val/loss": 2.2 / epoch}
        metrics["val/accuracy"] = level * epoch / 4 + rng.normal(0, 0.01)
        metrics |= {f"train/loss_{term}": 1 / epoch for term in config.method.active_terms}
        trial.append(EpochReport(epoch, metrics))
    last = trial.history()[-1].metrics
    error = TrialError("NonFiniteLossError", "loss is nan", 2, 17, "Traceback ...") if status == "failed" else None
    if status == "complete":
        last = last | {"test/accuracy": last["val/accuracy"] - 0.01, "test/loss": 0.6}
    trial.write_diagnostics(
        {"features/train": np.sort(rng.gamma(2.0, size=128))[::-1].astype(np.float32), **small_arrays(config)}
    )
    trial.finish(TrialResult(status, last, epochs, epochs, 1.5, ("prepared/aa",), ("teacher/bb",), 2.5, error))


def small_arrays(config: TrialConfig) -> dict[str, np.ndarray]:
    """Weight spectra and feature samples as a trial stores them, from a separate generator."""
    rng = np.random.default_rng(config.seed)
    arrays = {name: np.sort(rng.gamma(2.0, size=10))[::-1] for name in ("weights/tap", "weights/head")}
    arrays |= {name: rng.standard_normal((30, 12)) for name in ("sample/student", "sample/teacher")}
    if config.method.teacher_source == "nothing":
        del arrays["sample/teacher"]
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def write_result(
    study: StudyConfig, store: StudyStore, arm: str, number: int, params: dict, accuracies: list[tuple[float, float]]
) -> None:
    """One complete group with exactly these (validation, test) accuracies, one pair for each of the study's seeds."""
    configs = [study.arm(arm).trial(params, seed) for seed in study.search.seeds]
    store.propose(Proposal(arm, number, configs[0].group_id, params))
    for config, (val, test) in zip(configs, accuracies, strict=True):
        trial = store.trial(config.trial_id)
        trial.begin(config, 0)
        trial.append(EpochReport(1, {"val/accuracy": val}))
        trial.finish(TrialResult("complete", {"val/accuracy": val, "test/accuracy": test}, 1, 1, 1.0))
