"""Hidden patches: how many, where, and what is seen in their place."""

import torch

from trainables.losses.masking import mask_patches, sample_hidden


def draw(rows: int, size: tuple[int, int], fraction: float, patch: int, seed: int = 0) -> torch.Tensor:
    return sample_hidden(rows, size, fraction, patch, torch.Generator().manual_seed(seed))


def test_every_picture_loses_the_same_number_of_patches_in_other_places() -> None:
    hidden = draw(200, (224, 224), 0.75, 32)
    assert hidden.shape == (200, 7, 7)
    assert hidden.flatten(1).sum(dim=1).unique().tolist() == [37]
    assert len({tuple(picture.flatten().tolist()) for picture in hidden}) == 200
    shares = hidden.float().mean(dim=0)
    assert shares.min() > 0.6 and shares.max() < 0.9


def test_the_draw_is_the_generators() -> None:
    assert torch.equal(draw(5, (40, 40), 0.5, 8), draw(5, (40, 40), 0.5, 8))
    assert not torch.equal(draw(5, (40, 40), 0.5, 8), draw(5, (40, 40), 0.5, 8, seed=1))


def test_nothing_and_everything() -> None:
    assert not draw(3, (40, 40), 0.0, 8).any() and draw(3, (40, 40), 1.0, 8).all()


def test_hidden_pixels_have_the_pictures_mean_and_the_others_stay() -> None:
    """10 x 7 pixels in patches of 4: the far ones are cut."""
    images = torch.rand(2, 3, 10, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    hidden = draw(2, (10, 7), 0.5, 4)
    masked = mask_patches(images, hidden, 4)
    for row in range(2):
        for channel in range(3):
            mean = sum(images[row, channel].flatten().tolist()) / 70
            for y in range(10):
                for x in range(7):
                    seen = mean if hidden[row, y // 4, x // 4] else images[row, channel, y, x].item()
                    assert abs(masked[row, channel, y, x].item() - seen) < 1e-12
