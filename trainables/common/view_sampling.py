"""Which of a row's pictures and captions one step sees, where a row has several of them.

A row of captioned data is an image (a fixed view, and stored augmentations of it) with its captions. Each step takes
one of each. The draw is made for the whole batch from the numbers of (seed, epoch, step), so it is the same on every
rank, and it picks the stored outputs of a teacher as it picks the inputs of the student.
"""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from trainables.common.types import Batch, ModelOutput


class ViewSample(NamedTuple):
    """One view and one caption for each row of a batch."""

    views: Int[Tensor, " batch"]
    """Place among the row's stored views; 0 is the fixed one."""
    captions: Int[Tensor, " batch"]
    """Place among the row's captions."""

    def of_outputs(self, outputs: ModelOutput, num_views: int) -> ModelOutput:
        """The drawn two of a network's outputs for all views and captions of the same rows."""
        places = torch.stack([self.views, num_views + self.captions], dim=1)

        def pick(part: Tensor) -> Tensor:
            return part.gather(1, places.to(part.device)[..., None].expand(-1, -1, part.shape[-1]))

        embeddings = None if outputs.embeddings is None else pick(outputs.embeddings)
        return ModelOutput(pick(outputs.logits), outputs.features, embeddings)


def sample_views(train: Batch, rows: Int[Tensor, " batch"], generator: torch.Generator) -> ViewSample:
    """A view and a caption for each of `rows`, every one that exists with equal chance.

    Args:
        train: stored rows; labels bool (rows, captions) say which captions exist, other labels that all do.
        rows: those of the global batch, on the labels' device.
        generator: on the CPU, whatever the device, so that every machine draws the same.

    """
    num_views, num_captions = train.teacher.shape[1], train.student.shape[1]
    views = torch.randint(num_views, (len(rows),), generator=generator)
    chances = torch.rand(len(rows), num_captions, generator=generator).to(rows.device)
    if train.labels.dtype == torch.bool:
        chances = chances.masked_fill(~train.labels[rows], -1)
    return ViewSample(views.to(rows.device), chances.argmax(dim=1))
