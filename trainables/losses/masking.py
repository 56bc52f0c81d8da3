"""Masking of image patches, for distillation from masked views (MFD of CLIP-KD)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def sample_hidden(
    rows: int, size: tuple[int, int], fraction: float, patch: int, generator: torch.Generator
) -> Bool[Tensor, "rows down across"]:
    """Sample the hidden patches of `rows` images, the same number in each image.

    Args:
        rows: number of images.
        size: their height and width in pixels.
        fraction: share of the patches that is hidden, in [0, 1]; rounded to whole patches.
        patch: side of a patch in pixels; patches at the bottom and right edges may be cut.
        generator: source of the places, on the device of the result.

    Returns:
        True for hidden patches.

    """
    down, across = (-(-length // patch) for length in size)
    order = torch.rand(rows, down * across, generator=generator, device=generator.device).argsort(dim=1)
    return (order < round(fraction * down * across)).view(rows, down, across)


def mask_patches(
    images: Float[Tensor, "rows channels height width"], hidden: Bool[Tensor, "rows down across"], patch: int
) -> Float[Tensor, "rows channels height width"]:
    """Replace hidden patches by the mean colour of their image, which is near 0 after normalisation.

    Args:
        images: pixels.
        hidden: mask of the patches, from `sample_hidden`.
        patch: side of a patch in pixels.

    Returns:
        New images of the same shape.

    """
    height, width = images.shape[-2:]
    pixels = hidden.repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, None, :height, :width]
    return torch.where(pixels, images.mean(dim=(2, 3), keepdim=True), images)
