"""What one optimisation step works on: the student's inputs, the teacher's outputs and the labels of its rows."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from trainables.common.distributed import Workers
from trainables.common.types import Batch, ModelOutput
from trainables.common.view_sampling import ViewSample
from trainables.data.readers.lazy_images import LazyImages
from trainables.losses.masking import mask_patches, sample_hidden
from trainables.methods.base import MethodConfig
from trainables.models.base import Model
from trainables.training.inputs import network_inputs, select_rows


class Step(NamedTuple):
    """The rows of one step."""

    inputs: tuple[Tensor, ...]
    """This rank's, as a network takes them."""
    teacher_out: ModelOutput | None
    """For the global batch; None without a teacher."""
    batch: Batch
    """Labels of the global batch; its inputs are left out (no columns)."""


def read_ahead(
    train: Batch,
    batches: Sequence[Int[Tensor, " batch"]],
    draw: Callable[[Batch, Tensor, torch.Generator], ViewSample] | None,
    drawn: torch.Generator,
    workers: Workers,
) -> None:
    """Say which rows `make_step` will be given, so that pictures that stay in their files are decoded in time.

    Args:
        train: training rows.
        batches: the global batches of an epoch, in turn.
        draw: how their views and captions are drawn, if they are.
        drawn: from which they will be; it is left as it is.
        workers: as for `make_step`.

    """
    for number, part in enumerate(network_inputs(train)):
        if isinstance(part, LazyImages):
            same = torch.Generator().set_state(drawn.get_state())
            places = [None if draw is None else workers.shard(draw(train, rows, same)[number]) for rows in batches]
            part.prefetch(zip(map(workers.shard, batches), places, strict=True))


def make_step(
    train: Batch,
    teacher: ModelOutput | Model | None,
    rows: Int[Tensor, " batch"],
    draw: ViewSample | None,
    workers: Workers,
    dtype: torch.dtype,
) -> Step:
    """The step on `rows` of the training split.

    Args:
        train: training rows as `trainables.training.inputs.split_for` gives them to the student.
        teacher: outputs for all of them, in the same order; or a frozen network, which is given what the student sees.
        rows: the global batch.
        draw: what each row shows, where it has several pictures and captions.
        workers: this process's place among those that share the batch.
        dtype: number format of the inputs.

    """
    stored = network_inputs(train)
    places = draw or (None,) * len(stored)
    inputs = tuple(
        select_rows(part, workers.shard(rows), workers.device, dtype, None if place is None else workers.shard(place))
        for part, place in zip(stored, places, strict=True)
    )
    nothing = train.labels.new_empty(len(rows), 0)
    batch = Batch(nothing, nothing, *(part[rows.to(part.device)] for part in train[2:]))
    return Step(inputs, teacher_outputs(train, teacher, inputs, rows, draw, workers), batch)


def teacher_outputs(
    train: Batch,
    teacher: ModelOutput | Model | None,
    inputs: tuple[Tensor, ...],
    rows: Int[Tensor, " batch"],
    draw: ViewSample | None,
    workers: Workers,
) -> ModelOutput | None:
    """What the student imitates: the stored outputs, picked as its inputs were, or the teacher's on those inputs."""
    if isinstance(teacher, Model):
        with torch.no_grad():
            return teacher(*inputs).map(workers.gather)
    if teacher is None:
        return None
    chosen = teacher.map(lambda part: part[rows])
    return chosen if draw is None else draw.of_outputs(chosen, train.teacher.shape[1])


def with_masked_view(
    inputs: tuple[Tensor, ...], method: MethodConfig, rows: int, workers: Workers, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """The inputs, with a second, partly hidden view of each image where the method wants one.

    What is hidden is drawn for the `rows` of the global batch, on every rank alike.
    """
    if method.masked_fraction == 0:
        return inputs
    images, captions = inputs
    size, patch = (images.shape[-2], images.shape[-1]), method.mask_patch
    hidden = workers.shard(sample_hidden(rows, size, method.masked_fraction, patch, generator))
    masked = mask_patches(images[:, 0], hidden, patch)
    return torch.stack([images[:, 0], masked], dim=1), captions
