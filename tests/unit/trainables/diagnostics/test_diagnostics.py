"""Spectra and effective rank against matrices whose values are known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.diagnostics.spectra import effective_rank, singular_value_spectrum, weight_spectrum


def normal(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthonormal(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(normal(rows, columns, seed)).Q


def test_spectrum_agrees_with_the_eigenvalues_of_the_covariance():
    features = normal(40, 6) @ normal(6, 6, 1) + 5
    covariance = np.cov(features.numpy(), rowvar=False, bias=True)
    expected = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(singular_value_spectrum(features).numpy(), expected, rtol=1e-10)


def test_spectrum_ignores_a_shift_and_a_rotation_and_squares_a_scale():
    features = normal(40, 6) @ normal(6, 6, 1)
    spectrum = singular_value_spectrum(features)
    torch.testing.assert_close(singular_value_spectrum(features @ orthonormal(6, 6, 2) + 100), spectrum)
    torch.testing.assert_close(singular_value_spectrum(3 * features), 9 * spectrum)


def test_spectrum_of_collapsed_features_drops_after_their_rank():
    """Values far below float32's resolution of the largest stay exact: the covariance is never formed."""
    scales = torch.tensor([1.0, 1e-3, 1e-6, 1e-9], dtype=torch.float64)
    centred = torch.linalg.qr(normal(50, 4) - normal(50, 4).mean(dim=0)).Q
    expected = scales.square() / 50
    torch.testing.assert_close(singular_value_spectrum(centred * scales), expected, rtol=1e-6, atol=0)


def test_spectrum_has_one_value_for_each_dimension_even_with_few_rows():
    spectrum = singular_value_spectrum(normal(3, 8))
    assert spectrum.shape == (8,) and spectrum.diff().le(0).all()
    assert spectrum[3:].eq(0).all() and spectrum[1] > 0
    assert spectrum[2] == pytest.approx(0, abs=1e-28), "three centred rows span two dimensions"


def test_spectrum_of_equal_rows_is_zero():
    assert singular_value_spectrum(torch.ones(5, 3)).eq(0).all()


def test_spectra_are_computed_in_float64_and_carry_no_gradient():
    features = normal(10, 4).float().requires_grad_()
    for spectrum in (singular_value_spectrum(features), weight_spectrum(features)):
        assert spectrum.dtype == torch.float64 and not spectrum.requires_grad


def test_weight_spectrum_returns_the_values_that_a_weight_was_built_from():
    values = torch.tensor([3.0, 1.0, 1e-5], dtype=torch.float64)
    weight = orthonormal(7, 3) @ torch.diag(values) @ orthonormal(5, 3, 1).T
    torch.testing.assert_close(weight_spectrum(weight)[:3], values)
    assert weight_spectrum(weight).shape == (5,)


def test_effective_rank_follows_its_equation():
    values = [4.0, 2.0, 1.0, 0.5]
    shares = [value / sum(values) for value in values]
    expected = math.exp(-sum(share * math.log(share) for share in shares))
    assert effective_rank(torch.tensor(values)).item() == pytest.approx(expected, rel=1e-12)


def test_effective_rank_counts_equal_values_and_ignores_zeros_and_scale():
    assert effective_rank(torch.tensor([2.0, 2.0, 2.0, 0.0, 0.0])).item() == pytest.approx(3, rel=1e-12)
    assert effective_rank(torch.tensor([7.0, 0.0])).item() == pytest.approx(1, rel=1e-12)
    assert effective_rank(torch.tensor([1e-30, 1e-30])).item() == pytest.approx(2, rel=1e-12)
    assert effective_rank(torch.zeros(4)).item() == 0


def test_effective_rank_of_gaussian_features_is_near_their_dimension():
    full = effective_rank(singular_value_spectrum(normal(5000, 20)))
    collapsed = effective_rank(singular_value_spectrum(normal(5000, 5) @ normal(5, 20, 1)))
    assert 19.5 < full < 20 and 2 < collapsed < 5
