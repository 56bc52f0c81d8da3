"""Sampling of one view and one caption for each row of a step, where a row has several of them.

A row of captioned data is an image (a fixed view and stored augmentations of it) with its captions. Each step uses one
view and one caption. They are sampled for the whole batch from a generator that is seeded by (seed, epoch), so every
rank gets the same sample. The sample selects the stored outputs of the teacher and the inputs of the student.
"""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from trainables.common.types import Batch, ModelOutput


class ViewSample(NamedTuple):
    """One view and one caption for each row of a batch."""

    views: Int[Tensor, " batch"]
    """Index among the row's stored views; 0 is the fixed view."""
    captions: Int[Tensor, " batch"]
    """Index among the row's captions."""

    def of_outputs(self, outputs: ModelOutput, num_views: int) -> ModelOutput:
        """Select the sampled view and caption from outputs for all views and captions of the same rows."""
        places = torch.stack([self.views, num_views + self.captions], dim=1)

        def pick(part: Tensor) -> Tensor:
            return part.gather(1, places.to(part.device)[..., None].expand(-1, -1, part.shape[-1]))

        embeddings = None if outputs.embeddings is None else pick(outputs.embeddings)
        return ModelOutput(pick(outputs.logits), outputs.features, embeddings)


def sample_views(train: Batch, rows: Int[Tensor, " batch"], generator: torch.Generator) -> ViewSample:
    """Sample a view and a caption for each of `rows`, with equal chances for all that exist.

    Args:
        train: stored rows. Labels of dtype bool, (rows, captions), say which captions exist; with other labels all do.
        rows: row numbers of the global batch, on the labels' device.
        generator: on the CPU for every device, so that every machine samples the same.

    Returns:
        Indices of views and captions, on the device of `rows`.

    """
    num_views, num_captions = train.teacher.shape[1], train.student.shape[1]
    views = torch.randint(num_views, (len(rows),), generator=generator)
    chances = torch.rand(len(rows), num_captions, generator=generator).to(rows.device)
    if train.labels.dtype == torch.bool:
        chances = chances.masked_fill(~train.labels[rows], -1)
    return ViewSample(views.to(rows.device), chances.argmax(dim=1))
