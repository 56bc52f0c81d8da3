"""The arrays that a trial stores of its student: against the definitions, and through `fit` with known answers."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.data.synthetic.separable import SeparableConfig, matrices
from trainables.diagnostics.dimension_tsne import embed_dimensions
from trainables.diagnostics.spectra import weight_spectrum
from trainables.evaluation.trial_diagnostics import SAMPLE_ROWS, LossSplit, linear_map, sample
from trainables.fitting import FitResult, fit
from trainables.models.mlp import MLPConfig, build_mlp
from trainables.stages.artifacts import StageStore
from trainables.stages.networks import outputs_stage, restore_unimodal
from trainables.stages.prepared import prepared_stage, read_prepared

LINEAR = {"model": "mlp", "hidden": [], "feature_dim": 8, "activation": "none"}
DATA = {"dataset": "separable", "dim": 10, "general_dim": 4, "train": 60, "val": 40, "test": 300}
FULL_BATCH = {"optimizer": "sgd", "lr": 0.1, "momentum": 0, "weight_decay": 0, "batch_size": 60, "select": "last"}
FD_ONLY = {"method": "feature_kd", "reduction": "sum", "lambda_task": 0}


def trial(epochs: int = 120, **changes: object) -> TrialConfig:
    values = {
        "data": DATA,
        "teacher": LINEAR,
        "student": LINEAR,
        "method": FD_ONLY,
        "training": {**FULL_BATCH, "epochs": epochs},
        "pretraining": {**FULL_BATCH, "epochs": 20},
    }
    return TrialConfig.model_validate({**values, **changes})


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> StageStore:
    return StageStore(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="module")
def collapsed(stages: StageStore) -> FitResult:
    return fit(trial(), stages=stages)


def test_linear_map_is_the_product_of_the_layers() -> None:
    torch.manual_seed(0)
    model = build_mlp(MLPConfig(hidden=(6, 5), activation="none", feature_dim=4), (7,), 2).double()
    first, second = model.layers[1].weight, model.layers[4].weight
    torch.testing.assert_close(linear_map(model, 7), (model.tap.weight @ second @ first).detach())


def test_loss_split_against_loops() -> None:
    weight, teacher_x, student_x = normal(3, 5), normal(5, 7, seed=1), normal(4, 7, seed=2)
    torch.manual_seed(3)
    student = build_mlp(MLPConfig(hidden=(), activation="none", feature_dim=3), (4,), 2).double()
    own = student.tap.weight.detach()
    general = specific = 0.0
    for i in range(7):
        for f in range(3):
            shared = sum((weight[f, d] * teacher_x[d, i] - own[f, d] * student_x[d, i]).item() for d in range(2))
            rest = sum((weight[f, d] * teacher_x[d, i]).item() for d in range(2, 5))
            rest -= sum((own[f, d] * student_x[d, i]).item() for d in range(2, 4))
            general, specific = general + shared**2 / 2, specific + rest**2 / 2
    found = LossSplit(weight, teacher_x, student_x, 2, False)(student)
    assert found == {"train/fd_general": pytest.approx(general), "train/fd_specific": pytest.approx(specific)}


def test_a_loss_that_cannot_see_a_shift_is_split_without_it() -> None:
    """A teacher that adds any number to all features of a row is the same teacher to a cross-entropy of features."""
    weight, x = normal(3, 5), normal(5, 7, seed=1)
    shifted = weight + normal(1, 5, seed=4)
    torch.manual_seed(3)
    student = build_mlp(MLPConfig(hidden=(), activation="none", feature_dim=3), (5,), 2).double()
    found, other = (LossSplit(each, x, x, 2, True) for each in (weight, shifted))
    assert found(student) == pytest.approx(other(student))
    assert found.limit().item() == pytest.approx(other.limit().item())
    assert LossSplit(weight, x, x, 2, False)(student) != pytest.approx(LossSplit(shifted, x, x, 2, False)(student))


def test_the_trained_student_collapses_to_the_shared_dimensions(collapsed: FitResult) -> None:
    """Theorem 1 through the whole of `fit`, biases included: 4 singular values, then float32's rounding."""
    for name, floor in (("weights/tap", 1e-5), ("features/train", 1e-10)):
        values = collapsed.diagnostics[name]
        assert values[3] > 0.05 * values[0] and values[4] < floor * values[0], name


