"""The interface: known answers of every estimator, errors and warnings, intervals, and the self-test."""

import math

import numpy as np
import pytest
import torch
from scipy.special import digamma
from torch import Tensor

from trainables.mi import ESTIMATORS, IntervalConfig, MIEstimate, critics, estimate
from trainables.mi import latentmi as latent
from trainables.mi.base import MIConfig, Pairs
from trainables.mi.interval import standard_error
from trainables.mi.known_answers import SelfTest, SelfTestRow, class_information, correlated_normals, self_test
from trainables.mi.networks import Columns, seeded

NO_INTERVAL = IntervalConfig(subsamples=0)
SMALL: dict[str, dict[str, object]] = {
    "mine": {"epochs": 20},
    "smile": {"epochs": 20},
    "infonce": {"epochs": 20},
    "latentmi": {"hidden": 32, "latent_dim": 2, "lr": 5e-3, "epochs": 40, "batch_size": 64},
}
"""Short trainings."""


def config_of(name: str, **changes: object) -> MIConfig:
    return ESTIMATORS[name].config.model_validate({"interval": NO_INTERVAL} | SMALL.get(name, {}) | changes)


def drawn(n: int, dim_x: int, dim_y: int, nats: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    return correlated_normals(n, dim_x, dim_y, nats, torch.Generator().manual_seed(seed))


def classes_of(rows: int, number: int) -> Tensor:
    return torch.arange(rows) % number


def separable(rows: int, number: int, dim: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    classes = classes_of(rows, number)
    noise = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))
    return torch.eye(dim)[classes] * 50 + noise, classes


MEASURED = [
    ("ksg1", 300, 1, 1, 0.5, 0.02, 0.05),
    ("ksg1", 2000, 1, 1, 0.0, 0.0, 0.02),
    ("ksg1", 2000, 1, 1, 0.5, 0.01, 0.02),
    ("ksg1", 2000, 1, 1, 2.0, 0.03, 0.03),
    ("ksg1", 500, 3, 2, 0.0, -0.02, 0.04),
    ("ksg1", 500, 3, 2, 1.0, -0.09, 0.05),
    ("ksg1", 2000, 2, 3, 1.0, -0.01, 0.05),
    ("ksg1", 2000, 2, 3, 2.0, -0.13, 0.02),
    ("ksg1", 2000, 8, 8, 0.0, 0.0, 0.02),
    ("ksg1", 2000, 8, 8, 2.0, -0.92, 0.02),
    ("ksg2", 300, 1, 1, 0.5, 0.02, 0.06),
    ("ksg2", 2000, 2, 3, 0.0, -0.02, 0.02),
    ("ksg2", 2000, 2, 3, 2.0, -0.10, 0.03),
    ("ksg2", 2000, 8, 8, 1.0, -0.41, 0.02),
    ("gaussian", 300, 1, 1, 0.0, 0.0, 0.002),
    ("gaussian", 500, 3, 2, 1.0, 0.0, 0.04),
    ("gaussian", 2000, 8, 8, 0.5, 0.0, 0.02),
    ("gaussian", 2000, 8, 8, 2.0, 0.0, 0.02),
    ("mine", 500, 3, 2, 0.0, -0.01, 0.02),
    ("mine", 500, 3, 2, 1.0, -0.26, 0.05),
    ("smile", 500, 3, 2, 0.0, -0.01, 0.02),
    ("smile", 500, 3, 2, 1.0, -0.25, 0.05),
    ("infonce", 500, 3, 2, 0.0, -0.17, 0.10),
    ("infonce", 500, 3, 2, 1.0, -0.09, 0.10),
    ("latentmi", 500, 3, 2, 0.0, -0.03, 0.04),
    ("latentmi", 500, 3, 2, 1.0, -0.53, 0.08),
]
"""Estimator, rows, dimensions, nats; then bias and spread as `self_test` measured them with other seeds. The networks'
are those of the short trainings above."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n", "dim_x", "dim_y", "nats", "bias", "spread"), MEASURED)
def test_known_answers_within_four_spreads_of_the_self_test(
    name: str, n: int, dim_x: int, dim_y: int, nats: float, bias: float, spread: float
):
    for seed in (0, 1) if n * dim_x < 5000 and name != "latentmi" else (0,):
        x, y = drawn(n, dim_x, dim_y, nats, seed)
        assert estimate(x, y, config_of(name), seed=seed).value == pytest.approx(nats + bias, abs=4 * spread)


def test_the_gaussian_form_of_correlated_normals():
    x, y = drawn(20_000, 1, 1, -math.log(1 - 0.64) / 2)
    assert estimate(x, y, config_of("gaussian")).value == pytest.approx(0.5108, abs=0.02)


def test_the_gaussian_form_is_the_ratio_of_determinants():
    x, y = drawn(200, 3, 2, 1.5)
    of_x, of_y, of_both = (torch.linalg.det(columns.T.cov()) for columns in (x, y, torch.cat([x, y], dim=1)))
    plain = config_of("gaussian", correct_bias=False)
    assert estimate(x, y, plain).value == pytest.approx(float((of_x * of_y / of_both).log() / 2), abs=1e-7)


def test_the_gaussian_form_has_no_bias_where_the_plain_one_has():
    """Over 100 draws of 40 pairs the mean's standard error is 0.02; the bias of the plain form is 0.18."""
    means = {}
    for correct in (False, True):
        config = config_of("gaussian", correct_bias=correct)
        means[correct] = sum(estimate(*drawn(40, 3, 4, 0.7, seed), config).value for seed in range(100)) / 100
    assert means[True] == pytest.approx(0.7, abs=0.06)
    assert means[False] > 0.8


