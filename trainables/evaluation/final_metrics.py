"""Final metrics of a trained contrastive student: the task's metrics, and those that are computed only at the end.

After every epoch only the task's metrics are computed, on the validation split. On a test split, of the trial's data or
of additional data (`TrialConfig.evaluate`), COCO's 1k folds and the ensemble of prompts are computed as well.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.common.types import Batch, PairedData
from trainables.config import TrialConfig
from trainables.metrics.retrieval import fold_metrics
from trainables.metrics.zero_shot import class_embeddings, top_accuracies
from trainables.models.base import Model
from trainables.models.contrastive.base import ContrastiveModel
from trainables.stages.artifacts import StageStore
from trainables.stages.prepared import evaluation_stage, read_prepared
from trainables.tasks import TASKS, evaluate
from trainables.training.inputs import network_inputs, split_for
from trainables.training.session import run_chunks

PROMPT_ROWS = 1024
"""Prompts in one forward pass."""


def extra_data_metrics(
    config: TrialConfig, student: Model, stages: StageStore, device: torch.device
) -> dict[str, float]:
    """The student's metrics on the test split of each entry of `config.evaluate`, as `<name>/<metric>`."""
    found: dict[str, float] = {}
    for evaluation in config.evaluate:
        data = read_prepared(stages, evaluation_stage(config, evaluation))
        test = split_for(config.student, "student", data.test)
        measured = final_split_metrics(student, data, test, evaluation.data.task, device)
        found |= {f"{evaluation.name}/{metric}": value for metric, value in measured.items()}
    return found


@torch.no_grad()
def final_split_metrics(
    model: Model, data: PairedData, split: Batch, task: str, device: torch.device
) -> dict[str, float]:
    """Every metric of `model` on a split.

    For `retrieval` with two folds or more also `1k_i2t_r1` and so on. For `zero_shot` with prompts, `top1` and `top5`
    are measured against all classes instead of those that occur, and `ensemble_top1` and `ensemble_top5` are added.

    Args:
        model: the trained student.
        data: the data set of the split; gives the prompts.
        split: rows with the student's inputs, as `split_for` returns them.
        task: name of the task in `TASKS`.
        device: where the model is.

    Returns:
        Metrics by name, rates as fractions.

    """
    logits = torch.cat([part.logits for part in run_chunks(model, network_inputs(split), device)]).double()
    found = evaluate(TASKS[task], logits, split.labels.to(device))
    extra = EXTRA_METRICS.get(task)
    if extra is not None and isinstance(model, ContrastiveModel):
        found |= {name: value.item() for name, value in extra(model, data, split, logits, device).items()}
    return found


def fold_recalls(
    model: ContrastiveModel, data: PairedData, split: Batch, logits: Tensor, device: torch.device
) -> dict[str, Tensor]:
    """The recalls and median ranks of folds of 1,000 images."""
    return {f"1k_{name}": value for name, value in fold_metrics(logits, split.labels.to(device)).items()}


def prompt_accuracies(
    model: ContrastiveModel, data: PairedData, split: Batch, logits: Tensor, device: torch.device
) -> dict[str, Tensor]:
    """Accuracies against all classes, by the single prompt and by the ensemble of templates."""
    if data.prompts is None:
        return {}
    flat = data.prompts.flatten(0, 1).to(device)
    with torch.no_grad():
        texts = torch.cat([model.encode_text(part) for part in flat.split(PROMPT_ROWS)])
    table = texts.double().unflatten(0, data.prompts.shape[:2])
    single, ensemble = class_embeddings(table[:, :1]), class_embeddings(table)
    images, labels = logits[:, 0], split.labels.to(device)
    together = top_accuracies(images, ensemble, labels)
    return top_accuracies(images, single, labels) | {f"ensemble_{name}": value for name, value in together.items()}


EXTRA_METRICS: dict[str, Callable[..., dict[str, Tensor]]] = {"retrieval": fold_recalls, "zero_shot": prompt_accuracies}
"""By task: the metrics that the final measurement adds or replaces."""
