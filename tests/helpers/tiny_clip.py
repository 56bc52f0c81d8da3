"""A transformer CLIP for open_clip small enough for tests, and captioned data to train on."""

import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Literal

import open_clip
import torch
from torch import Tensor

from trainables.common.types import Batch, PairedData
from trainables.data.common.base import DataConfig, Dataset, DataShape

TINY = "tiny-test-clip"

SETTINGS: dict[str, Any] = {
    "embed_dim": 6,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 8, "head_width": 4, "patch_size": 8},
    "text_cfg": {"context_length": 10, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / f"{TINY}.json"
    path.write_text(json.dumps(SETTINGS))
    open_clip.add_model_config(path)

START, END = 49406, 49407
VIEWS, CAPTIONS, LENGTH, SIDE, CLASSES = 2, 3, 8, 16, 5


class CaptionedConfig(DataConfig):
    """Squares of a colour in a corner, and captions of the two words for them."""

    task: ClassVar[str] = "retrieval"
    dataset: Literal["captioned"] = "captioned"
    """Generated for tests."""
    train: int = 32
    """Rows of the training split."""


class ClassifiedConfig(CaptionedConfig):
    """The same pictures with the single prompt of their colour."""

    task: ClassVar[str] = "zero_shot"
    dataset: Literal["classified"] = "classified"  # pyright: ignore[reportIncompatibleVariableOverride]
    """Generated for tests."""


def captions(colours: Tensor, corners: Tensor) -> Tensor:
    """Both words, the colour alone, the corner alone."""
    words = torch.zeros(len(colours), CAPTIONS, LENGTH, dtype=torch.int32)
    words[..., 0] = START
    words[:, 0, 1], words[:, 0, 2], words[:, 0, 3] = 1000 + colours, 2000 + corners, END
    words[:, 1, 1], words[:, 1, 2] = 1000 + colours, END
    words[:, 2, 1], words[:, 2, 2] = 2000 + corners, END
    return words


def split(rows: int, views: int, seed: int, classes: bool) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    colours, corners = torch.arange(rows) % CLASSES, torch.arange(rows) // CLASSES % 4
    images = torch.randint(60, (rows, views, 3, SIDE, SIDE), generator=generator).to(torch.uint8)
    for row in range(rows):
        top, left = int(corners[row]) // 2 * 8, int(corners[row]) % 2 * 8
        tint = torch.tensor([255, 60 * int(colours[row]), 255 - 60 * int(colours[row])], dtype=torch.uint8)
        images[row, :, :, top : top + 8, left : left + 8] = tint.view(3, 1, 1)
    texts = captions(colours, corners)
    exists = torch.ones(rows, CAPTIONS, dtype=torch.bool)
    exists[1::2, 2] = False
    known = torch.ones(rows, dtype=torch.bool)
    if classes:
        return Batch(images, texts[:, 1:2].contiguous(), colours, known, torch.arange(rows))
    return Batch(images, texts * exists[..., None], exists, known, torch.arange(rows))


def load(config: CaptionedConfig) -> PairedData:
    classes = config.task == "zero_shot"
    parts = [split(config.train, VIEWS, 0, classes), split(20, 1, 1, classes), split(20, 1, 2, classes)]
    prompts = captions(torch.arange(CLASSES), torch.arange(CLASSES) % 4)[:, [1, 0]].contiguous() if classes else None
    return PairedData(*parts, num_classes=CLASSES if classes else CAPTIONS, prompts=prompts)


def shape(config: CaptionedConfig) -> DataShape:
    classes = config.task == "zero_shot"
    texts = (1 if classes else CAPTIONS, LENGTH)
    return DataShape((VIEWS, 3, SIDE, SIDE), texts, CLASSES if classes else CAPTIONS, config.train, 20, 20)


ENTRIES = {
    "captioned": Dataset(CaptionedConfig, load, lambda config: "captioned", shape),
    "classified": Dataset(ClassifiedConfig, load, lambda config: "classified", shape),
}
