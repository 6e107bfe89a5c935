"""Maps with a spot at the place of each of a list, such as atomic columns."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

REACH = 4.0
"""Half the edge of the square in which a spot is drawn, in standard deviations."""


def spot_map(
    places: NDArray[np.floating], size: int, sigma: float, heights: NDArray[np.floating] | float = 1.0
) -> NDArray[np.float32]:
    """A Gaussian at each place; where they overlap the higher one counts.

    Parameters
    ----------
    places : float [n, 2]
        x, y [px].
    size : int
        Edge of the map [px].
    sigma : float
        Standard deviation [px].
    heights : float [n] or float
        Of the Gaussians, or of all.

    Returns
    -------
    float32 [size, size]
    """
    image = np.zeros((size, size), np.float32)
    each = np.array(np.broadcast_to(heights, len(places)), np.float64)
    _draw(image, np.ascontiguousarray(places, np.float64), each, float(sigma), math.ceil(REACH * sigma))
    return image


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _draw(
    image: NDArray[np.float32], places: NDArray[np.float64], heights: NDArray[np.float64], sigma: float, reach: int
) -> None:
    size = len(image)
    for n in range(len(places)):
        x, y = places[n]
        for i in range(max(0, int(y) - reach), min(size, int(y) + reach + 2)):
            for j in range(max(0, int(x) - reach), min(size, int(x) + reach + 2)):
                height = heights[n] * np.exp(-((i - y) ** 2 + (j - x) ** 2) / (2 * sigma**2))
                image[i, j] = max(image[i, j], np.float32(height))
