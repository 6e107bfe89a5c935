"""The least squares of a disk whose rim is measured (:mod:`exitwave.benchmark.rims`), compiled: many small problems."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exitwave.benchmark.rim_apertures import share_of

_ROUNDS, _LONGEST, _STILL = 6, 0.3, 0.05
"""Steps of the refinement, the largest [px], and that of the last round above which a place is not known."""
_DARKEST = 0.02
"""Least expected intensity of a pixel, over the mean around a disk, lest weights grow without bounds."""
_RIDGE = 1e-9
"""What is added to matrices: what a disk does not show, such as a corner of a polynomial, is no reason to fail."""
FloatArray = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def fitted(
    intensities: FloatArray,
    begun: FloatArray,
    inside: FloatArray,
    table: FloatArray,
    y: FloatArray,
    x: FloatArray,
    reach: float,
) -> tuple[FloatArray, FloatArray]:
    """Places of disks by Gauss and Newton's steps, with background and polynomial eliminated.

    Parameters
    ----------
    intensities : float64 [n, pixels]
        Around each disk.
    begun : float64 [n, 2]
        x, y [px] from the pixel in the middle.
    inside : float64 [terms, pixels]
        Terms of the polynomial.
    table : float64 [m, m]
        Of a :class:`exitwave.benchmark.rim_apertures.RimAperture`.
    y, x : float64 [pixels]
        Of the pixels, from that in the middle [px].
    reach : float
        Farthest place [px].

    Returns
    -------
    measured : float64 [n, 3]
        x, y and standard deviation along an axis [px]; NaN where no place is found.
    criterion : float64 [n]
        Bayesian information criterion, up to a number that all orders share; infinite where no place is found.
    """
    number, pixels = intensities.shape
    terms = len(inside) + 1
    measured, criterion = np.full((number, 3), np.nan), np.full(number, np.inf)
    shares, design, moved = np.empty(pixels), np.ones((terms, pixels)), np.empty((2, pixels))
    ridge = np.eye(terms)
    for disk in range(number):
        intensity, mean = intensities[disk], intensities[disk].mean()
        place, step = begun[disk].copy(), np.zeros(2)
        expected, off = np.full(pixels, mean), np.zeros(pixels)
        weights, curvature = np.ones(pixels), np.eye(2)
        for turn in range(_ROUNDS):
            for pixel in range(pixels):
                shares[pixel], moved[1, pixel], moved[0, pixel] = share_of(
                    table, y[pixel] - place[1], x[pixel] - place[0]
                )
            design[1:] = shares * inside
            weights = 1 / np.maximum(expected, _DARKEST * mean)
            weighted = design * weights
            normal = weighted @ design.T
            normal += _RIDGE * np.trace(normal) * ridge
            factors = np.linalg.solve(normal, weighted @ intensity)
            expected = factors @ design
            if turn == 0:  # with even weights, which says the others
                continue
            # A disk that moves to the right loses what its slope is.
            moved *= -(factors[1:] @ inside)
            off = intensity - expected
            weighted_moved = moved * weights
            shared = weighted @ moved.T
            curvature = weighted_moved @ moved.T - shared.T @ np.linalg.solve(normal, shared)
            curvature += _RIDGE * mean * np.eye(2)
            step = np.linalg.solve(curvature, weighted_moved @ off)
            place += np.minimum(np.maximum(step, -_LONGEST), _LONGEST)
        squares = max((weights * off**2).sum(), np.finfo(np.float64).tiny)
        parameters = terms + 2
        covariance = np.linalg.inv(curvature) * (squares / (pixels - parameters))
        deviation = np.sqrt(np.trace(covariance) / 2)
        if np.abs(step).max() < _STILL and np.abs(place).max() <= reach and deviation < reach:
            measured[disk, :2], measured[disk, 2] = place, deviation
            criterion[disk] = pixels * np.log(squares) + parameters * np.log(pixels)
    return measured, criterion
