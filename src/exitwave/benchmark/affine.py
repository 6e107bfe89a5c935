"""Affine maps fitted to places of disks, of which some may be wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import LatticeError

FloatArray = NDArray[np.float64]
Held = tuple[FloatArray, FloatArray]
"""Rows [2, 2] of an affine map but its offset that are known about beforehand, and their weights [2]."""

_FINEST = 0.02
"""Deviation [px] that needs no reason."""
_USUAL = 3.0
"""Deviation at which a place counts a quarter, in standard deviations."""
_ROUNDS = 2
"""In which outliers are weighted down."""


def robust_fit(
    index: FloatArray, places: FloatArray, weights: FloatArray, held: Held | None = None
) -> tuple[FloatArray, float]:
    """Affine map that takes points to places, by weighted least squares with outliers weighted down.

    Parameters
    ----------
    index : float64 [n, 2]
        Points, such as the indices of disks, or where disks should be.
    places : float64 [n, 2]
        [px].
    weights : float64 [n]
    held : Held, optional

    Returns
    -------
    affine : float64 [3, 2]
        Rows: the place of the point (0, 0), and what is added for each unit of the first and of the second axis [px].
    residual : float
        Root of the weighted mean square of the deviations [px].

    Raises
    ------
    LatticeError
        If the points lie in a line.
    """
    factor = np.ones(len(weights))
    for _ in range(1 + _ROUNDS):
        affine, squares = solve(index, places, weights * factor, held)
        factor = trust(squares, weights)
    return affine, deviation(squares, weights * factor)


def solve(
    index: FloatArray, places: FloatArray, weights: FloatArray, held: Held | None = None
) -> tuple[FloatArray, FloatArray]:
    """The same once, without a look at outliers: the map, and the squares of deviations [px²]."""
    design = np.column_stack([np.ones(len(index)), index])
    weighted = (design * weights[:, None]).T
    left, right = weighted @ design, weighted @ places
    if held is not None:
        rows, hold = held
        left[[1, 2], [1, 2]] += hold
        right[1:] += hold[:, None] * rows
    try:
        affine = np.linalg.solve(left, right)
    except np.linalg.LinAlgError as error:
        raise LatticeError("the disks that count lie in a line; allowed: disks in two directions") from error
    return np.asarray(affine), np.asarray(((places - design @ affine) ** 2).sum(axis=1))


def trust(squares: FloatArray, weights: FloatArray) -> FloatArray:
    """Factors of weights, low where squares of deviations [px²] are large beside those of the others.

    The weights of S. Geman, D. E. McClure, Bull. Int. Stat. Inst. 52, 5 (1987), with the scale of the median.
    """
    order = np.argsort(squares)
    reached = np.cumsum(weights[order])
    median = squares[order[np.searchsorted(reached, reached[-1] / 2)]]
    # The median of the squares is 2 ln 2 times the variance along one axis.
    variance = max(median / (2 * np.log(2)), _FINEST**2)
    return np.asarray(1 / (1 + squares / (_USUAL**2 * variance)) ** 2)


def deviation(squares: FloatArray, weights: FloatArray) -> float:
    """Root of a weighted mean of squares."""
    return float(np.sqrt((weights * squares).sum() / weights.sum()))


def in_two_directions(points: FloatArray) -> bool:
    """Whether there are three points [n, 2] or more that do not lie in a line."""
    if len(points) < 3:
        return False
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread[1] > 1e-6 * spread[0])
