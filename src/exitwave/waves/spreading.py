"""How atoms are put on the points of a grid, and how that is undone in the spectrum.

*Bilinear*, over 2 x 2 points, is abTEM's way: an atom off the points is smeared, on average by ``sampling / √6`` rms
along each axis, which only a finer grid cures. Over 4 x 4 points the "exponential of semicircle" of Barnett, Magland &
af Klinteberg, SIAM J. Sci. Comput. 41 (2019) C479, is used, and the spectrum is divided by its Fourier transform:
within the band that the multislice keeps, the atom is then where it is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Support = Literal[2, 4]
"""Points along an axis that an atom is spread over; 2: bilinear, 4: exponential of semicircle."""
BETA = 0.97 * np.pi * 4 * (1 - 1 / 3)
"""Shape of the exponential of semicircle over 4 points, for a band of 2/3 of the grid's."""


def spread(pixels: NDArray[np.float64], support: Support) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Grid points that each atom is spread over, and its share of each.

    Parameters
    ----------
    pixels : float64 array [n, 2]
        Positions (x, y) [px].
    support : {2, 4}
        Points along an axis.

    Returns
    -------
    first : int64 array [n, 2]
        The first of ``support`` consecutive points along x and along y; to be wrapped.
    shares : float64 array [n, 2, support]
        Weights along x and along y; that of a point is the product.
    """
    if support == 2:
        first = np.floor(pixels)
        fraction = pixels - first
        return first.astype(np.int64), np.stack([1 - fraction, fraction], axis=-1)
    first = np.ceil(pixels - support / 2)
    distance = (first - pixels)[..., None] + np.arange(support)
    return first.astype(np.int64), _semicircle(distance / (support / 2))


def spectrum_of_spreading(size: int, sampling: float, support: Support) -> NDArray[np.float64]:
    """What a scattering factor is to be divided by, once atoms are put on the grid by :func:`spread`.

    Parameters
    ----------
    size : int
        Edge of the grid [px].
    sampling : float
        Pixel [Å].
    support : {2, 4}

    Returns
    -------
    float64 array [size, size]
        The area of a pixel [Å²] times the Fourier transform of the kernel, over the frequencies k of ``fftfreq``. In
        place of the bilinear kernel's transform, abTEM's own, weaker correction, ``sin(k sampling) / (k sampling)``.
    """
    if support == 2:
        k = np.fft.fftfreq(size)
        divisor: NDArray[np.float64] = sampling**2 * np.sinc(np.hypot(k[:, None], k) / np.pi)
        return divisor
    line = _transform_of_semicircle(size)
    return sampling**2 * np.outer(line, line)


def _semicircle(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel over [-1, 1]."""
    kernel: NDArray[np.float64] = np.exp(BETA * (np.sqrt(np.maximum(0, 1 - z**2)) - 1))
    return kernel


@lru_cache(maxsize=4)
def _transform_of_semicircle(size: int) -> NDArray[np.float64]:
    """Fourier transform of the kernel over 4 points at the frequencies of ``fftfreq``, by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(100)
    phases = np.outer(2 * np.pi * np.fft.fftfreq(size), 2 * nodes)
    transform: NDArray[np.float64] = np.cos(phases) @ (2 * weights * _semicircle(nodes))
    return transform
