"""The DVIB's architecture and loss, and Algorithm 1's training. `test_bottleneck_kinds` has SA, VQ and the contract."""

import pytest
import torch
from torch import Tensor

from trainables.bottlenecks.dvib import DVIB
from trainables.bottlenecks.training import PairedFeatures, TrainedBottleneck, train_bottleneck
from trainables.methods.ciba import CIBAConfig

TEACHER_DIM, STUDENT_DIM, SHARED = 10, 7, 3
CONFIG = CIBAConfig(bottleneck_dim=4, bottleneck_epochs=4, bottleneck_batch_size=32, lambda_ib=1e-2)


def paired(rows: int, seed: int, dtype: torch.dtype = torch.float32) -> PairedFeatures:
    """Teacher and student features that share `SHARED` factors; the student's are nothing else."""
    mixing = torch.Generator().manual_seed(99)
    to_teacher = torch.randn(SHARED, TEACHER_DIM, generator=mixing, dtype=torch.float64)
    to_student = torch.randn(SHARED, STUDENT_DIM, generator=mixing, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(rows, SHARED, generator=generator, dtype=torch.float64)
    own = torch.randn(rows, TEACHER_DIM, generator=generator, dtype=torch.float64)
    return PairedFeatures((shared @ to_teacher + 0.3 * own).to(dtype), (shared @ to_student).to(dtype))


TRAIN, VAL = paired(100, 0), paired(40, 1)


def train(config: CIBAConfig = CONFIG, seed: int = 0) -> TrainedBottleneck:
    return train_bottleneck(config, TRAIN, VAL, seed)


def weights(trained: TrainedBottleneck) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in trained.model.state_dict().values()])


def val_losses(trained: TrainedBottleneck) -> list[float]:
    return [report.metrics["val/loss"] for report in trained.history]


def test_the_dvib_of_the_paper_has_2124816_parameters():
    dvib = DVIB(CIBAConfig(bottleneck_dim=8), 1024, 1024)
    assert sum(parameter.numel() for parameter in dvib.parameters()) == 2_124_816


def test_the_encoders_hidden_layer_is_as_wide_as_the_teacher_and_the_decoders_as_the_student():
    shapes = {name: tuple(tensor.shape) for name, tensor in DVIB(CONFIG, 10, 7).named_parameters() if "weight" in name}
    assert shapes == {
        "hidden.0.weight": (10, 10),
        "mean.weight": (4, 10),
        "log_variance.weight": (4, 10),
        "decoder.0.weight": (7, 4),
        "decoder.2.weight": (7, 7),
    }


def test_the_dvibs_loss_follows_algorithm_1():
    torch.manual_seed(0)
    dvib = DVIB(CONFIG, TEACHER_DIM, STUDENT_DIM).double()
    teacher, student = paired(5, 2, torch.float64)
    noise = torch.randn(5, 4, dtype=torch.float64)
    generation = regularization = 0.0
    for z_teacher, z, epsilon in zip(teacher, student, noise, strict=True):
        hidden = dvib.hidden[0](z_teacher).clamp(min=0)
        mean, log_variance = dvib.mean(hidden), dvib.log_variance(hidden)
        sample = mean + log_variance.exp().sqrt() * epsilon
        decoded = dvib.decoder[2](dvib.decoder[0](sample).clamp(min=0))
        generation += sum((decoded[j] - z[j]).item() ** 2 for j in range(STUDENT_DIM)) / 5
        for mu, log_var in zip(mean.tolist(), log_variance, strict=True):
            regularization += 0.5 * (mu**2 + log_var.exp().item() - 1 - log_var.item()) / 5
    loss = dvib.loss(teacher, student, noise)
    assert loss.generation.item() == pytest.approx(generation, rel=1e-12)
    assert loss.regularization.item() == pytest.approx(regularization, rel=1e-12)


@pytest.mark.slow
def test_a_converged_bottleneck_finds_what_teacher_and_student_share():
    """Three shared factors: H = 3 explains the student's features, H = 1 cannot."""
    config = CIBAConfig(bottleneck_dim=SHARED, bottleneck_lr=1e-2, bottleneck_epochs=150, lambda_ib=1e-3)
    unexplained = VAL.student.square().sum(dim=1).mean()
    wide = train_bottleneck(config, TRAIN, VAL, 0)
    narrow = train_bottleneck(config.model_copy(update={"bottleneck_dim": 1}), TRAIN, VAL, 0)
    left = [(VAL.student - model.reconstruct(VAL.teacher)).square().sum(dim=1).mean() for model in (wide, narrow)]
    assert left[0] < 0.1 * unexplained < left[1]


