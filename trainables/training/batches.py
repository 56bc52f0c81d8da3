"""The data of one optimisation step: the student's inputs, the teacher's outputs and the labels."""

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
    """The data of one step."""

    inputs: tuple[Tensor, ...]
    """Inputs of this rank's rows, as a network takes them."""
    teacher_out: ModelOutput | None
    """For the global batch; None without a teacher."""
    batch: Batch
    """Labels of the global batch; its input tensors have no columns."""


def read_ahead(
    train: Batch,
    batches: Sequence[Int[Tensor, " batch"]],
    sampler: Callable[[Batch, Tensor, torch.Generator], ViewSample] | None,
    view_generator: torch.Generator,
    workers: Workers,
) -> None:
    """Announce the rows of an epoch's steps, so that images that stay in their files are decoded in time.

    Args:
        train: training rows.
        batches: row numbers of the global batches of an epoch, in order.
        sampler: samples their views and captions (`Task.sample_views`); None if rows have one input each.
        view_generator: the generator that `sampler` will use. Its state is not changed.
        workers: as for `make_step`.

    """
    for number, part in enumerate(network_inputs(train)):
        if isinstance(part, LazyImages):
            same = torch.Generator().set_state(view_generator.get_state())
            places = [
                None if sampler is None else workers.shard(sampler(train, rows, same)[number]) for rows in batches
            ]
            part.prefetch(zip(map(workers.shard, batches), places, strict=True))


def make_step(
    train: Batch,
    teacher: ModelOutput | Model | None,
    rows: Int[Tensor, " batch"],
    sample: ViewSample | None,
    workers: Workers,
    dtype: torch.dtype,
) -> Step:
    """The data of a step on `rows` of the training split.

    Args:
        train: training rows as `trainables.training.inputs.split_for` gives them to the student.
        teacher: outputs for all rows in the same order, or a frozen network that is called with the student's inputs.
        rows: row numbers of the global batch.
        sample: the view and caption of each row; None if rows have one input each.
        workers: this process among those that share the batch.
        dtype: number format of the inputs.

    """
    stored = network_inputs(train)
    places = sample or (None,) * len(stored)
    inputs = tuple(
        select_rows(part, workers.shard(rows), workers.device, dtype, None if place is None else workers.shard(place))
        for part, place in zip(stored, places, strict=True)
    )
    nothing = train.labels.new_empty(len(rows), 0)
    batch = Batch(nothing, nothing, *(part[rows.to(part.device)] for part in train[2:]))
    return Step(inputs, teacher_outputs(train, teacher, inputs, rows, sample, workers), batch)


def teacher_outputs(
    train: Batch,
    teacher: ModelOutput | Model | None,
    inputs: tuple[Tensor, ...],
    rows: Int[Tensor, " batch"],
    sample: ViewSample | None,
    workers: Workers,
) -> ModelOutput | None:
    """The outputs that the student imitates: stored ones of the same rows, or those of a live teacher on its inputs."""
    if isinstance(teacher, Model):
        with torch.no_grad():
            return teacher(*inputs).map(workers.gather)
    if teacher is None:
        return None
    chosen = teacher.map(lambda part: part[rows])
    return chosen if sample is None else sample.of_outputs(chosen, train.teacher.shape[1])


def with_masked_view(
    inputs: tuple[Tensor, ...], method: MethodConfig, rows: int, workers: Workers, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """The inputs, with a second, partly hidden view of each image if the method uses one.

    Args:
        inputs: images (batch, 1, 3, height, width) and captions, of this rank's rows.
        method: gives the share of each image that is hidden; with 0 the inputs are returned unchanged.
        rows: size of the global batch. The hidden patches are sampled for all of it, equally on every rank.
        workers: this process among those that share the batch.
        generator: source of the hidden patches.

    """
    if method.masked_fraction == 0:
        return inputs
    images, captions = inputs
    size, patch = (images.shape[-2], images.shape[-1]), method.mask_patch
    hidden = workers.shard(sample_hidden(rows, size, method.masked_fraction, patch, generator))
    masked = mask_patches(images[:, 0], hidden, patch)
    return torch.stack([images[:, 0], masked], dim=1), captions
