"""Acceptance: the gamma sweep of the modality focusing hypothesis, on this project's data, networks and losses.

The recipe is the published one (linear networks, SGD 0.1, 1000 full-batch epochs, cross-entropy plus PyTorch's "mean"
KL, 10 seeds), with 16 seeds, so that the property to be shown is larger than its own noise: what distillation gains
rises with gamma, is negative where teacher and student share nothing (gamma 0), and positive from gamma 0.43 on.
All runs are trained at once, as one stack of networks.
"""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from trainables.common.types import Batch
from trainables.data.synthetic.mfh import MFHConfig, load
from trainables.losses.distillation import labelled_cross_entropy, logit_kl
from trainables.models.mlp import MLP, MLPConfig, build_mlp

OVERLAPS = (0, 2, 4, 6, 8, 10)
"""gamma = overlap / (20 - overlap) = 0, 0.11, 0.25, 0.43, 0.67, 1."""
SEEDS, EPOCHS = 16, 1000
LINEAR = MLPConfig(hidden=(), activation="none", feature_dim=2)
"""Two linear layers: of the same functions as the published single layer, and at 1000 epochs as good as converged."""


def stack(batches: list[Batch]) -> Batch:
    return Batch(*(torch.stack(field) for field in zip(*batches, strict=True)))


def train(batch: Batch, inputs: Tensor, teacher_logits: Tensor, kd_weights: Tensor) -> tuple[MLP, dict[str, Tensor]]:
    """One network for each row of the stack, seeds 0 ... SEEDS-1 over and over: a template and its stacked weights."""
    networks = []
    for run in range(len(inputs)):
        torch.manual_seed(run % SEEDS)
        networks.append(build_mlp(LINEAR, inputs.shape[2:], 2))
    weights = stack_module_state(networks)[0]

    def objective(weight: dict[str, Tensor], x: Tensor, batch: Batch, target: Tensor, kd_weight: Tensor) -> Tensor:
        logits = functional_call(networks[0], weight, (x,)).logits
        task = labelled_cross_entropy(logits, batch.labels, batch.labelled)
        mean_over_elements = logit_kl(logits, target, temperature=1.0) / 2
        return task + kd_weight * mean_over_elements

    optimizer = torch.optim.SGD(list(weights.values()), lr=0.1)
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        vmap(objective)(weights, inputs, batch, teacher_logits, kd_weights).sum().backward()
        optimizer.step()
    return networks[0], weights


@torch.no_grad()
def apply(networks: tuple[MLP, dict[str, Tensor]], inputs: Tensor) -> Tensor:
    return vmap(lambda weight, x: functional_call(networks[0], weight, (x,)).logits)(networks[1], inputs)


@pytest.fixture(scope="module")
def gains() -> Tensor:
    """Test accuracy with distillation minus without, in points: (overlap, seed). Prints the table (pytest -s)."""
    data = [load(MFHConfig(overlap=overlap, data_seed=seed)) for overlap in OVERLAPS for seed in range(SEEDS)]
    taught, tested = stack([pairs.train for pairs in data]), stack([pairs.test for pairs in data])
    nothing = torch.zeros(len(data), 200, 2)
    teacher_logits = apply(train(taught, taught.teacher, nothing, torch.zeros(len(data))), taught.teacher)
    alone = [field[:SEEDS] for field in taught]
    both = Batch(*(torch.cat(pair) for pair in zip(alone, taught, strict=True)))
    students = train(
        both,
        both.student,
        torch.cat([nothing[:SEEDS], teacher_logits]),
        torch.cat([torch.zeros(SEEDS), torch.ones(len(data))]),
    )
    logits = apply(students, torch.cat([tested.student[:SEEDS], tested.student]))
    right = logits.argmax(dim=2) == torch.cat([tested.labels[:SEEDS], tested.labels])
    accuracy = 100 * right.double().mean(dim=1).view(-1, SEEDS)
    gained = accuracy[1:] - accuracy[0]
    error = gained.std(dim=1) / SEEDS**0.5
    print(f"\nwithout distillation {accuracy[0].mean():.1f}")
    for overlap, mean, standard_error in zip(OVERLAPS, gained.mean(dim=1), error, strict=True):
        print(f"gamma {overlap / (20 - overlap):.2f}: {mean:+.2f} (standard error {standard_error:.2f})")
    return gained


@pytest.mark.slow
def test_the_gain_rises_with_gamma(gains: Tensor) -> None:
    """Each step up, but for two standard errors of that step (paired over seeds); the whole way up, far beyond it."""
    steps = gains[1:] - gains[:-1]
    slack = 2 * steps.std(dim=1) / SEEDS**0.5
    assert slack.max() < 0.6
    assert (steps.mean(dim=1) > -slack).all()
    whole = gains[-1] - gains[0]
    assert whole.mean() > 8 * whole.std() / SEEDS**0.5


@pytest.mark.slow
def test_the_gain_is_negative_without_overlap_and_positive_from_gamma_043(gains: Tensor) -> None:
    mean, error = gains.mean(dim=1), gains.std(dim=1) / SEEDS**0.5
    assert mean[0] < -2 * error[0]
    assert (mean[3:] > 2 * error[3:]).all()
