"""Hiding patches of pictures, for distillation from masked views (MFD of CLIP-KD)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def sample_hidden(
    rows: int, size: tuple[int, int], fraction: float, patch: int, generator: torch.Generator
) -> Bool[Tensor, "rows down across"]:
    """Which patches of `rows` pictures are hidden: in each the same number, in places drawn from `generator`.

    Args:
        rows: number of pictures.
        size: their height and width in pixels.
        fraction: of the patches that is hidden, in [0, 1]; rounded to whole patches.
        patch: side of a patch in pixels; patches at the far edges may be cut.
        generator: lives on the device where the answer should be.

    """
    down, across = (-(-length // patch) for length in size)
    order = torch.rand(rows, down * across, generator=generator, device=generator.device).argsort(dim=1)
    return (order < round(fraction * down * across)).view(rows, down, across)


def mask_patches(
    images: Float[Tensor, "rows channels height width"], hidden: Bool[Tensor, "rows down across"], patch: int
) -> Float[Tensor, "rows channels height width"]:
    """The pictures with the hidden patches in the picture's own mean colour, near 0 after normalisation."""
    height, width = images.shape[-2:]
    pixels = hidden.repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, None, :height, :width]
    return torch.where(pixels, images.mean(dim=(2, 3), keepdim=True), images)
