"""Variational bounds MINE, SMILE and InfoNCE: a critic T(x, y) is trained on one half and evaluated on the other."""

import math
from abc import abstractmethod
from typing import Annotated, Literal

import torch
from jaxtyping import Float32
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trainables.mi.base import Pairs, Value
from trainables.mi.networks import Columns, NeuralConfig, check_finite, columns_of, seeded, split_rows

SHUFFLES = 8
"""Number of permutations of the held-out y that give independent pairs."""
SATURATED = 0.9
"""Share of ln B above which InfoNCE is limited by B and a warning is given."""


class CriticConfig(NeuralConfig):
    """Fields of the bounds that a critic maximises."""

    hidden: Annotated[int, Field(ge=1)] = 128
    """Units in each of the critic's two hidden layers."""
    last_epochs: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of the epochs, at the end, over which held-out values are averaged."""


class MINEConfig(CriticConfig):
    """max E_P[T] - ln E_PxP[e^T] (Belghazi et al. 2018, Eq. 10)."""

    estimator: Literal["mine"] = "mine"
    """Mutual information neural estimation."""
    average: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Weight of a batch in the moving average of E[e^T], which reduces the bias of the gradient."""


class SMILEConfig(CriticConfig):
    """E_P[T] - ln E_PxP[clip(e^T, e^-τ, e^τ)] with T trained as a classifier (Song and Ermon 2020)."""

    estimator: Literal["smile"] = "smile"
    """Smoothed mutual information lower-bound estimator, trained by the Jensen-Shannon bound."""
    clip: Annotated[float, Field(gt=0)] = 5.0
    """τ; a smaller τ gives less variance and more bias."""


class InfoNCEConfig(CriticConfig):
    """E[T(x_i, y_i) - ln 1/B Σ_j e^T(x_i, y_j)] <= ln B (van den Oord et al. 2018)."""

    estimator: Literal["infonce"] = "infonce"
    """Contrastive bound with a separable critic f(x)·g(y)."""
    embedding_dim: Annotated[int, Field(ge=1)] = 32
    """Dimension of f(x) and g(y)."""


class Bound(nn.Module):
    """A critic with its training loss and its bound."""

    @abstractmethod
    def __init__(self, dim_x: int, dim_y: int, config: CriticConfig) -> None:
        super().__init__()

    @abstractmethod
    def loss(self, batch: Columns, generator: torch.Generator) -> Float32[Tensor, ""]:
        """The loss that a training step minimises."""

    @abstractmethod
    def value(self, held_out: Columns, generator: torch.Generator) -> float:
        """The bound in nats on held-out pairs."""


