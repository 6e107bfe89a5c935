"""What is compiled of :mod:`exitwave.benchmark.rims`: many small problems of least squares.

It stands in one file, and takes what it needs as arguments: Numba compiles again when this file has changed, not when
another one has that it uses.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_ROUNDS, _LONGEST, _STILL = 6, 0.3, 0.05
"""Steps of the refinement at the most, the largest [px], and that of the last one above which a place is not known."""
_ARRIVED = 1e-3
"""Step after which there is no other [px]."""
_DARKEST = 0.02
"""Least expected intensity of a pixel, over the mean around a disk, lest weights grow without bounds."""
_RIDGE = 1e-9
"""What is added to matrices: what a disk does not show, such as a corner of a polynomial, is no reason to fail."""
FloatArray = NDArray[np.float64]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def share_of(table: FloatArray, fine: int, y: float, x: float) -> tuple[float, float, float]:
    """Share of a pixel at y and x [px] from the middle of a disk, and its derivatives along y and x [1/px].

    The table has ``fine`` points a pixel, see :class:`exitwave.benchmark.rim_apertures.RimAperture`.
    """
    half = len(table) // 2
    down, right = y * fine + half, x * fine + half
    row = min(max(int(np.floor(down)), 0), 2 * half - 1)
    column = min(max(int(np.floor(right)), 0), 2 * half - 1)
    down, right = min(max(down - row, 0.0), 1.0), min(max(right - column, 0.0), 1.0)
    a, b, c, d = table[row, column], table[row, column + 1], table[row + 1, column], table[row + 1, column + 1]
    upper, lower = a + (b - a) * right, c + (d - c) * right
    return upper + (lower - upper) * down, fine * (lower - upper), fine * ((b - a) + (d - c - b + a) * down)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def shares(table: FloatArray, fine: int, y: FloatArray, x: FloatArray) -> FloatArray:
    """Shares of many pixels [n]."""
    found = np.empty(len(y))
    for pixel in range(len(y)):
        found[pixel] = share_of(table, fine, y[pixel], x[pixel])[0]
    return found


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _factored(matrix: FloatArray) -> FloatArray:
    """Lower triangle of Cholesky: of so few rows it costs less than a call of LAPACK."""
    lower = np.zeros_like(matrix)
    for i in range(len(matrix)):
        for j in range(i + 1):
            left = matrix[i, j]
            for k in range(j):
                left -= lower[i, k] * lower[j, k]
            lower[i, j] = np.sqrt(left) if i == j else left / lower[j, j]
    return lower


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _solved(lower: FloatArray, right: FloatArray) -> FloatArray:
    """Solution [n] for a right side [n], from the triangle of Cholesky."""
    found, last = right.copy(), len(right) - 1
    for i in range(len(right)):
        for k in range(i):
            found[i] -= lower[i, k] * found[k]
        found[i] /= lower[i, i]
    for i in range(last, -1, -1):
        for k in range(i + 1, last + 1):
            found[i] -= lower[k, i] * found[k]
        found[i] /= lower[i, i]
    return found


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def refined_places(
    intensities: FloatArray,
    begun: FloatArray,
    inside: FloatArray,
    orders: tuple[int, ...],
    table: FloatArray,
    fine: int,
    y: FloatArray,
    x: FloatArray,
    reach: float,
) -> FloatArray:
    """Places of disks by Gauss and Newton's steps, with background and polynomial eliminated.

    Parameters
    ----------
    intensities : float64 [n, pixels]
        Around each disk.
    begun : float64 [n, 2]
        x, y [px] from the pixel in the middle.
    inside : float64 [terms, pixels]
        Terms of the polynomial, by their order.
    orders : tuple of int
        Numbers of terms that are tried. That of the least Bayesian information criterion says the place.
    table, fine
        As of :func:`share_of`.
    y, x : float64 [pixels]
        Of the pixels, from that in the middle [px].
    reach : float
        Farthest place [px].

    Returns
    -------
    float64 [n, 3]
        x, y and standard deviation along an axis [px]; NaN where no place is found.
    """
    number, pixels = intensities.shape
    measured = np.full((number, 3), np.nan)
    share, moved = np.empty(pixels), np.empty((2, pixels))
    for disk in range(number):
        intensity, mean, least = intensities[disk], intensities[disk].mean(), np.inf
        for terms in orders:
            design = np.ones((terms + 1, pixels))
            place, step, deviation, squares = begun[disk].copy(), np.zeros(2), np.inf, np.inf
            expected = np.full(pixels, mean)
            for turn in range(_ROUNDS):
                for pixel in range(pixels):
                    share[pixel], moved[1, pixel], moved[0, pixel] = share_of(
                        table, fine, y[pixel] - place[1], x[pixel] - place[0]
                    )
                design[1:] = share * inside[:terms]
                weights = 1 / np.maximum(expected, _DARKEST * mean)
                weighted = design * weights
                normal = weighted @ design.T
                ridge = _RIDGE * np.trace(normal)
                for term in range(terms + 1):
                    normal[term, term] += ridge
                lower = _factored(normal)
                factors = _solved(lower, weighted @ intensity)
                expected = factors @ design
                if turn == 0:  # with even weights, which says the others
                    continue
                # A disk that moves to the right loses what its slope is.
                moved *= -(factors[1:] @ inside[:terms])
                off = intensity - expected
                weighted_moved = moved * weights
                shared = weighted_moved @ design.T
                curvature = weighted_moved @ moved.T
                for one in range(2):
                    taken = shared @ _solved(lower, shared[one])
                    curvature[one] -= taken
                    curvature[one, one] += _RIDGE * mean
                slope = weighted_moved @ off
                determinant = curvature[0, 0] * curvature[1, 1] - curvature[0, 1] * curvature[1, 0]
                step[0] = (curvature[1, 1] * slope[0] - curvature[0, 1] * slope[1]) / determinant
                step[1] = (curvature[0, 0] * slope[1] - curvature[1, 0] * slope[0]) / determinant
                place += np.minimum(np.maximum(step, -_LONGEST), _LONGEST)
                squares = max((weights * off**2).sum(), np.finfo(np.float64).tiny)
                deviation = np.sqrt(squares / (pixels - terms - 3) * np.trace(curvature) / determinant / 2)
                if np.abs(step).max() < _ARRIVED:
                    break
            if np.abs(step).max() < _STILL and np.abs(place).max() <= reach and deviation < reach:
                criterion = pixels * np.log(squares) + (terms + 3) * np.log(pixels)
                if criterion < least:
                    least = criterion
                    measured[disk, :2], measured[disk, 2] = place, deviation
    return measured