@pytest.mark.slow
def test_a_heavy_regularization_empties_the_bottleneck():
    trained = train(CONFIG.model_copy(update={"lambda_ib": 1e4, "bottleneck_lr": 1e-2, "bottleneck_epochs": 100}))
    assert trained.history[trained.selected_epoch - 1].metrics["val/regularization"] < 0.01
    assert trained.encode(VAL.teacher).var(dim=0).sum() < 0.01 * train().encode(VAL.teacher).var(dim=0).sum()


def test_the_same_seed_gives_the_same_bottleneck_bit_for_bit():
    first, again, other = train(seed=3), train(seed=3), train(seed=4)
    assert torch.equal(weights(first), weights(again)) and first.history == again.history
    assert not torch.equal(weights(first), weights(other))


def test_training_neither_reads_nor_moves_the_global_generator():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = train()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(weights(first), weights(train()))


def test_training_leaves_the_features_as_they_were():
    copies = [tensor.clone() for split in (TRAIN, VAL) for tensor in split]
    train()
    assert all(torch.equal(a, b) for a, b in zip(copies, (*TRAIN, *VAL), strict=True))


def test_the_weights_are_those_of_the_best_validation_epoch():
    """A learning rate at which the loss jumps about: the best epoch is not the last."""
    trained = train(CONFIG.model_copy(update={"bottleneck_lr": 0.1, "bottleneck_epochs": 30}))
    losses = val_losses(trained)
    assert losses.index(min(losses)) + 1 == trained.selected_epoch < trained.epochs
    loss = trained.model.loss(*VAL, torch.zeros(40, trained.model.noise_dim))
    assert (loss.generation + CONFIG.lambda_ib * loss.regularization).item() == pytest.approx(min(losses), rel=1e-5)


def test_training_stops_when_patience_is_spent_and_only_then():
    config = CONFIG.model_copy(update={"bottleneck_lr": 0.1, "bottleneck_epochs": 200, "bottleneck_patience": 3})
    trained = train(config)
    losses = val_losses(trained)
    assert trained.epochs == trained.selected_epoch + 3 < 200
    for epoch in range(4, trained.epochs):
        assert min(losses[epoch - 3 : epoch]) < min(losses[: epoch - 3]), "it should have stopped earlier"


def test_the_history_reports_the_loss_and_its_parts():
    trained = train()
    assert [report.epoch for report in trained.history] == [1, 2, 3, 4]
    for report in trained.history:
        assert len(report.metrics) == 6
        for split in ("train", "val"):
            generation, regularization = (
                report.metrics[f"{split}/generation"],
                report.metrics[f"{split}/regularization"],
            )
            assert report.metrics[f"{split}/loss"] == pytest.approx(generation + 0.01 * regularization, rel=1e-6)
    assert val_losses(trained)[-1] < val_losses(trained)[0]


STAGE_FIELDS = {
    "bottleneck_dim": 5,
    "lambda_ib": 1.0,
    "bottleneck_lr": 2e-3,
    "bottleneck_batch_size": 16,
    "bottleneck_epochs": 3,
    "bottleneck_patience": 1,
}


@pytest.mark.parametrize("field", STAGE_FIELDS)
def test_every_field_of_the_stage_changes_its_result(field: str):
    base = CONFIG.model_copy(update={"bottleneck_lr": 0.1, "bottleneck_epochs": 30})
    changed = base.model_copy(update={field: STAGE_FIELDS[field]})
    first, second = weights(train(base)), weights(train(changed))
    assert first.shape != second.shape or not torch.equal(first, second)


def test_float64_features_are_trained_in_float64():
    trained = train_bottleneck(CONFIG, paired(100, 0, torch.float64), paired(40, 1, torch.float64), 0)
    assert trained.encode(paired(3, 2, torch.float64).teacher).dtype == torch.float64
    assert val_losses(trained) == pytest.approx(val_losses(train()), rel=1e-4)


def test_what_it_encodes_needs_no_gradient():
    trained = train()
    assert not trained.encode(VAL.teacher).requires_grad and not trained.reconstruct(VAL.teacher).requires_grad
    assert not trained.model.training


def test_a_diverging_training_says_so():
    features = PairedFeatures(1e30 * TRAIN.teacher, TRAIN.student)
    with pytest.raises(FloatingPointError, match=r"validation loss must be finite.*after epoch 1"):
        train_bottleneck(CONFIG, features, VAL, 0)
