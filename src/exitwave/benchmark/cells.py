"""Cells that a lattice may have, and how probable places of disks are with each of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

DEVIATION = 0.5
"""Of disks from their lattice [px]."""
_STRAY = 0.1
"""Share of peaks that are no disks."""
_CANDIDATES = 40
"""Differences that are paired."""
_FLATTEST = 0.2
"""Sine of the angle between two differences below which they make no cell."""


def cells(peaks: FloatArray) -> FloatArray:
    """Reduced cells of all pairs of differences of peaks that come often.

    Parameters
    ----------
    peaks : float64 [n, 3]
        Places x, y [px] and weights.

    Returns
    -------
    float64 [m, 2, 2]
        Vectors as columns [px].
    """
    return _pairs(_frequent_differences(peaks))


def _frequent_differences(peaks: FloatArray) -> FloatArray:
    """Differences of places [n, 2], those that come most often first; of each pair of opposites one."""
    first, second = np.triu_indices(len(peaks), 1)
    differences = peaks[second, :2] - peaks[first, :2]
    differences *= np.where(differences[:, 0] < 0, -1, 1)[:, None]
    weights = np.sqrt(evened(peaks[:, 2]))
    weights = weights[first] * weights[second]
    squares = ((differences[:, None] - differences) ** 2).sum(axis=-1)
    near = np.exp(-squares / (2 * (2 * DEVIATION) ** 2)) * weights
    votes = near.sum(axis=1)
    found: list[int] = []
    for one in np.argsort(-votes, kind="stable"):
        if all(squares[one, other] > (4 * DEVIATION) ** 2 for other in found):
            found.append(int(one))
        if len(found) == _CANDIDATES:
            break
    return np.asarray((near @ differences / votes[:, None])[found])


def _pairs(differences: FloatArray) -> FloatArray:
    """Reduced lattices [n, 2, 2] of all pairs of differences that are not parallel, without repetitions."""
    first, second = np.triu_indices(len(differences), 1)
    bases = np.stack([differences[first], differences[second]], axis=-1)
    bases = bases[np.abs(np.linalg.det(bases)) > _FLATTEST * np.linalg.norm(bases, axis=1).prod(axis=1)]
    # Each step halves the longer vector or more, unless it is the last.
    for _ in range(8):
        squares = (bases**2).sum(axis=1)
        bases = np.where((squares[:, 0] > squares[:, 1])[:, None, None], bases[:, :, ::-1], bases)
        times = np.rint((bases[:, :, 0] * bases[:, :, 1]).sum(axis=1) / squares.min(axis=1))
        bases[:, :, 1] -= times[:, None] * bases[:, :, 0]
    bases *= np.where(bases[:, :1] < 0, -1, 1)
    return np.asarray(bases[np.unique(np.rint(bases.reshape(-1, 4)), axis=0, return_index=True)[1]])


def evened(weights: FloatArray) -> FloatArray:
    """Weights over the third highest, and no higher than that."""
    third = np.partition(weights, -3)[-3]
    return np.asarray(np.minimum(weights / third, 1.0) if third > 0 else np.ones_like(weights))


def likelihoods(lattices: FloatArray, places: FloatArray, weights: FloatArray, width: float) -> FloatArray:
    """How probable places are under lattices, whatever the origin.

    Parameters
    ----------
    lattices : float64 [m, 2, 2]
        Vectors as columns [px].
    places : float64 [n, 2]
        [px].
    weights : float64 [n]
        How much each counts.
    width : float
        Standard deviation of disks from the lattice [px].

    Returns
    -------
    float64 [m]
        Logarithm of the probability over that of places anywhere.
    """
    fractions = np.linalg.inv(lattices) @ places.T
    fractions = fractions - (np.angle(np.exp(2j * np.pi * fractions) @ weights) / (2 * np.pi))[..., None]
    squares = ((lattices @ (fractions - np.rint(fractions))) ** 2).sum(axis=1)
    density = np.abs(np.linalg.det(lattices))[:, None] / (2 * np.pi * width**2) * np.exp(-squares / (2 * width**2))
    return np.asarray(np.log(_STRAY + (1 - _STRAY) * density) @ weights)
