"""Latent mutual information: KSG on the codes of paired autoencoders (Gowri et al. 2024), written from the paper.

Architecture, loss and optimiser are the published ones. Ours: the weights of the best epoch are used, the validation
loss is computed without dropout, and classes use Ross's estimator instead of KSG-1.
"""

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float32
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from trainables.mi.base import Pairs, Value
from trainables.mi.ksg import KSGConfig, ksg
from trainables.mi.networks import Columns, NeuralConfig, check_finite, columns_of, seeded, split_rows

SLOPE = 0.2
"""Slope of LeakyReLU below 0."""
DROPOUT = 0.5
"""Dropout of the decoders across modalities."""


class LatentMIConfig(NeuralConfig):
    """KSG on low-dimensional codes that reconstruct both sides; biased downward, by data processing."""

    estimator: Literal["latentmi"] = "latentmi"
    """Latent mutual information."""
    batch_size: Annotated[int, Field(ge=2)] = 512
    """Pairs in one optimisation step."""
    epochs: Annotated[int, Field(ge=1)] = 300
    """Most passes over the training pairs."""
    lr: Annotated[float, Field(gt=0)] = 1e-4
    """Learning rate of Adam."""
    patience: Annotated[int, Field(ge=1)] = 30
    """Number of epochs without a lower held-out loss after which training ends."""
    hidden: Annotated[int, Field(ge=4)] = 1024
    """Units of the first layer; the next two layers have a half and a quarter."""
    latent_dim: Annotated[int, Field(ge=1)] = 8
    """Dimension of each code; if several are tried, the highest estimate is the best."""
    k: Annotated[int, Field(ge=1)] = 3
    """Number of neighbours of the estimate on the codes."""


def minimum_rows(config: LatentMIConfig) -> int:
    """Least number of pairs, so that the held-out codes have k neighbours."""
    held_out = config.k + 2
    return max(8, math.ceil(held_out / (1 - config.train_fraction)), math.ceil(2 / config.train_fraction))


class PairedAutoencoders(nn.Module):
    """x -> z_x -> x, y and y -> z_y -> y, x."""

    def __init__(self, dim_x: int, dim_y: int, config: LatentMIConfig) -> None:
        super().__init__()
        widths = (config.hidden, config.hidden // 2, config.hidden // 4)
        code = config.latent_dim
        self.encode_x, self.encode_y = layers(dim_x, *widths, code), layers(dim_y, *widths, code)
        self.x_from_x, self.y_from_y = layers(code, *widths[::-1], dim_x), layers(code, *widths[::-1], dim_y)
        self.y_from_x = layers(code, *widths[::-1], dim_y, dropout=DROPOUT)
        self.x_from_y = layers(code, *widths[::-1], dim_x, dropout=DROPOUT)

    def codes(self, pairs: Columns) -> Columns:
        """z_x and z_y."""
        return Columns(self.encode_x(pairs.x), self.encode_y(pairs.y))

    def loss(self, pairs: Columns) -> Float32[Tensor, ""]:
        """Reconstruction within and across the modalities: four mean squared errors."""
        code_x, code_y = self.codes(pairs)
        within = mse_loss(self.x_from_x(code_x), pairs.x) + mse_loss(self.y_from_y(code_y), pairs.y)
        across = mse_loss(self.x_from_y(code_y), pairs.x) + mse_loss(self.y_from_x(code_x), pairs.y)
        return within + across


def layers(*widths: int, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers with LeakyReLU between them and dropout before each."""
    made: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        made += [nn.LeakyReLU(SLOPE)] if number else []
        made += [nn.Dropout(dropout)] if dropout else []
        made.append(nn.Linear(before, after))
    return nn.Sequential(*made)


def latentmi(pairs: Pairs, config: LatentMIConfig, seed: int) -> Value:
    """I(z_x; z_y) in nats by KSG-1 on the held-out codes; I(z_x; Y) by Ross where y is a class."""
    columns = columns_of(pairs)
    model, generator = seeded(lambda: PairedAutoencoders(columns.x.shape[1], columns.y.shape[1], config), seed)
    model.to(columns.x.device)
    training, held_out = (
        rows.to(columns.x.device) for rows in split_rows(pairs.rows, config.train_fraction, generator)
    )
    with torch.random.fork_rng(devices=[columns.x.device] if columns.x.is_cuda else []):
        torch.manual_seed(seed)  # for dropout, which takes no generator
        train(model, columns.take(training), columns.take(held_out), config, generator)
    with torch.no_grad():
        codes = model.codes(columns.take(held_out))
    noise = torch.randn(len(held_out), 2 * config.latent_dim, generator=generator, dtype=torch.float64)
    parts = (noise.to(columns.x.device) * config.jitter).split(config.latent_dim, dim=1)
    target = pairs.y[held_out] if pairs.num_classes else codes.y.double() + parts[1]
    found = ksg(Pairs(codes.x.double() + parts[0], target), KSGConfig(k=config.k), seed)
    return Value(found.nats)


def train(
    model: PairedAutoencoders, training: Columns, held_out: Columns, config: LatentMIConfig, generator: torch.Generator
) -> None:
    """Minimise the loss until that of the held-out pairs stops falling; leaves the best weights, in eval mode."""
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, eps=1e-7)
    best_loss, best_epoch, best_weights = math.inf, 0, {}
    for epoch in range(1, config.epochs + 1):
        model.train()
        for rows in torch.randperm(len(training.x), generator=generator).split(config.batch_size):
            optimizer.zero_grad()
            model.loss(training.take(rows.to(training.x.device))).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss = check_finite(float(model.loss(held_out)), config, epoch)
        if loss < best_loss:
            best_loss, best_epoch = loss, epoch
            best_weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        elif epoch - best_epoch >= config.patience:
            break
    model.load_state_dict(best_weights)
