"""Feature dimensions as points: two networks' dimensions that lie together say the same about the examples."""

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

PERPLEXITY = 30
"""scikit-learn's default; lowered where there are few dimensions."""


def embed_dimensions(features: list[Float32[ndarray, "rows _dim"]], seed: int = 0) -> list[Float64[ndarray, "_dim 2"]]:
    """t-SNE of the dimensions of several networks together (CIBA paper, Fig. 1).

    The features, all for the same rows, are concatenated to (all dims, rows) and each dimension, a vector of its values
    over the examples, becomes a point in the plane. Nothing is scaled before: the paper names no scaling.

    Returns:
        One array for each network, in the order given.

    """
    from sklearn.manifold import TSNE

    points = np.concatenate([part.T for part in features]).astype(np.float64)
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    plane = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
    ends = np.cumsum([part.shape[1] for part in features])[:-1]
    return [part.astype(np.float64) for part in np.split(plane, ends)]