@pytest.mark.parametrize("dim", [1, 4])
def test_independent_data_hold_no_information(dim: int):
    x, y = drawn(3000, dim, dim, 0.0)
    for name in ("ksg1", "ksg2", "gaussian"):
        assert estimate(x, y, config_of(name)).value == pytest.approx(0, abs=0.03 if dim == 1 else 0.06)
    found = estimate(x, classes_of(3000, 4), config_of("ross"), discrete_y=True)
    assert found.value == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("name", ["ross", "ksg", "mine", "smile", "infonce", "latentmi"])
def test_separable_classes_tell_all_of_the_class(name: str):
    x, classes = separable(400, 4, 5)
    longer = {"epochs": 60, "lr": 5e-3} if name in SMALL else {}
    found = estimate(x, classes, config_of(name, **longer), discrete_y=True)
    assert found.value == pytest.approx(math.log(4), abs=0.02 if name in ("ross", "ksg") else 0.3)


def test_labels_may_be_any_numbers():
    x, classes = separable(100, 4, 5)
    names = torch.tensor([7.5, -1, 100, 0])[classes]
    one_hot = torch.eye(4)[classes]
    values = {estimate(x, y, config_of("ross"), discrete_y=True).value for y in (classes, names, one_hot)}
    assert len(values) == 1


@pytest.mark.parametrize("k", [3, 5])
def test_one_column_agrees_with_scikit_learn(k: int):
    """Which scales by the deviation, adds noise of 1e-10 and clips at 0, as KSG-1 and Ross do here but for the clip."""
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    x, y = (column.numpy() for column in drawn(700, 1, 1, 0.6))
    theirs = mutual_info_regression(x, y[:, 0], n_neighbors=k, random_state=0)[0]
    ours = estimate(torch.from_numpy(x), torch.from_numpy(y), config_of("ksg1", k=k)).value
    assert ours == pytest.approx(theirs, abs=1e-6)
    classes = np.digitize(y[:, 0], [-1, 0, 2.7])
    theirs = mutual_info_classif(x, classes, n_neighbors=k, random_state=0)[0]
    ours = estimate(torch.from_numpy(x), torch.from_numpy(classes), config_of("ross", k=k), discrete_y=True).value
    assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("name", ["ksg1", "ksg2", "gaussian"])
