"""Incoherent images as a convolution: a Gaussian for every atom, exact at any place between pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

REACH = 5.0
"""Half the edge of the square out to which a Gaussian is added, in standard deviations; it loses 1.1e-6 of its sum."""


def render(
    positions: FloatArray,
    weights: FloatArray,
    sigma: float,
    pixel: float,
    size: int,
    corner: Sequence[float] = (0.0, 0.0),
    period: Sequence[float] = (math.inf, math.inf),
) -> FloatArray:
    """Sum of Gaussians, sampled at the centres of pixels: where a probe stands in turn, not what falls on areas.

    Parameters
    ----------
    positions : ndarray [n, 2]
        Positions x, y [Å].
    weights : ndarray [n]
        What each Gaussian has in all.
    sigma : float
        Standard deviation [Å].
    pixel : float
        Distance of neighbouring pixels [Å].
    size : int
        Edge of the image [px].
    corner : sequence of float [2]
        Position x, y of the outer corner of the first pixel [Å]; its centre is half a pixel further.
    period : sequence of float [2]
        Distances along x and y in which the atoms repeat [Å]; infinite: they do not.

    Returns
    -------
    ndarray, float64 [y, x]
        Density at the centres [weight/Å²]; times ``pixel**2`` its sum is that of the weights in the image, as long as
        a pixel is not wider than about 1.2 standard deviations. Serial, so that the same input gives the same bytes.

    Notes
    -----
    A Gaussian is separable: each costs two rows of exponentials and one outer product in its window. Against the sum
    over all atoms at all pixels the error is of the order of 1e-6 of the peak. Spreading the atoms over the four pixels
    around them and convolving by FFT errs by some 1e-2 at these pixels, and takes longer.
    """
    image = np.zeros((size, size))
    _add(
        image,
        np.ascontiguousarray(positions, dtype=np.float64),
        np.ascontiguousarray(weights, dtype=np.float64),
        float(sigma),
        float(pixel),
        np.asarray(corner, dtype=np.float64),
        np.asarray(period, dtype=np.float64),
    )
    return image


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add(
    image: FloatArray,
    positions: FloatArray,
    weights: FloatArray,
    sigma: float,
    pixel: float,
    corner: FloatArray,
    period: FloatArray,
) -> None:
    """Add all atoms, and their images that reach into the field, to the image."""
    size = len(image)
    reach = REACH * sigma
    end = size * pixel + reach
    along_x, along_y = np.empty(size), np.empty(size)
    for n in range(len(positions)):
        scale = weights[n] / (2 * np.pi * sigma**2)
        first_x, first_y = positions[n, 0] - corner[0], positions[n, 1] - corner[1]
        if period[0] < np.inf:
            first_x -= period[0] * np.floor((first_x + reach) / period[0])
        if period[1] < np.inf:
            first_y -= period[1] * np.floor((first_y + reach) / period[1])
        y = first_y
        while -reach <= y <= end:
            low_y, high_y = _gaussian(along_y, y, sigma, pixel, reach)
            x = first_x
            while -reach <= x <= end:
                low_x, high_x = _gaussian(along_x, x, sigma, pixel, reach)
                for i in range(low_y, high_y):
                    factor = scale * along_y[i]
                    for j in range(low_x, high_x):
                        image[i, j] += factor * along_x[j]
                x += period[0]
            y += period[1]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _gaussian(line: FloatArray, place: float, sigma: float, pixel: float, reach: float) -> tuple[int, int]:
    """Write exp(-r²/2σ²) about a place to the pixels of a line within reach; gives the first and the one behind."""
    low = max(0, int(np.ceil((place - reach) / pixel - 0.5)))
    high = min(len(line), int(np.floor((place + reach) / pixel - 0.5)) + 1)
    for i in range(low, high):
        distance = ((i + 0.5) * pixel - place) / sigma
        line[i] = np.exp(-0.5 * distance * distance)
    return low, high
