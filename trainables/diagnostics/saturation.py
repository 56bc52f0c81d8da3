"""From which bottleneck dimension H on the spectrum of ẑ' no longer changes (CIBA paper, section 5.1.3, Fig. 5b, 12).

With too small an H the bottleneck cannot hold all that the modalities share, and ẑ' lacks dimensions; more than enough
adds nothing to ẑ', but lets the teacher's own features into h'. So the smallest H after which the spectrum stays the
same is a good guess at the best one, had without training a single student.
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
    """What the rule finds on a grid of H."""

    changes: dict[int, float]
    """By H, ascending: mean |ln σ(H) - mean of ln σ over all larger H|. The largest H has none."""
    suggested: int
    """The smallest H whose change is below the threshold; the largest H if there is none."""
    saturated: bool
    """Whether there is one. If not, the grid may end too early, or the seeds may be too few for the threshold."""


def saturation(
    spectra: Mapping[int, Float[Tensor, "seeds dim"]], threshold: float = THRESHOLD, floor: float = FLOOR
) -> Saturation:
    """The rule of section 5.1.3 for the spectra of ẑ' by H.

    The paper reads the point off a figure; this is our reading. A spectrum is compared with the mean of those at all
    larger H, not with the next one alone, because a single comparison is as noisy as two trainings are. Means are
    taken of logarithms. Only singular values of at least `floor` times the largest of all count, on either side: what
    is smaller is left by the training (the decoder is not linear, so ẑ' has no exact rank), and its logarithm would
    drown the rest. Smaller ones are taken as the floor itself.

    Raises:
        ValueError: with fewer than two H.
    """
    if len(spectra) < 2:
        raise ValueError(f"a change needs two H or more, but there is only {list(spectra)}; add to the grid")
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
    """Mean over the seeds of ln σ, with every σ below `bottom` taken as `bottom`."""
    return spectra.double().clamp(min=bottom).log().mean(dim=0)


def change(first: Float[Tensor, " dim"], second: Float[Tensor, " dim"], bottom: float) -> float:
    """Mean |Δ ln σ| over the indices at which either is above ln(`bottom`); 0 if none is."""
    compared = torch.maximum(first, second) > torch.tensor(bottom, dtype=torch.float64).log()
    return float((first - second).abs()[compared].mean()) if compared.any() else 0.0
