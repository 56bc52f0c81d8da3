"""separable: Gaussian data whose modalities are completely separated (CIBA paper, Theorem 1 and Appendix D.1).

The student's input is [G; S], the teacher's [G; S']: `general_dim` shared rows G, and dim - general_dim specific rows S
or S'. Over the training pairs all rows of G, S and S' are mutually orthogonal (Gram-Schmidt on Gaussian rows,
then scaled to a mean square of 1), so that Theorem 1 holds exactly there.

The paper takes the label from its source, the modality focusing hypothesis: y = 1[a'x > 0] with a ~ N(0, I) over all
decisive features. Here x = [G; S; S'], so the general and both specific parts decide, gamma is
general_dim / (2 dim - general_dim), and the part of the label that the student can predict grows with general_dim.

Validation and test pairs are new Gaussian draws without Gram-Schmidt, because the population of the training rows has
independent features of deviation 1. The training rows are centred before Gram-Schmidt unless `centred` is false
(Gram-Schmidt keeps centred rows centred). Networks have biases, which act as one more shared input, the constant row.
So if the rows have means, the features collapse to rank D_g + 1 and not to D_g. The theorem itself, about weights
without biases, is true in both cases.
"""

from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from pydantic import AfterValidator, Field

from search_spaces.domains import Choice
from trainables.common.types import EarlierFields, PairedData, earlier
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.raw_files import fingerprint_of
from trainables.data.common.splits import join_splits

VERSION = 2
"""Increase it when `load` makes other arrays from the same config."""


def at_most_dim(general_dim: int, info: EarlierFields) -> int:
    """A check of `general_dim`, after `dim`."""
    dim = earlier(info, "dim")
    if isinstance(dim, int) and general_dim > dim:
        raise ValueError(
            f"general_dim counts shared inputs, so it must be at most dim = {dim!r}, but got {general_dim!r}; lower it"
        )
    return general_dim


def enough_for_orthogonal_rows(train: int, info: EarlierFields) -> int:
    """A check of `train`, after `dim`, `general_dim`, `orthogonal` and `centred`."""
    dim, general_dim = earlier(info, "dim"), earlier(info, "general_dim")
    if earlier(info, "orthogonal") and isinstance(dim, int) and isinstance(general_dim, int):
        centred = bool(earlier(info, "centred"))
        rows = 2 * dim - general_dim + centred
        if train < rows:
            raise ValueError(
                f"orthogonal rows need at least as many training pairs as there are features, "
                f"2 dim - general_dim{' + 1 (centred)' * centred} = {rows}, but got {train!r}; "
                "raise train or set `orthogonal: false`"
            )
    return train


class SeparableConfig(DataConfig):
    """Shared and specific Gaussian features, orthogonal over the training pairs."""

    dataset: Literal["separable"] = "separable"
    """Completely separated Gaussian data of Theorem 1."""
    dim: Annotated[int, Field(ge=1)] = 50
    """Inputs of the teacher, and of the student (D)."""
    general_dim: Annotated[
        int, Field(ge=0, validate_default=True), AfterValidator(at_most_dim), Choice((5, 10, 20, 30, 40, 50))
    ] = 10
    """Inputs that both share (D_g); the others are specific to each."""
    orthogonal: bool = True
    """Gram-Schmidt over the training pairs; false leaves the Gaussian rows as drawn."""
    centred: bool = True
    """Subtract each input's mean over the training pairs, so that biases do not act as a shared input."""
    train: Annotated[int, Field(ge=2, validate_default=True), AfterValidator(enough_for_orthogonal_rows)] = 200
    """Training pairs."""
    val: Annotated[int, Field(ge=2)] = 1000
    """Validation pairs."""
    test: Annotated[int, Field(ge=2)] = 1000
    """Test pairs."""
    data_seed: Annotated[int | None, Field(ge=0)] = 0
    """Seed of the hyperplane and of all pairs; null: the trial's seed, so that every seed has other data."""

    def shared_inputs(self) -> int | None:
        return self.general_dim


def load(config: SeparableConfig) -> PairedData:
    """The three splits, not standardised. A config without a `data_seed` draws with seed 0."""
    plane = generators(config)[0]
    features = draw_features(config)
    normal = plane.standard_normal(2 * config.dim - config.general_dim)
    parts = [(*views(config, x), (normal @ x > 0).astype(np.int64)) for x in features]
    return join_splits([(teacher.T, student.T, labels) for teacher, student, labels in parts], 2)


def matrices(config: SeparableConfig) -> tuple[Float64[ndarray, "dim train"], Float64[ndarray, "dim train"]]:
    """X' (teacher) and X (student) of the training pairs in the paper's layout: float64, one column for each pair.

    `load` returns the same numbers, transposed and rounded to float32.
    """
    return views(config, draw_features(config)[0])


def generators(config: SeparableConfig) -> list[np.random.Generator]:
    """Independent sources for the hyperplane and for train, val and test."""
    return [np.random.default_rng(seed) for seed in np.random.SeedSequence(config.data_seed or 0).spawn(4)]


def draw_features(config: SeparableConfig) -> list[Float64[ndarray, "features pairs"]]:
    """[G; S; S'] of train, val and test, one column for each pair."""
    features = 2 * config.dim - config.general_dim
    sizes = (config.train, config.val, config.test)
    drawn = [
        source.standard_normal((features, size)) for source, size in zip(generators(config)[1:], sizes, strict=True)
    ]
    if config.centred:
        drawn[0] -= drawn[0].mean(axis=1, keepdims=True)
    if config.orthogonal:
        drawn[0] = gram_schmidt(drawn[0]) * np.sqrt(config.train)
    return drawn


def gram_schmidt(rows: Float64[ndarray, "rows columns"]) -> Float64[ndarray, "rows columns"]:
    """Orthonormal rows with the same leading spans; the first keeps its direction (QR with a positive diagonal)."""
    q, r = np.linalg.qr(rows.T)
    return (q * np.sign(np.diag(r))).T


def views(config: SeparableConfig, features: Float64[ndarray, "features pairs"]) -> tuple[ndarray, ndarray]:
    """The inputs of teacher and student.

    Args:
        config: the config of the data.
        features: [G; S; S'], one column for each pair.

    Returns:
        [G; S'] of the teacher and [G; S] of the student, both (dim, pairs).
    """
    general, own, other = np.split(features, [config.general_dim, config.dim])
    return np.concatenate([general, other]), np.concatenate([general, own])


def fingerprint(config: SeparableConfig) -> str:
    """Hash of `VERSION`: everything else is in the config."""
    return fingerprint_of("separable", VERSION)


def shape(config: SeparableConfig) -> DataShape:
    """The shapes of the inputs, two classes, and the sizes of the config."""
    return DataShape((config.dim,), (config.dim,), 2, config.train, config.val, config.test)


SEPARABLE = Dataset(SeparableConfig, load, fingerprint, shape)
