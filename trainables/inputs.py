"""Inputs on their way from a stored split to a network.

Numbers are moved to the device once. Pictures may be stored as uint8, a quarter of the size, and spectrograms as
float16, half of it: they stay where they are (memory-mapped, on the CPU) and are turned into numbers batch by batch,
so that a split need not fit into memory.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from trainables.models.base import ModelConfig
from trainables.types import Batch, PairedData

CHUNK_ROWS = 4096
"""Most rows of one forward pass outside training: enough to keep a GPU busy."""

COMPACT = (torch.uint8, torch.float16)
"""Number formats of inputs that stay where they are."""

CHUNK_NUMBERS = 2**24
"""Most input numbers of one such pass, so that large pictures fit."""


def to_device(data: PairedData, device: torch.device, dtype: torch.dtype) -> PairedData:
    """All splits on `device`, inputs in the number format `dtype`; compact inputs stay as they are."""

    def place(inputs: Tensor) -> Tensor:
        return inputs if inputs.dtype in COMPACT else inputs.to(device, dtype)

    def move(split: Batch) -> Batch:
        return Batch(place(split.teacher), place(split.student), *(part.to(device) for part in split[2:]))

    return PairedData(move(data.train), move(data.val), move(data.test), data.num_classes, data.notes)


def take(inputs: Tensor, rows: Int[Tensor, " batch"], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Rows of stored inputs as a network takes them: on `device` in `dtype`, pictures as numbers in [0, 1]."""
    return as_numbers(inputs[rows.to(inputs.device)], device, dtype)


def as_numbers(inputs: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Stored inputs on `device` in `dtype`; uint8 is divided by 255."""
    moved = inputs.to(device)
    return moved.to(dtype) / 255 if moved.dtype == torch.uint8 else moved.to(dtype)


def seen_by(model: ModelConfig, role: str, split: Batch) -> Batch:
    """The split as the training of one network takes it: its own inputs in the student's place.

    Inputs that it does not see are left out (no columns). A network that sees both keeps both.
    """
    if model.sees == "both":
        return split
    own = split.teacher if role == "teacher" else split.student
    return split._replace(student=own, teacher=own.new_empty(len(own), 0))


def inputs_of(split: Batch) -> tuple[Tensor, ...]:
    """What a network is called with for a split that `seen_by` made."""
    return (split.student,) if split.teacher.shape[1:] == (0,) else (split.teacher, split.student)


def chunk_rows(inputs: tuple[Tensor, ...]) -> int:
    """Rows of one forward pass outside training."""
    numbers = max(1, sum(part[:1].numel() for part in inputs))
    return max(1, min(CHUNK_ROWS, CHUNK_NUMBERS // numbers))