def test_without_centring_the_biases_carry_one_dimension_more(stages: StageStore) -> None:
    values = fit(trial(data={**DATA, "centred": False}), stages=stages).diagnostics["weights/tap"]
    assert values[4] > 0.01 * values[0] and values[5] < 1e-5 * values[0]


def test_the_loss_stops_at_the_corollarys_line(collapsed: FitResult) -> None:
    first, last = collapsed.history[0].metrics, collapsed.history[-1].metrics
    limit = collapsed.diagnostics["split/limit"].item()
    assert last["train/fd_general"] < 1e-6 * first["train/fd_general"]
    assert last["train/fd_specific"] == pytest.approx(limit, rel=1e-5) and first["train/fd_specific"] > 1.001 * limit


def test_the_limit_is_that_of_the_trials_own_teacher(collapsed: FitResult, stages: StageStore) -> None:
    config = trial()
    data, unimodal = read_prepared(stages, prepared_stage(config)), outputs_stage(config, "teacher").unimodal
    weight = restore_unimodal(stages, unimodal, data, torch.device("cpu")).tap.weight.detach().double().numpy()
    teacher_x = matrices(SeparableConfig.model_validate(DATA))[0]
    expected = 0.5 * ((weight[:, 4:] @ teacher_x[4:]) ** 2).sum()
    assert collapsed.diagnostics["split/limit"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": {"method": "kd"}},
        {"method": {"method": "none"}},
        {"student": {**LINEAR, "activation": "relu"}},
        {"student": {**LINEAR, "feature_dim": 6}},
        {"data": {"dataset": "mfh", "train": 60, "val": 40, "test": 40}},
    ],
)
def test_elsewhere_there_is_no_split(stages: StageStore, changes: dict) -> None:
    fitted = fit(trial(epochs=1, **changes), stages=stages)
    assert "split/limit" not in fitted.diagnostics
    assert not any(name.startswith("train/fd_") for name in fitted.history[0].metrics)


def test_kept_arrays_are_what_they_say(collapsed: FitResult, stages: StageStore) -> None:
    kept, student = collapsed.diagnostics, collapsed.student
    torch.testing.assert_close(kept["weights/tap"], weight_spectrum(student.tap.weight))
    torch.testing.assert_close(kept["weights/head"], weight_spectrum(student.head.weight))
    test = read_prepared(stages, prepared_stage(trial())).test.student
    rows = np.linspace(0, 299, SAMPLE_ROWS).round().astype(int)
    with torch.no_grad():
        torch.testing.assert_close(kept["sample/student"], student(test[rows]).features)
    frozen = stages.get(outputs_stage(trial(), "teacher")).arrays["test/features"]
    assert torch.equal(kept["sample/teacher"], frozen[rows]) and kept["sample/teacher"].dtype == torch.float32


def test_a_student_without_a_teacher_keeps_none(stages: StageStore) -> None:
    assert "sample/teacher" not in fit(trial(epochs=1, method={"method": "none"}), stages=stages).diagnostics


def test_a_sample_is_spread_over_all_vectors_of_all_rows() -> None:
    assert torch.equal(sample(torch.arange(6.0).reshape(3, 2)), torch.arange(6.0).reshape(3, 2))
    cells = torch.arange(2.0 * 3 * 200).reshape(2, 3 * 200, 1)
    kept = sample(cells)[:, 0]
    assert len(kept) == SAMPLE_ROWS and kept[0] == 0 and kept[-1] == 1199 and (kept.diff() > 0).all()


def test_dimensions_that_say_the_same_lie_together() -> None:
    """Two networks whose dimensions follow one of two signals: by signal, not by network."""
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((2, 40))
    kinds = rng.integers(0, 2, (2, 20))
    features = [(5 * signals[kind] + 0.1 * rng.standard_normal((20, 40))).T.astype(np.float32) for kind in kinds]
    found = embed_dimensions(features)
    assert [part.shape for part in found] == [(20, 2), (20, 2)]
    points, kind = np.concatenate(found), kinds.ravel()
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (kind[distance.argmin(axis=1)] == kind).all()
    assert np.array_equal(points, np.concatenate(embed_dimensions(features))), "the same picture every time"
