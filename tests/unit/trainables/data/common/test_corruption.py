"""Blur and noise of the teacher's inputs: their size, their seed, and that no other input has them."""

import numpy as np
import pytest
import torch

from trainables.common.types import PairedData
from trainables.data import DATASETS
from trainables.data.common.corruption import add_noise, blur


def view(rows: int = 4000) -> np.ndarray:
    generator = np.random.default_rng(0)
    columns = generator.normal(5, [1.0, 10.0, 0.1], (rows, 3))
    return np.concatenate([columns, np.full((rows, 1), 7.0)], axis=1).astype(np.float32)


def test_noise_has_the_asked_share_of_each_features_deviation() -> None:
    """Deviation over the training rows; a constant feature has none and stays."""
    clean, train = view(), np.arange(1000)
    added = add_noise(clean, 2.0, 0, train).astype(np.float64) - clean
    assert added.std(axis=0)[:3] == pytest.approx(2 * clean[:1000].std(axis=0)[:3], rel=0.05)
    assert np.abs(added.mean(axis=0)).max() < 0.1 * 10 and (added[:, 3] == 0).all()
    assert np.abs(np.corrcoef(added[:, :3].T) - np.eye(3)).max() < 0.05
    assert np.abs(np.corrcoef(added[:, 0], clean[:, 0])[0, 1]) < 0.05


def test_levels_scale_one_draw_and_seeds_change_it() -> None:
    clean, train = view(50), np.arange(50)
    one, three = (add_noise(clean, level, 3, train) - clean for level in (1.0, 3.0))
    assert np.allclose(3 * one, three, atol=1e-4)
    assert add_noise(clean, 0.0, 3, train) is clean
    assert np.array_equal(add_noise(clean, 1.0, None, train), add_noise(clean, 1.0, 0, train))
    assert not np.array_equal(add_noise(clean, 1.0, 1, train), add_noise(clean, 1.0, 0, train))


def test_noise_of_images_counts_a_channel_as_one_feature() -> None:
    images = np.zeros((500, 2, 4, 4), dtype=np.float32)
    images[:, 0, 1, 1], images[:, 1] = 8.0, np.random.default_rng(0).normal(0, 3, (500, 4, 4))
    added = add_noise(images, 1.0, 0, np.arange(500), axes=(0, 2, 3)) - images
    assert added[:, 0].std() == pytest.approx(images[:, 0].std(), rel=0.05), "blank pixels get the channel's noise"
    assert added[:, 1].std() == pytest.approx(3, rel=0.05)


def test_blur_is_the_convolution_with_a_gaussian() -> None:
    generator = np.random.default_rng(0)
    image = generator.random((1, 9, 9))
    offsets = np.arange(9)[:, None] - np.arange(9)
    radius = int(4 * 0.8 + 0.5)
    kernel = np.where(np.abs(offsets) <= radius, np.exp(-(offsets**2) / (2 * 0.8**2)), 0)
    kernel = kernel / np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * 0.8**2)).sum()
    assert np.allclose(blur(image, 0.8)[0], kernel @ image[0] @ kernel.T, atol=1e-12)


@pytest.mark.parametrize("name", ["mfeat", "digits"])
def test_every_split_of_the_teacher_is_spoilt_alike(name: str) -> None:
    """Standardised inputs have deviation 1, so the noise has the level's."""

    def load(level: float) -> PairedData:
        return DATASETS[name].load(DATASETS[name].config(train=400, val=200, teacher_noise=level))

    clean, spoilt = load(0.0), load(0.5)
    for split in ("train", "val", "test"):
        before, after = getattr(clean, split), getattr(spoilt, split)
        added = (after.teacher - before.teacher).double()
        moved = added.std(dim=0) > 0 if name == "mfeat" else torch.ones(added.shape[1:], dtype=torch.bool)
        assert added[:, moved].std().item() == pytest.approx(0.5, rel=0.02) and moved.double().mean() > 0.9
        assert torch.equal(after.student, before.student) and torch.equal(after.labels, before.labels)
