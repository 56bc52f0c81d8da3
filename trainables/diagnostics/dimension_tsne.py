"""t-SNE of feature dimensions: dimensions of two networks that are close contain the same about the examples."""

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

PERPLEXITY = 30
"""scikit-learn's default; a smaller value is used if there are few dimensions."""


def embed_dimensions(features: list[Float32[ndarray, "rows _dim"]], seed: int = 0) -> list[Float64[ndarray, "_dim 2"]]:
    """t-SNE of the dimensions of several networks together (CIBA paper, Fig. 1).

    Each dimension, a vector of its values over the examples, becomes a point in the plane. Features are not scaled,
    because the paper names no scaling.

    Args:
        features: features of each network for the same rows.
        seed: seed of t-SNE.

    Returns:
        Coordinates of the dimensions of each network, in the order of `features`.

    """
    from sklearn.manifold import TSNE

    points = np.concatenate([part.T for part in features]).astype(np.float64)
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    plane = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
    ends = np.cumsum([part.shape[1] for part in features])[:-1]
    return [part.astype(np.float64) for part in np.split(plane, ends)]
