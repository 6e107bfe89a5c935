"""The two masks of particles, by the phase of their exit wave and by their atoms, against each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exitwave.labels.mask import mask_of


def threshold_curve(
    phase: NDArray[np.floating], atoms: NDArray[np.integer | np.bool_], thresholds: ArrayLike
) -> NDArray[np.float64]:
    """Agreement of the mask by phase with the mask by projected atoms, for every threshold of the phase.

    The score of Dice, which is F1, of the masks P and A is ``2 |P and A| / (|P| + |A|)``.

    Parameters
    ----------
    phase : float [..., y, x]
        Smoothed phase of the particles' exit wave [rad].
    atoms : integer or bool [..., y, x]
        Mask by projected atoms.
    thresholds : array_like [t]
        Phases above which a pixel is particle [rad].

    Returns
    -------
    float64 [..., t]
        The score of each image at each threshold; 1 where both masks are empty.
    """
    mask = np.asarray(atoms, dtype=bool)
    scores = []
    for threshold in np.asarray(thresholds, dtype=np.float64).ravel():
        above = mask_of(phase, float(threshold))
        both = (above & mask).sum(axis=(-2, -1))
        total = above.sum(axis=(-2, -1)) + mask.sum(axis=(-2, -1))
        scores.append(np.divide(2 * both, total, out=np.ones(both.shape), where=total > 0))
    return np.stack(scores, axis=-1)