def perceptron(dim: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class JointCritic(Bound):
    """T of concatenated x and y; a shuffled y gives independent pairs. Base of MINE and SMILE."""

    def __init__(self, dim_x: int, dim_y: int, config: CriticConfig) -> None:
        super().__init__(dim_x, dim_y, config)
        self.critic = perceptron(dim_x + dim_y, config.hidden, 1)

    def scores(self, pairs: Columns) -> Float32[Tensor, " rows"]:
        """T(x_i, y_i)."""
        return self.critic(torch.cat(pairs, dim=1))[:, 0]

    def shuffled_scores(self, pairs: Columns, generator: torch.Generator) -> Float32[Tensor, " rows"]:
        """T(x_i, y_j) with j a permutation of i."""
        order = torch.randperm(len(pairs.x), generator=generator).to(pairs.x.device)
        return self.scores(Columns(pairs.x, pairs.y[order]))


class MINE(JointCritic):
    """The Donsker-Varadhan bound, its gradient divided by a moving average of E[e^T]."""

    def __init__(self, dim_x: int, dim_y: int, config: MINEConfig) -> None:
        super().__init__(dim_x, dim_y, config)
        self.weight = config.average
        self.log_average: Tensor | None = None

    def loss(self, batch: Columns, generator: torch.Generator) -> Float32[Tensor, ""]:
        joint, product = self.scores(batch), self.shuffled_scores(batch, generator)
        log_mean = log_mean_exp(product.detach())
        self.log_average = log_mean if self.log_average is None else self.average_with(self.log_average, log_mean)
        return (product - self.log_average).exp().mean() - joint.mean()

    def average_with(self, average: Tensor, log_mean: Tensor) -> Tensor:
        """Logarithm of (1 - weight) average + weight mean, computed without overflow."""
        keep = math.log1p(-self.weight) if self.weight < 1 else -math.inf
        return torch.logaddexp(average + keep, log_mean + math.log(self.weight))

    def value(self, held_out: Columns, generator: torch.Generator) -> float:
        product = torch.cat([self.shuffled_scores(held_out, generator) for _ in range(SHUFFLES)])
        return donsker_varadhan(self.scores(held_out), product)


class SMILE(JointCritic):
    """T classifies true and shuffled pairs; the bound clips e^T of shuffled pairs."""

    def __init__(self, dim_x: int, dim_y: int, config: SMILEConfig) -> None:
        super().__init__(dim_x, dim_y, config)
        self.clip = config.clip

    def loss(self, batch: Columns, generator: torch.Generator) -> Float32[Tensor, ""]:
        joint, product = self.scores(batch), self.shuffled_scores(batch, generator)
        return functional.softplus(-joint).mean() + functional.softplus(product).mean()

    def value(self, held_out: Columns, generator: torch.Generator) -> float:
        product = torch.cat([self.shuffled_scores(held_out, generator) for _ in range(SHUFFLES)])
        return donsker_varadhan(self.scores(held_out), product.clamp(-self.clip, self.clip))


class InfoNCE(Bound):
    """A separable critic; every other pair of the batch is a negative."""

    def __init__(self, dim_x: int, dim_y: int, config: InfoNCEConfig) -> None:
        super().__init__(dim_x, dim_y, config)
        self.embed_x = perceptron(dim_x, config.hidden, config.embedding_dim)
        self.embed_y = perceptron(dim_y, config.hidden, config.embedding_dim)
        self.batch_size = config.batch_size

    def loss(self, batch: Columns, generator: torch.Generator) -> Float32[Tensor, ""]:
        return -contrastive_bound(self.embed_x(batch.x) @ self.embed_y(batch.y).T)

    def value(self, held_out: Columns, generator: torch.Generator) -> float:
        order = torch.randperm(len(held_out.x), generator=generator).to(held_out.x.device)
        size = min(self.batch_size, len(order))
        full = order[: len(order) // size * size].split(size)
        return sum(-float(self.loss(held_out.take(batch), generator)) for batch in full) / len(full)


def log_mean_exp(scores: Float32[Tensor, " rows"]) -> Float32[Tensor, ""]:
    """The logarithm of mean e^T."""
    return scores.logsumexp(dim=0) - math.log(len(scores))


def donsker_varadhan(joint: Float32[Tensor, " rows"], product: Float32[Tensor, " more"]) -> float:
    """E_P[T] - ln E_PxP[e^T] in nats: a lower bound of the MI that equals it for T = ln p(x, y) / p(x) p(y)."""
    return float(joint.mean() - log_mean_exp(product))


def contrastive_bound(scores: Float32[Tensor, "batch batch"]) -> Float32[Tensor, ""]:
    """Mean of T_ii - ln 1/B Σ_j e^T_ij over rows, and the same over columns, averaged; at most ln B."""
    matched = scores.diagonal().mean()
    normalisers = (scores.logsumexp(dim=0).mean() + scores.logsumexp(dim=1).mean()) / 2
    return matched - normalisers + math.log(len(scores))


def train_and_judge(build: type[Bound], pairs: Pairs, config: CriticConfig, seed: int) -> float:
    """Train a critic and return the mean of its held-out bound over the last epochs, in nats.

    Args:
        build: class of the bound.
        pairs: prepared pairs.
        config: training settings.
        seed: seed of the split, the initialisation and the batches.

    """
    columns = columns_of(pairs)
    bound, generator = seeded(lambda: build(columns.x.shape[1], columns.y.shape[1], config), seed)
    bound.to(columns.x.device)
    training, held_out = (
        columns.take(rows.to(columns.x.device)) for rows in split_rows(pairs.rows, config.train_fraction, generator)
    )
    optimizer = torch.optim.Adam(bound.parameters(), lr=config.lr)
    values = []
    for epoch in range(1, config.epochs + 1):
        for rows in torch.randperm(len(training.x), generator=generator).split(config.batch_size):
            if len(rows) > 1:
                optimizer.zero_grad()
                bound.loss(training.take(rows.to(columns.x.device)), generator).backward()
                optimizer.step()
        if epoch > config.epochs * (1 - config.last_epochs) or epoch == config.epochs:
            with torch.no_grad():
                values.append(check_finite(bound.value(held_out, generator), config, epoch))
    return sum(values) / len(values)


def mine(pairs: Pairs, config: MINEConfig, seed: int) -> Value:
    """MINE in nats: E_P[T] - ln E_PxP[e^T] on held-out pairs (Belghazi et al. 2018)."""
    return Value(train_and_judge(MINE, pairs, config, seed))


def smile(pairs: Pairs, config: SMILEConfig, seed: int) -> Value:
    """SMILE in nats: E_P[T] - ln E_PxP[clip(e^T, e^-τ, e^τ)] on held-out pairs (Song and Ermon 2020, Eq. 9)."""
    return Value(train_and_judge(SMILE, pairs, config, seed))


def infonce(pairs: Pairs, config: InfoNCEConfig, seed: int) -> Value:
    """InfoNCE in nats on held-out batches; at most ln B (van den Oord et al. 2018)."""
    nats = train_and_judge(InfoNCE, pairs, config, seed)
    held_out = pairs.rows - min(max(round(config.train_fraction * pairs.rows), 2), pairs.rows - 2)
    size = min(config.batch_size, held_out)
    if nats < SATURATED * math.log(size):
        return Value(nats)
    note = f"{nats:.3f} nats is close to ln({size}) = {math.log(size):.3f}, which InfoNCE cannot exceed"
    return Value(nats, (f"{note}; use a larger batch_size or another estimator",))
