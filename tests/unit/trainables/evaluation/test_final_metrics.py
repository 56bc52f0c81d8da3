"""The final measurement of a trained student: folds of captioned images, prompts of classes."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.helpers.tiny_clip import ENTRIES
from trainables.common.types import PairedData
from trainables.evaluation import final_metrics as assessment
from trainables.evaluation.final_metrics import final_split_metrics
from trainables.metrics import retrieval
from trainables.metrics.retrieval import fold_metrics, retrieval_metrics
from trainables.models.contrastive.base import ContrastiveModel
from trainables.models.contrastive.clip import ClipConfig, build_clip

CPU = torch.device("cpu")


def student(seed: int = 0) -> ContrastiveModel:
    torch.manual_seed(seed)
    config = ClipConfig(channels=(4, 8), text_width=8, feature_dim=6)
    return build_clip(config, ((1, 3, 16, 16), (3, 8)), 3)


def data(name: str) -> PairedData:
    entry = ENTRIES[name]
    return entry.load(entry.config())


def logits_of(model: ContrastiveModel, images: Tensor, captions: Tensor) -> Tensor:
    with torch.no_grad():
        return model.eval()(images.float() / 255, captions).logits.double()


def test_captioned_images_have_the_tasks_metrics_and_their_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    model, paired = student(), data("captioned")
    logits = logits_of(model, paired.test.teacher, paired.test.student)
    whole = {name: value.item() for name, value in retrieval_metrics(logits, paired.test.labels).items()}
    assert final_split_metrics(model, paired, paired.test, "retrieval", CPU) == pytest.approx(whole)
    monkeypatch.setattr(assessment, "fold_metrics", lambda logits, labels: fold_metrics(logits, labels, 10))
    found = final_split_metrics(model, paired, paired.test, "retrieval", CPU)
    folds = fold_metrics(logits, paired.test.labels, 10)
    assert found == pytest.approx(whole | {f"1k_{name}": value.item() for name, value in folds.items()})
    assert found["1k_t2i_median_rank"] < found["t2i_median_rank"]


@pytest.mark.parametrize("rows", [1024, 3])
def test_classes_are_found_by_their_prompts_alone_and_together(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assessment, "PROMPT_ROWS", rows)
    model, paired = student(seed=6), data("classified")
    found = final_split_metrics(model, paired, paired.test, "zero_shot", CPU)
    assert paired.prompts is not None and found["top1"] != found["ensemble_top1"]
    with torch.no_grad():
        images = model.eval().encode_images(paired.test.teacher[:, 0].float() / 255)
        texts = functional.normalize(model.encode_text(paired.prompts.flatten(0, 1)), dim=1).unflatten(0, (5, 2))
    for prefix, table in (("", texts[:, 0]), ("ensemble_", texts.mean(dim=1))):
        similar = functional.normalize(images, dim=1) @ functional.normalize(table, dim=1).T
        hits = (similar.argmax(dim=1) == paired.test.labels).float().mean().item()
        assert found[f"{prefix}top1"] == pytest.approx(hits) and found[f"{prefix}top5"] == 1
    assert set(found) == {"top1", "top5", "loss", "ensemble_top1", "ensemble_top5"}


def test_a_split_without_a_class_still_has_it_among_the_candidates() -> None:
    model, paired = student(), data("classified")
    without = PairedData(paired.train, paired.val, paired.test, num_classes=5)
    found = []
    for label in paired.test.labels.unique():
        kept = paired.test.labels == label
        one = type(paired.test)(*(part[kept] for part in paired.test))
        assert final_split_metrics(model, without, one, "zero_shot", CPU)["top1"] == 1, "only one class occurs"
        found.append(final_split_metrics(model, paired, one, "zero_shot", CPU)["top1"])
    assert min(found) < 1, "an untrained student does not know every class"


def test_folds_are_of_a_thousand_images() -> None:
    assert retrieval.FOLD == 1000
