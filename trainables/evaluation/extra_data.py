"""Further data on which a trained student is measured, without being trained on it (`TrialConfig.evaluate`)."""

import torch

from trainables.config import TrialConfig
from trainables.evaluation.final_metrics import assess
from trainables.models.base import Model
from trainables.stages.artifacts import StageStore
from trainables.stages.stages import evaluation_stage, read_paired
from trainables.training.inputs import seen_by


def further_metrics(config: TrialConfig, student: Model, stages: StageStore, device: torch.device) -> dict[str, float]:
    """Every metric of the student on the test split of each of the trial's further data, as `<name>/<metric>`."""
    found: dict[str, float] = {}
    for evaluation in config.evaluate:
        data = read_paired(stages, evaluation_stage(config, evaluation))
        test = seen_by(config.student, "student", data.test)
        measured = assess(student, data, test, evaluation.data.task, device)
        found |= {f"{evaluation.name}/{metric}": value for metric, value in measured.items()}
    return found
