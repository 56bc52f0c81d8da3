"""The rule that suggests H from spectra, on spectra and on data whose shared dimension is known."""

import math

import pytest
import torch
from torch import Tensor

from trainables.bottlenecks.training import PairedFeatures, train_bottleneck
from trainables.diagnostics.saturation import saturation
from trainables.diagnostics.spectra import singular_value_spectrum
from trainables.methods.ciba import CIBAConfig

GRID = (1, 2, 4, 8)


def spectra(values: dict[int, list[float]], seeds: int = 1) -> dict[int, Tensor]:
    return {dim: torch.tensor([row] * seeds, dtype=torch.float64) for dim, row in values.items()}


def test_the_change_is_the_mean_difference_of_logarithms_from_the_mean_of_all_larger_dimensions() -> None:
    found = saturation(spectra({2: [8, 2, 1], 4: [8, 4, 2], 8: [16, 4, 2]}), threshold=0.3)
    means = [(math.log(8) + math.log(16)) / 2, math.log(4), math.log(2)]
    first = sum(abs(math.log(value) - mean) for value, mean in zip((8, 2, 1), means, strict=True)) / 3
    assert found.changes == pytest.approx({2: first, 4: math.log(2) / 3})
    assert found.suggested == 4 and found.saturated


def test_seeds_are_averaged_in_the_logarithm() -> None:
    two = {2: torch.tensor([[1.0, 1.0], [4.0, 1.0]]), 4: torch.tensor([[2.0, 1.0], [2.0, 1.0]])}
    assert saturation(two).changes == pytest.approx({2: 0.0})


def test_what_lies_below_the_floor_on_both_sides_is_not_compared() -> None:
    found = saturation(spectra({2: [1, 0.5, 1e-5, 0], 4: [1, 0.5, 9e-4, 1e-9]}))
    assert found.changes == {2: 0.0}
    found = saturation(spectra({2: [1, 0.5, 1e-5, 0], 4: [1, 0.5, 1e-2, 1e-9]}))
    assert found.changes == pytest.approx({2: math.log(10) / 3}), "the smaller one counts as the floor"
    assert saturation(spectra({2: [1, 1e-5], 4: [1, 1e-4]}), floor=1e-6).changes == pytest.approx({2: math.log(10) / 2})


def test_without_saturation_the_largest_dimension_is_suggested_and_said_to_be_a_guess() -> None:
    found = saturation(spectra({2: [1.0], 4: [2.0], 8: [4.0]}))
    assert found.suggested == 8 and not found.saturated and list(found.changes) == [2, 4]


def test_the_order_of_the_grid_does_not_matter() -> None:
    values = {8: [4.0, 2.0], 2: [4.0, 0.1], 4: [4.0, 2.0]}
    assert saturation(spectra(values)) == saturation(spectra(dict(sorted(values.items()))))
    assert saturation(spectra(values)).suggested == 4


def test_a_collapsed_reconstruction_does_not_break_the_rule() -> None:
    assert saturation(spectra({2: [0, 0], 4: [0, 0]})).changes == {2: 0.0}
    assert saturation(spectra({2: [0, 0], 4: [1, 1]})).suggested == 4


def test_one_dimension_is_too_few() -> None:
    with pytest.raises(ValueError, match="two H or more"):
        saturation(spectra({2: [1.0]}))


@pytest.mark.slow
@pytest.mark.parametrize("shared", [2, 3])
def test_the_suggestion_is_the_first_dimension_that_holds_what_is_shared(shared: int) -> None:
    """Features with `shared` common dimensions, plus noise of the teacher and noise of the student."""
    train, val = (shared_features(rows, shared, seed) for rows, seed in ((300, 0), (100, 1)))
    found = {}
    for dim in GRID:
        config = CIBAConfig(
            bottleneck_dim=dim, bottleneck_lr=1e-2, bottleneck_epochs=60, bottleneck_batch_size=100, lambda_ib=1e-3
        )
        trained = [train_bottleneck(config, train, val, seed) for seed in range(2)]
        found[dim] = torch.stack([singular_value_spectrum(one.reconstruct(train.teacher)) for one in trained])
    result = saturation(found)
    assert result.suggested == next(dim for dim in GRID if dim >= shared), result


def shared_features(rows: int, shared: int, seed: int) -> PairedFeatures:
    mixing = torch.Generator().manual_seed(7)
    to_teacher = torch.linalg.qr(torch.randn(12, 12, generator=mixing))[0]
    to_student = torch.linalg.qr(torch.randn(8, 8, generator=mixing))[0][:shared]
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(rows, shared, generator=generator)
    own = torch.randn(rows, 12 - shared, generator=generator)
    noise = 0.1 * torch.randn(rows, 8, generator=generator)
    return PairedFeatures(torch.cat([common, own], dim=1) @ to_teacher, 2 * common @ to_student + noise)
