"""Which stages a trial needs, and which of them computes the outputs that its student imitates."""

from collections.abc import Callable

import torch

from trainables.common.types import ModelOutput
from trainables.config import TrialConfig
from trainables.methods.base import TeacherSource
from trainables.stages.artifacts import Stage, StageStore
from trainables.stages.bottleneck import bottleneck_stage
from trainables.stages.channel_ablation import nullified_stage
from trainables.stages.networks import outputs_stage, teacher_stage
from trainables.stages.prepared import evaluation_stage, prepared_stage

TARGETS: dict[TeacherSource, Callable[[TrialConfig], Stage | None]] = {
    "nothing": lambda config: None,
    "teacher": teacher_stage,
    "bottleneck": bottleneck_stage,
    "nullified": nullified_stage,
}
"""For each teacher source: the stage whose train arrays are the method's `teacher_out`."""


def target_stage(config: TrialConfig) -> Stage | None:
    """The stage of the outputs that the trial's student imitates; None without distillation."""
    return TARGETS[config.method.teacher_source](config)


def required_stages(config: TrialConfig) -> list[Stage]:
    """Every stage that the trial needs, parents before children, each once."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        for parent in stage.parents():
            visit(parent)
        found[stage.key] = stage

    further = (evaluation_stage(config, evaluation) for evaluation in config.evaluate)
    for stage in (prepared_stage(config), target_stage(config), *further):
        if stage is not None:
            visit(stage)
    return list(found.values())


def read_targets(stages: StageStore, config: TrialConfig, device: torch.device) -> ModelOutput | None:
    """The outputs that the student imitates, for every training row; None without distillation.

    A bottleneck has no logits, so those of its teacher are returned with its features.
    """
    stage = target_stage(config)
    if stage is None:
        return None
    arrays = stages.get(stage, device).arrays
    logits = arrays if "train/logits" in arrays else stages.get(outputs_stage(config, "teacher"), device).arrays
    return ModelOutput(logits["train/logits"], arrays["train/features"], arrays.get("train/embeddings"))
