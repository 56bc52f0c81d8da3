"""The inputs of a network, from a stored split.

Float32 inputs are moved to the device once. Images may be stored as uint8 (a quarter of the size) and spectrograms as
float16 (half of it). These stay memory-mapped on the CPU and are converted batch by batch, so a split may be larger
than the memory.
"""

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from trainables.common.types import Batch, PairedData
from trainables.models.base import ModelConfig

CHUNK_ROWS = 4096
"""Maximum number of rows in one forward pass outside training; enough to keep a GPU busy."""

COMPACT = (torch.uint8, torch.float16)
"""Number formats of inputs that stay on the CPU."""

CHUNK_NUMBERS = 2**24
"""Maximum number of input values in such a pass, so that large images fit into memory."""


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
    """Rows of stored inputs, as a network takes them.

    Args:
        inputs: stored inputs, (rows, ...), or (rows, several, ...) with `places`.
        rows: row numbers.
        device: where the result is.
        dtype: number format of the result; token numbers keep theirs.
        places: for rows with several inputs, the index of the one to return.

    Returns:
        (batch, ...), or (batch, 1, ...) with `places`; images as numbers in [0, 1].

    """
    rows = rows.to(inputs.device)
    taken = inputs[rows] if places is None else inputs[rows, places.to(inputs.device)][:, None]
    return as_numbers(taken, device, dtype)


def as_numbers(inputs: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Stored inputs on `device` in `dtype`; uint8 is divided by 255, other integers (tokens) keep their format."""
    moved = inputs.to(device)
    if moved.dtype == torch.uint8:
        return moved.to(dtype) / 255
    return moved.to(dtype) if moved.is_floating_point() else moved


def split_for(model: ModelConfig, role: str, split: Batch) -> Batch:
    """The split for the training of one network.

    Args:
        model: the network.
        role: "teacher" or "student", the modality that it sees.
        split: rows with the inputs of both modalities.

    Returns:
        The rows with the network's inputs as `student` and no columns in `teacher`; both if the network sees both.

    """
    if model.sees == "both":
        return split
    own = split.teacher if role == "teacher" else split.student
    return split._replace(student=own, teacher=own.new_empty(len(own), 0))


def network_inputs(split: Batch) -> tuple[Tensor, ...]:
    """The arguments of a network's forward pass, from a split that `split_for` returned."""
    return (split.student,) if split.teacher.shape[1:] == (0,) else (split.teacher, split.student)


def chunk_rows(inputs: tuple[Tensor, ...]) -> int:
    """Rows of one forward pass outside training."""
    numbers = max(1, sum(part[:1].numel() for part in inputs))
    return max(1, min(CHUNK_ROWS, CHUNK_NUMBERS // numbers))
