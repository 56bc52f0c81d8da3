"""Singular-value spectra: how many dimensions a representation uses (Jing et al. 2022; CIBA paper, Fig. 5a).

A spectrum contains the singular values; figures show their logarithms, in which collapsed dimensions appear as a drop.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

CHUNK_ROWS = 2**20
"""Rows that are decomposed at once: bird's-eye views have tens of millions of feature vectors."""


def singular_value_spectrum(features: Float[Tensor, "rows dim"]) -> Float[Tensor, " dim"]:
    """Singular values of the features' covariance, descending: those of C = Σ (z_i - z̄)(z_i - z̄)ᵀ / rows.

    In [0, inf); with fewer rows than dimensions the last `dim - rows` are exactly 0. C is never formed: its singular
    values are the squares of the centred features' over the rows, which keeps the small ones accurate.
    """
    features = features.detach()
    mean = features.mean(dim=0, dtype=torch.float64)
    parts = (part.double() - mean for part in features.split(CHUNK_ROWS))
    if len(features) > CHUNK_ROWS:  # equally accurate: R of QR has the singular values of its part
        parts = (torch.linalg.qr(part, mode="r").R for part in parts)
    values = torch.linalg.svdvals(torch.cat(list(parts))).square() / len(features)
    return functional.pad(values, (0, features.shape[1] - len(values)))


def weight_spectrum(weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, " values"]:
    """Singular values of a linear layer's weight, descending: min(outputs, inputs) of them, in [0, inf)."""
    return torch.linalg.svdvals(weight.detach().double())


def effective_rank(singular_values: Float[Tensor, " values"]) -> Float[Tensor, ""]:
    """exp(-Σ p_i ln p_i), p_i = σ_i / Σ σ (Roy and Vetterli 2007).

    In [1, number of values], the upper end iff all are equal; unchanged by their scale; 0 if all are 0.
    """
    singular_values = singular_values.double()
    total = singular_values.sum()
    shares = singular_values / torch.where(total > 0, total, 1)
    return torch.where(total > 0, torch.special.entr(shares).sum().exp(), 0)
