"""The bottleneck dimension H from which the spectrum of ẑ' no longer changes (CIBA paper, section 5.1.3, Fig. 5b, 12).

With a too small H the bottleneck cannot represent everything that the modalities share, and ẑ' lacks dimensions. A
larger H than needed adds nothing to ẑ', but lets features that only the teacher has into h'. So the smallest H after
which the spectrum stays the same is a good estimate of the best H, and no student must be trained for it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

THRESHOLD = 0.05
"""Mean |Δ ln σ| below which two spectra count as the same: singular values differ by 5 % on average."""

FLOOR = 1e-3
"""Singular values below this share of the largest are not compared."""


class Saturation(NamedTuple):
    """Result of the rule on a grid of H."""

    changes: dict[int, float]
    """For each H but the largest, in ascending order: mean |ln σ(H) - mean of ln σ over all larger H|."""
    suggested: int
    """The smallest H whose change is below the threshold; the largest H if there is none."""
    saturated: bool
    """Whether a change is below the threshold. If not, the grid may end too early, or there may be too few seeds."""


def saturation(
    spectra: Mapping[int, Float[Tensor, "seeds dim"]], threshold: float = THRESHOLD, floor: float = FLOOR
) -> Saturation:
    """The rule of section 5.1.3 for the spectra of ẑ' by H.

    The paper reads the point off a figure; this rule is our interpretation. A spectrum is compared with the mean of
    those at all larger H, because a comparison with the next one alone is as noisy as two trainings. Means are taken of
    logarithms. Singular values below `floor` times the largest of all are residues of the training (the decoder is not
    linear, so ẑ' has no exact rank); they are set to this floor, so that their logarithms do not dominate.

    Args:
        spectra: for each H the singular values of every seed.
        threshold: mean |Δ ln σ| below which two spectra count as the same.
        floor: smallest singular value that is compared, relative to the largest.

    Raises:
        ValueError: if there are fewer than two H.
    """
    if len(spectra) < 2:
        raise ValueError(f"a change needs two H or more, but there is only {list(spectra)}; add H to the grid")
    dims = sorted(spectra)
    bottom = max(floor * max(float(values.max()) for values in spectra.values()), torch.finfo(torch.float64).tiny)
    logs = {dim: log_spectrum(spectra[dim], bottom) for dim in dims}
    changes = {
        dim: change(logs[dim], torch.stack([logs[larger] for larger in dims[place:]]).mean(dim=0), bottom)
        for place, dim in enumerate(dims[:-1], start=1)
    }
    small = [dim for dim, value in changes.items() if value < threshold]
    return Saturation(changes, small[0] if small else dims[-1], bool(small))


def log_spectrum(spectra: Float[Tensor, "seeds dim"], bottom: float) -> Float[Tensor, " dim"]:
    """Mean over the seeds of ln σ, with every σ below `bottom` set to `bottom`."""
    return spectra.double().clamp(min=bottom).log().mean(dim=0)


def change(first: Float[Tensor, " dim"], second: Float[Tensor, " dim"], bottom: float) -> float:
    """Mean |Δ ln σ| over the indices where one of both is above ln(`bottom`); 0 if there is none."""
    compared = torch.maximum(first, second) > torch.tensor(bottom, dtype=torch.float64).log()
    return float((first - second).abs()[compared].mean()) if compared.any() else 0.0
