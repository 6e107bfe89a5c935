"""Images as points: their pixels as few numbers, and a plane on which neighbours stay neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.tiling import resample

FloatArray = NDArray[np.float64]

EDGE = 64
"""Of the images that are compared [px]."""
COMPONENTS = 50
LEAST = 10
"""Points without which there is no map."""
SEED = 0
PERPLEXITY = 30.0
"""About the number of neighbours that a map keeps."""


def small(image: NDArray[np.floating]) -> NDArray[np.float32]:
    """An image [H, W] on ``EDGE`` x ``EDGE`` pixels, each the mean over its area."""
    return resample(np.asarray(image, np.float32), (EDGE, EDGE))


def principal_components(images: NDArray[np.floating]) -> FloatArray:
    """Images [n, H, W] as their principal components [n, up to ``COMPONENTS``]; the same whenever it is asked for."""
    from sklearn.decomposition import PCA

    flat = np.asarray(images, np.float64).reshape(len(images), -1)
    number = max(1, min(COMPONENTS, len(flat) - 1, flat.shape[1]))
    return np.asarray(PCA(number, random_state=SEED).fit_transform(flat))


def embedded(features: FloatArray) -> FloatArray | None:
    """A map of features by t-SNE (L. van der Maaten and G. Hinton, J. Mach. Learn. Res. 9 (2008) 2579).

    It begins at the first two principal components, and is the same whenever it is asked for with one thread.

    Parameters
    ----------
    features : float [n, features]

    Returns
    -------
    float64 [n, 2], optional
        None of fewer than ``LEAST`` points, or where all are the same.
    """
    if len(features) < LEAST or not np.ptp(features, axis=0).any():
        return None
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    return np.asarray(TSNE(init="pca", perplexity=perplexity, random_state=SEED).fit_transform(features), np.float64)
