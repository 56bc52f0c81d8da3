"""Inputs on their way from a stored split to a network.

Numbers are moved to the device once. Pictures may be stored as uint8, a quarter of the size, and spectrograms as
float16, half of it: they stay where they are (memory-mapped, on the CPU) and are turned into numbers batch by batch,
so that a split need not fit into memory.
"""

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from trainables.common.types import Batch, PairedData
from trainables.models.base import ModelConfig

CHUNK_ROWS = 4096
"""Most rows of one forward pass outside training: enough to keep a GPU busy."""

COMPACT = (torch.uint8, torch.float16)
"""Number formats of inputs that stay where they are."""

CHUNK_NUMBERS = 2**24
"""Most input numbers of one such pass, so that large pictures fit."""


def to_device(data: PairedData, device: torch.device, dtype: torch.dtype) -> PairedData:
    """All splits on `device`, inputs in the number format `dtype`; compact inputs stay as they are."""

    def place(inputs: Tensor) -> Tensor:
        if inputs.dtype in COMPACT:
            return inputs
        return inputs.to(device, dtype) if inputs.is_floating_point() else inputs.to(device)

    def move(split: Batch) -> Batch:
        return Batch(place(split.teacher), place(split.student), *(part.to(device) for part in split[2:]))

    return replace(data, train=move(data.train), val=move(data.val), test=move(data.test))


def select_rows(
    inputs: Tensor,
    rows: Int[Tensor, " batch"],
    device: torch.device,
    dtype: torch.dtype,
    places: Int[Tensor, " batch"] | None = None,
) -> Tensor:
    """Rows of stored inputs as a network takes them: on `device` in `dtype`, pictures as numbers in [0, 1].

    With `places` a row holds several inputs, of which it gives the one at its place: (batch, several, ...) becomes
    (batch, 1, ...).
    """
    rows = rows.to(inputs.device)
    taken = inputs[rows] if places is None else inputs[rows, places.to(inputs.device)][:, None]
    return as_numbers(taken, device, dtype)


def as_numbers(inputs: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Stored inputs on `device` in `dtype`; uint8 is divided by 255, other whole numbers (tokens) stay as they are."""
    moved = inputs.to(device)
    if moved.dtype == torch.uint8:
        return moved.to(dtype) / 255
    return moved.to(dtype) if moved.is_floating_point() else moved


def split_for(model: ModelConfig, role: str, split: Batch) -> Batch:
    """The split as the training of one network takes it: its own inputs in the student's place.

    Inputs that it does not see are left out (no columns). A network that sees both keeps both.
    """
    if model.sees == "both":
        return split
    own = split.teacher if role == "teacher" else split.student
    return split._replace(student=own, teacher=own.new_empty(len(own), 0))


def network_inputs(split: Batch) -> tuple[Tensor, ...]:
    """What a network is called with for a split that `split_for` made."""
    return (split.student,) if split.teacher.shape[1:] == (0,) else (split.teacher, split.student)


def chunk_rows(inputs: tuple[Tensor, ...]) -> int:
    """Rows of one forward pass outside training."""
    numbers = max(1, sum(part[:1].numel() for part in inputs))
    return max(1, min(CHUNK_ROWS, CHUNK_NUMBERS // numbers))
