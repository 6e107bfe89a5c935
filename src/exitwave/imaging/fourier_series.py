"""Images that repeat in two directions: known at some places of a cell, and so at every place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_AT_ONCE = 8192
"""Places at which a series is summed at once."""


def at_places(
    values: FloatArray, corner: FloatArray, vectors: FloatArray, places: FloatArray, sigma: float
) -> FloatArray:
    """An image at any places, blurred by a Gaussian.

    Parameters
    ----------
    values : float64 [n, m]
        At ``corner + j/m vectors[0] + i/n vectors[1]``; n and m are odd, so that every frequency has its opposite.
        The image has no frequency beyond these.
    corner : float64 [2]
        Of the cell, x and y [Å].
    vectors : float64 [2, 2]
        Rows: the vectors in which the image repeats [Å].
    places : float64 [..., 2]
        x, y [Å].
    sigma : float
        Standard deviation of the Gaussian [Å].

    Returns
    -------
    float64 [...]
        The Fourier series over the frequencies of the lattice: exact, not interpolated.
    """
    rows, columns = values.shape
    if rows % 2 == 0 or columns % 2 == 0:
        raise ValueError(f"{rows} x {columns} values of a cell; allowed: odd numbers")
    second, first = (np.fft.fftshift(np.fft.fftfreq(count, 1 / count)) for count in values.shape)
    coefficients = np.fft.fftshift(np.fft.fft2(values)) / values.size
    # Frequencies of the lattice [1/Å]: whole numbers along both vectors.
    grid = np.stack(np.broadcast_arrays(first[None, :], second[:, None]), -1)
    frequencies = grid @ np.linalg.inv(vectors).T
    coefficients *= np.exp(-2 * np.pi**2 * sigma**2 * (frequencies**2).sum(axis=-1))
    indices = (places.reshape(-1, 2) - corner) @ np.linalg.inv(vectors)
    found = np.empty(len(indices))
    for start in range(0, len(indices), _AT_ONCE):
        part = indices[start : start + _AT_ONCE]
        along_first, along_second = (
            np.exp(2j * np.pi * part[:, axis, None] * orders) for axis, orders in ((0, first), (1, second))
        )
        found[start : start + _AT_ONCE] = ((along_first @ coefficients.T) * along_second).sum(axis=1).real
    return found.reshape(places.shape[:-1])
