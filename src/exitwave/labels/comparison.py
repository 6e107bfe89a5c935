"""Two masks of particles against each other: by phase or thickness, and by their atoms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Score of Dice, which is F1, of masks [..., y, x]: ``2 |A and B| / (|A| + |B|)``; 1 where both are empty."""
    both = (one & other).sum(axis=(-2, -1))
    total = one.sum(axis=(-2, -1)) + other.sum(axis=(-2, -1))
    return np.asarray(np.divide(2 * both, total, out=np.ones(both.shape), where=total > 0))


def threshold_curve(
    masks: Callable[[float], NDArray[np.bool_]], atoms: NDArray[np.bool_], thresholds: ArrayLike
) -> NDArray[np.float64]:
    """Agreement of a mask with the mask by projected atoms, for every threshold that it may have.

    Parameters
    ----------
    masks : callable
        From a threshold to masks [..., y, x].
    atoms : bool [..., y, x]
        Masks by projected atoms.
    thresholds : array_like [t]

    Returns
    -------
    float64 [..., t]
        The score of Dice of each image at each threshold.
    """
    return np.stack([dice(masks(float(value)), atoms) for value in np.ravel(np.asarray(thresholds, float))], axis=-1)
