"""Percentile bootstrap over images: what the scores could have been with other micrographs of the same kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def bootstrap(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    n_images: int,
    resamples: int,
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile interval of a statistic under resampling of the images with replacement.

    B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Parameters
    ----------
    statistic : callable
        From weights [resamples, n_images], the number of times each image was drawn, to values [resamples, ...].
    n_images : int
        Images there are.
    resamples : int
        Resamples drawn.
    rng : Generator
        Source of randomness.
    confidence : float
        Probability covered.

    Returns
    -------
    low, high : float arrays [...]
        Resamples in which the statistic is undefined (NaN) are left out.
    """
    weights = rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=resamples).astype(np.float64)
    values = np.asarray(statistic(weights), dtype=np.float64)
    tail = 50 * (1 - confidence)
    low, high = np.full(values.shape[1:], np.nan), np.full(values.shape[1:], np.nan)
    for index in np.ndindex(values.shape[1:]):
        defined = values[(slice(None), *index)]
        defined = defined[~np.isnan(defined)]
        if defined.size:
            low[index], high[index] = np.percentile(defined, [tail, 100 - tail])
    return low, high
