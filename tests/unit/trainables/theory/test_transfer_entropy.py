"""Exact Gaussian transfer entropy: the known example, its two forms against each other and against simulation."""

import numpy as np
import pytest

from trainables.theory.transfer_entropy import (
    Coupled,
    conditional_covariance,
    coupled_transfer_entropy,
    gaussian_transfer_entropy,
    joint_covariance,
    sample_transfer_entropy,
    simulate_process,
)

EXAMPLE = Coupled(0.6, 0.4, 0.5, 1.0, 0.7)


def general(model: Coupled, source: int = 0, target: int = 1) -> float:
    return gaussian_transfer_entropy(model.transition, model.noise, [source], [target])


def test_the_example_is_a_quarter_of_a_nat() -> None:
    assert coupled_transfer_entropy(EXAMPLE) == pytest.approx(0.2512, abs=5e-5)


@pytest.mark.parametrize("a", [0.0, 0.6, -0.8])
@pytest.mark.parametrize("c", [0.0, 0.3, -1.2])
def test_the_general_form_is_the_closed_one(a: float, c: float) -> None:
    model = Coupled(a, 0.4, c, 1.3, 0.7)
    assert general(model) == pytest.approx(coupled_transfer_entropy(model), abs=1e-12)


def test_without_a_memory_of_either_it_is_the_information_of_a_noisy_channel() -> None:
    """y⁺ = c x + e: ½ ln(1 + c² σ_x² / σ_y²)."""
    model = Coupled(0.0, 0.0, 0.5, 2.0, 0.7)
    assert coupled_transfer_entropy(model) == pytest.approx(np.log(1 + 0.25 * 4 / 0.49) / 2)


def test_nothing_flows_without_a_coupling_or_against_it() -> None:
    assert coupled_transfer_entropy(EXAMPLE._replace(c=0.0)) == 0
    assert general(EXAMPLE, source=1, target=0) == pytest.approx(0, abs=1e-12)


def test_an_invertible_map_within_source_and_target_changes_nothing() -> None:
    generator = np.random.default_rng(0)
    transition = generator.standard_normal((5, 5))
    transition *= 0.8 / np.abs(np.linalg.eigvals(transition)).max()
    root = generator.standard_normal((5, 5))
    noise = root @ root.T
    change = np.zeros((5, 5))
    change[:2, :2], change[2:, 2:] = generator.standard_normal((2, 2)), generator.standard_normal((3, 3))
    inverse = np.linalg.inv(change)
    before = gaussian_transfer_entropy(transition, noise, [0, 1], [2, 3, 4])
    after = gaussian_transfer_entropy(change @ transition @ inverse, change @ noise @ change.T, [0, 1], [2, 3, 4])
    assert before > 0.01 and after == pytest.approx(before, rel=1e-8)


def test_the_joint_covariance_is_stationary() -> None:
    joint = joint_covariance(EXAMPLE.transition, EXAMPLE.noise)
    now, ahead = joint[:2, :2], joint[2:, :2]
    assert joint[2:, 2:] == pytest.approx(now) and ahead == pytest.approx(EXAMPLE.transition @ now)
    assert EXAMPLE.transition @ now @ EXAMPLE.transition.T + EXAMPLE.noise == pytest.approx(now)


def test_conditioning_on_more_leaves_the_noise() -> None:
    """Given the whole past, the future's variance is Q."""
    joint = joint_covariance(EXAMPLE.transition, EXAMPLE.noise)
    assert conditional_covariance(joint, [2, 3], [0, 1]) == pytest.approx(EXAMPLE.noise)


def test_a_simulation_of_400_000_steps_is_within_2_thousandths() -> None:
    states = simulate_process(EXAMPLE.transition, EXAMPLE.noise, 4000, 100, np.random.default_rng(0))
    assert sample_transfer_entropy(states, [0], [1]) == pytest.approx(0.2512, abs=0.002)
    assert sample_transfer_entropy(states, [1], [0]) == pytest.approx(0, abs=1e-3)


def test_a_simulation_begins_in_the_stationary_distribution() -> None:
    states = simulate_process(EXAMPLE.transition, EXAMPLE.noise, 2, 100_000, np.random.default_rng(1))
    expected = joint_covariance(EXAMPLE.transition, EXAMPLE.noise)
    assert np.cov(np.concatenate(list(states), axis=1), rowvar=False) == pytest.approx(expected, abs=0.05)


def test_a_process_that_grows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\|a\| < 1 and \|b\| < 1, but got a = 1.0, b = 0.4"):
        coupled_transfer_entropy(EXAMPLE._replace(a=1.0))
    with pytest.raises(ValueError, match="absolute values below 1, but the largest is 1"):
        general(EXAMPLE._replace(b=-1.1))
