"""Percentile bootstrap over groups of images: what the scores could have been with others of the same kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def bootstrap(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    groups: NDArray[np.intp],
    resamples: int,
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile interval of a statistic under resampling of the groups with replacement.

    Images of one group, such as those of one structure, resemble each other and say less than as many of different
    ones: they are drawn together. An image that stands for itself is a group of one.
    B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; of groups: A. C. Davison,
    D. V. Hinkley, Bootstrap Methods and their Application (1997), section 3.8.

    Parameters
    ----------
    statistic : callable
        From weights [resamples, images], the number of times each image was drawn, to values [resamples, ...].
    groups : int array [images]
        Number of the group of each image, counted from 0 without a gap.
    resamples : int
        Resamples drawn.
    rng : Generator
        Source of randomness.
    confidence : float
        Probability covered.

    Returns
    -------
    low, high : float arrays [...]
        Resamples in which the statistic is undefined (NaN) are left out. NaN where all are, and where there is one
        group only, which says nothing of what another would be.
    """
    number = int(groups.max()) + 1
    drawn = rng.multinomial(number, np.full(number, 1 / number), size=resamples)
    values = np.asarray(statistic(drawn[:, groups].astype(np.float64)), dtype=np.float64)
    tail = 50 * (1 - confidence)
    low, high = np.full(values.shape[1:], np.nan), np.full(values.shape[1:], np.nan)
    if number < 2:
        return low, high
    for index in np.ndindex(values.shape[1:]):
        defined = values[(slice(None), *index)]
        defined = defined[~np.isnan(defined)]
        if defined.size:
            low[index], high[index] = np.percentile(defined, [tail, 100 - tail])
    return low, high