def test_scale_shift_order_and_sides_do_not_matter(name: str):
    x, y = drawn(300, 3, 2, 1.0)
    config = config_of(name, jitter=0)
    value = estimate(x, y, config).value
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    assert estimate(y, x, config).value == pytest.approx(value, abs=1e-10)
    assert estimate(x[order], y[order], config).value == pytest.approx(value, abs=1e-10)
    assert estimate(x * torch.tensor([1e3, -2, 0.1]) + 5, y, config).value == pytest.approx(value, abs=1e-10)
    assert estimate(x.float(), y.float(), config).value == pytest.approx(value, abs=1e-2)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_seed_gives_the_same_estimate_and_leaves_the_generators_alone(name: str):
    x, y = drawn(60, 2, 2, 1.0)
    discrete = "continuous" not in ESTIMATORS[name].targets
    config = config_of(name, interval={"subsamples": 2}, **({"epochs": 2} if name in SMALL else {}))
    before = torch.get_rng_state()
    target = classes_of(60, 3) if discrete else y
    first, again, other = (estimate(x, target, config, discrete_y=discrete, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.standard_error != other.standard_error
    assert torch.get_rng_state().equal(before)


def test_an_estimate_says_what_it_was_applied_to():
    x, y = drawn(50, 3, 2, 1.0)
    found = estimate(x, y, config_of("ksg", k=4), seed=7)
    assert found.interval is None and found.standard_error is None
    expected = {"estimator": "ksg", "k": 4, "rows": 50, "dim_x": 3, "dim_y": 2, "classes": 0, "seed": 7}
    assert expected.items() <= found.settings.items()
    assert MIEstimate(math.log(2), None, None, {}).bits == pytest.approx(1)


# what is refused

ROWS = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
CLASSES = classes_of(30, 3)


def refused(x: Tensor, y: Tensor, name: str = "ksg", discrete_y: bool = False, **changes: object) -> str:
    with pytest.raises(ValueError) as caught:
        estimate(x, y, config_of(name, **changes), discrete_y=discrete_y)
    return str(caught.value)


def test_what_cannot_be_used_is_refused_with_a_remedy():
    hole = ROWS.clone()
    hole[3, 1] = torch.nan
    hole[5, 0] = torch.inf
    assert refused(ROWS, ROWS[:29]) == ("x and y must have a row for each example, but x has 30 rows and y 29")
    assert refused(hole, ROWS) == "x must be finite, but 2 of 30 rows contain NaN or infinity; leave them out"
    assert refused(ROWS, hole).startswith("y must be finite, but 2 of 30 rows")
    assert refused(torch.ones(30, 2), ROWS) == "x must have a column that varies, but all 2 are constant"
    assert refused(ROWS[:4], ROWS[:4]) == (
        "this estimator needs at least 5 pairs, but there are 4; use more data or a smaller k"
    )
    assert refused(ROWS, torch.full((30,), torch.nan), discrete_y=True).startswith("y must be a class for every row")
    assert refused(ROWS, torch.arange(30), discrete_y=True).startswith(
        "y must have two classes with two examples or more, but has 0 of its 30"
    )
    assert refused(ROWS, CLASSES, "gaussian", discrete_y=True) == (
        "'gaussian' takes a y that is continuous, not discrete; "
        "use one of ['infonce', 'ksg', 'latentmi', 'mine', 'ross', 'smile']"
    )
    assert refused(ROWS, ROWS, "ross").startswith("'ross' takes a y that is discrete, not continuous")
    assert refused(ROWS, ROWS, "gaussian", jitter=0).startswith(
        "the MI must be finite, but x determines a direction of y completely"
    )
    assert refused(torch.randn(9, 5), torch.randn(9, 5), "gaussian").startswith(
        "the closed form needs more pairs than 5"
    )
    assert refused(ROWS, ROWS, interval={"fraction": 0.1}).startswith(
        "an interval needs at least 5 pairs in each part, but 0.1 of 30 are 3"
    )


@pytest.mark.parametrize("name", SMALL)
def test_few_rows_are_refused_by_networks_too(name: str):
    assert refused(ROWS[:6], ROWS[:6], name) == (
        f"this estimator needs at least {10 if name == 'latentmi' else 8} pairs, but there are 6; "
        "use more data or a smaller k"
    )


# what is warned of


def test_constant_columns_are_dropped_with_a_warning():
    x, y = drawn(100, 2, 2, 1.0)
    with_constant = torch.cat([x[:, :1], torch.ones(100, 2).double(), x[:, 1:]], dim=1)
    found = estimate(with_constant, y, config_of("ksg", jitter=0))
    assert found.warnings == ("2 of 4 columns of x are constant and were dropped",)
    assert found.value == estimate(x, y, config_of("ksg", jitter=0)).value


def test_duplicates_are_warned_of_and_come_out_too_high():
    x, y = drawn(200, 1, 1, 0.0)
    drawn_twice = torch.randint(0, 200, (200,), generator=torch.Generator().manual_seed(0))
    repeated = 200 - len(drawn_twice.unique())
    found = estimate(x[drawn_twice], y[drawn_twice], config_of("ksg"))
    assert found.warnings[0].startswith(
        f"{repeated} of 200 pairs repeat another and were separated by the jitter of 1e-10"
    )
    assert found.value > 0.5
    still = estimate(x[drawn_twice], y[drawn_twice], config_of("ksg", jitter=0))
    assert "were left as they are (jitter: 0)" in still.warnings[0]
    assert math.isfinite(still.value)


def test_copies_everywhere_leave_a_finite_value():
    x = torch.tensor([0.0, 1.0])[torch.arange(40) % 2][:, None]
    for name in ("ksg1", "ksg2"):
        assert math.isfinite(estimate(x, x.flip(0), config_of(name, jitter=0)).value)
    assert math.isfinite(estimate(x, classes_of(40, 4), config_of("ross", jitter=0), discrete_y=True).value)


def test_many_dimensions_are_warned_of_and_can_be_reduced():
    x, y = drawn(100, 15, 6, 1.0)
    (warning,) = estimate(x, y, config_of("ksg")).warnings
    assert warning.startswith("nearest-neighbour estimates are unreliable above some 20 dimensions, and these have 21")
    reduced = estimate(x, y, config_of("ksg", pca=4))
    assert reduced.warnings == ()
    assert (reduced.settings["dim_x"], reduced.settings["dim_y"]) == (4, 4)
    (warning,) = estimate(x.repeat(1, 2), classes_of(100, 2), config_of("ksg"), discrete_y=True).warnings
    assert "these have 30" in warning


def test_principal_components_keep_what_varies_most():
    x, y = drawn(500, 2, 2, 2.0)
    noise = 1e-3 * torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    mixed = torch.cat([x, x, x], dim=1) + noise
    found = estimate(mixed, y, config_of("gaussian", pca=2))
    assert found.settings["dim_x"] == 2
    assert found.value == pytest.approx(2, abs=0.2)


def test_more_than_the_classes_hold_is_warned_of():
    x, classes = separable(20, 2, 3)
    found = estimate(x, classes, config_of("ross"), discrete_y=True)
    assert found.value > math.log(2)
    (warning,) = found.warnings
    assert warning == f"{found.value:.3f} nats is more than the largest possible value, ln(2) = 0.693"


def test_infonce_near_its_ceiling_is_warned_of(monkeypatch: pytest.MonkeyPatch):
    x, y = drawn(400, 2, 2, 0.0)
    config = config_of("infonce", batch_size=64)
    monkeypatch.setattr(critics, "train_and_judge", lambda *_: 0.95 * math.log(64))
    (warning,) = estimate(x, y, config).warnings
    assert warning.startswith("3.951 nats is close to ln(64) = 4.159, which InfoNCE cannot exceed; use a larger batch")
    monkeypatch.setattr(critics, "train_and_judge", lambda *_: 0.85 * math.log(64))
    assert estimate(x, y, config).warnings == ()
    (warning,) = estimate(x[:100], y[:100], config).warnings
    assert "ln(50)" in warning


def test_no_scores_take_infonce_above_the_logarithm_of_the_batch():
    assert critics.contrastive_bound(1000 * torch.eye(16)).item() == pytest.approx(math.log(16), abs=1e-5)
    assert critics.contrastive_bound(torch.zeros(16, 16)).item() == pytest.approx(0, abs=1e-6)
    scores = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    power = scores.exp()
    rows = [power[i, i] / power[i].mean() for i in range(5)]
    columns = [power[i, i] / power[:, i].mean() for i in range(5)]
    expected = sum(math.log(ratio) for ratio in rows + columns) / 10
    assert critics.contrastive_bound(scores).item() == pytest.approx(expected, abs=1e-5)


def test_the_donsker_varadhan_bound_is_the_mi_at_the_log_density_ratio():
    """Correlated normals with ρ = 0.6: T = ln p(x, y) / p(x) p(y) gives -1/2 ln(1 - ρ²)."""
    rho = 0.6
    x, y, z = torch.randn(3, 400_000, generator=torch.Generator().manual_seed(0))
    paired = rho * x + math.sqrt(1 - rho**2) * y

    def ratio(a: Tensor, b: Tensor) -> Tensor:
        square = (rho**2 * (a**2 + b**2) - 2 * rho * a * b) / (2 * (1 - rho**2))
        return -square - math.log(1 - rho**2) / 2

    mi = -math.log(1 - rho**2) / 2
    joint, product = ratio(x, paired), ratio(x, z)
    assert critics.donsker_varadhan(joint, product) == pytest.approx(mi, abs=0.01)


def test_smile_clips_the_scores_of_shuffled_pairs_alone():
    pairs = Columns(*torch.randn(2, 50, 1, generator=torch.Generator().manual_seed(0)).unbind())
    bound = critics.SMILE(1, 1, critics.SMILEConfig(clip=2.0))
    bound.critic = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(bound.critic.weight, 9.0)
    with torch.no_grad():
        value = bound.value(pairs, torch.Generator().manual_seed(1))
        generator = torch.Generator().manual_seed(1)
        product = torch.cat([bound.shuffled_scores(pairs, generator) for _ in range(critics.SHUFFLES)])
        joint = bound.scores(pairs)
    assert joint.abs().max() > 10 and product.abs().max() > 10
    expected = joint.mean() - product.clamp(-2, 2).exp().mean().log()
    assert value == pytest.approx(float(expected), rel=1e-5)


def test_mine_corrects_its_gradient_by_a_moving_average():
    """The gradient of ln E[e^T] is E[e^T dT] / average; the average of the first batch is its own mean."""
    config = critics.MINEConfig(average=0.25)
    bound = critics.MINE(1, 1, config)
    first, second = torch.tensor(1.0), torch.tensor(3.0)
    assert bound.average_with(first.log(), second.log()).exp().item() == pytest.approx(0.75 * 1 + 0.25 * 3)
    pairs = Columns(*torch.randn(2, 6, 1, generator=torch.Generator().manual_seed(0)).unbind())
    bound.loss(pairs, torch.Generator().manual_seed(1))
    product = bound.shuffled_scores(pairs, torch.Generator().manual_seed(1))
    assert bound.log_average is not None
    assert bound.log_average.exp().item() == pytest.approx(product.exp().mean().item(), rel=1e-5)
    assert not bound.log_average.requires_grad


def test_latentmi_keeps_a_copy_of_the_best_weights(monkeypatch: pytest.MonkeyPatch):
    """A training that gets worse and worse leaves the weights of its first epoch."""
    columns = Columns(*torch.randn(2, 40, 2, generator=torch.Generator().manual_seed(0)).unbind())
    config = latent.LatentMIConfig(hidden=8, latent_dim=2, epochs=1, batch_size=8)
    left = {}
    for epochs in (1, 4):
        model, generator = seeded(lambda: latent.PairedAutoencoders(2, 2, config), 0)
        judged = iter([1.0, 2.0, 3.0, 4.0])
        monkeypatch.setattr(latent, "check_finite", lambda *_, judged=judged: next(judged))
        torch.manual_seed(0)
        latent.train(model, columns, columns, config.model_copy(update={"epochs": epochs}), generator)
        left[epochs] = torch.cat([weight.detach().flatten() for weight in model.parameters()])
        assert not model.training
    assert left[1].equal(left[4])


def test_a_training_that_runs_away_says_so():
    x, y = drawn(100, 2, 2, 1.0)
    with pytest.raises(
        FloatingPointError, match=r"'mine' must be finite, but is .* after epoch .*; try an lr below 1e\+30"
    ):
        estimate(x, y, config_of("mine", lr=1e30))


def test_linear_combinations_are_named_and_add_nothing():
    x, y = drawn(200, 2, 2, 1.0)
    more = torch.cat([x, x.sum(dim=1, keepdim=True)], dim=1)
    found = estimate(more, y, config_of("gaussian"))
    assert found.warnings == ("1 of 3 dimensions of x are linear combinations of the others",)
    assert found.value == pytest.approx(estimate(x, y, config_of("gaussian")).value, abs=1e-6)


# intervals


def test_the_standard_error_of_a_mean_is_the_known_one():
    """For a plain mean the error is sd / sqrt(N), for every fraction; 400 parts estimate it to 4 %."""
    x = torch.randn(500, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for fraction in (0.2, 0.5, 0.8):
        config = IntervalConfig(subsamples=400, fraction=fraction)
        error = standard_error(Pairs(x, x), lambda part, seed: float(part.x.mean()), config, 2, seed=0)
        assert error == pytest.approx(float(x.std()) / 500**0.5, rel=0.15)


def test_parts_are_drawn_without_replacement():
    x = torch.arange(40.0, dtype=torch.float64)[:, None]
    seen = []
    config = IntervalConfig(subsamples=3, fraction=0.3)
    standard_error(Pairs(x, x), lambda part, seed: seen.append(part.x) or float(seed), config, 2, seed=0)
    assert [len(part.unique()) for part in seen] == [12, 12, 12]
    assert not seen[0].equal(seen[1])


@pytest.mark.parametrize("name", ["ksg", "gaussian"])
def test_the_error_behind_an_interval_is_the_spread_over_data_sets(name: str):
    """The spread over 30 data sets is known to 13 %, the mean error of 5 intervals to some 10 %."""
    values = [estimate(*drawn(400, 2, 2, 1.0, seed), config_of(name)).value for seed in range(30)]
    spread = float(torch.tensor(values).std())
    config = config_of(name, interval=IntervalConfig())
    found = [estimate(*drawn(400, 2, 2, 1.0, seed), config) for seed in range(5)]
    errors = [each.standard_error for each in found if each.standard_error is not None]
    assert sum(errors) / 5 == pytest.approx(spread, rel=0.5)
    low, high = found[0].interval or (0, 0)
    assert low < found[0].value < high
    assert (high - low) / errors[0] == pytest.approx(2 * 2.093, abs=1e-3)  # Student's t for 20 parts


# the self-test


def test_the_self_test_shows_bias_and_spread():
    found = self_test(200, 3, 3, config_of("gaussian"))
    assert [row.true for row in found.rows] == [0.0, 0.5, 1.0, 2.0]
    assert all(abs(row.bias) < 0.2 and 0 < row.spread < 0.2 for row in found.rows)
    assert all(row.bias == pytest.approx(row.mean - row.true) for row in found.rows)
    biased = self_test(200, 3, 3, config_of("gaussian", correct_bias=False))
    for plain, corrected in zip(biased.rows, found.rows, strict=True):
        wishart = sum((digamma((199 - i) / 2) - digamma((196 - i) / 2)) / 2 for i in range(3))
        assert plain.bias - corrected.bias == pytest.approx(wishart)


def test_the_self_test_for_classes_has_the_right_true_values():
    found = self_test(600, 3, 0, config_of("ksg"), num_classes=3)
    assert [row.true / math.log(3) for row in found.rows] == pytest.approx([0, 0.25, 0.5, 0.9], abs=0.03)
    assert all(abs(row.bias) < 0.12 for row in found.rows)
    for dim in (1, 2):
        (*_, last) = self_test(100, dim, 0, config_of("ksg"), num_classes=6, repeats=1).rows
        assert last.true == pytest.approx(0.9 * math.log(6), abs=0.05)


def test_two_distant_classes_hold_ln_2_and_equal_ones_nothing():
    means, y = torch.eye(2).double(), torch.arange(1000) % 2
    noise = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert class_information(50.0, means, y, noise) == pytest.approx(math.log(2), abs=1e-9)
    assert class_information(0.0, means, y, noise) == pytest.approx(0, abs=1e-9)


def test_the_error_at_a_value_is_interpolated_between_mean_estimates():
    rows = (SelfTestRow(0.0, 0.1, 0.1, 0.01, 3), SelfTestRow(1.0, 0.9, -0.1, 0.03, 3))
    found = SelfTest(rows, ())
    assert found.at(0.5) == pytest.approx((0.0, 0.02))
    assert (found.at(-1.0), found.at(5.0)) == ((0.1, 0.01), (-0.1, 0.03))


def test_the_self_test_repeats_warnings_once():
    (warning,) = self_test(50, 12, 12, config_of("ksg"), repeats=2).warnings
    assert "these have 24" in warning


def test_what_the_networks_hold_out_is_not_trained_on():
    """Independent data of many dimensions and few rows: the estimate does not contain what was memorised."""
    x, y = drawn(120, 6, 6, 0.0)
    for name in ("mine", "infonce", "smile"):
        assert estimate(x, y, config_of(name)).value < 0.3
