"""Rings of scattering angles: how many electrons go into each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from exitwave.waves.grid import ANTIALIASING, TAPER, output_grid
from exitwave.waves.probes import frequency


def largest_angle(sampling: float, energy: float) -> float:
    """Scattering angle [mrad] up to which the multislice holds all, with pixels of the stored wave [Å]."""
    return ANTIALIASING / sampling * (0.5 / ANTIALIASING - TAPER) / frequency(1.0, energy)


def number_of_rings(width: float, sampling: float, energy: float) -> int:
    """Rings of a width [mrad] that hold the band, which is round."""
    return math.ceil(0.5 / sampling / frequency(width, energy))


def ring_weights(edge: float, sampling: float, energy: float, width: float) -> csr_array:
    """Share of each pixel of a spectrum that lies in each ring.

    Parameters
    ----------
    edge : float
        Edge of the field [Å].
    sampling : float
        Pixel of the stored wave [Å].
    energy : float
        Beam energy [eV].
    width : float
        Of the rings [mrad].

    Returns
    -------
    sparse array [rings, M²]
        A pixel is as wide along the radius as the spacing of frequencies, so that a ring has about the area that it
        should, whatever the field. The shares of each add up to 1. Pixels in the order of ``fftfreq``, row by row.
    """
    size = output_grid(edge, sampling)
    k = np.fft.fftfreq(size, 1 / size)
    radius, step = np.hypot(k[:, None], k).ravel(), frequency(width, energy) * edge
    rings = number_of_rings(width, sampling, energy)
    first = np.maximum(0, np.floor((radius - 0.5) / step)).astype(np.int64)
    last = np.floor((radius + 0.5) / step).astype(np.int64)
    pixel = np.arange(size * size)
    parts = []
    for more in range(int((last - first).max()) + 1):
        ring = np.minimum(first + more, rings - 1)
        # What is left of the middle belongs to the first ring.
        low = np.where(first + more == 0, -np.inf, (first + more) * step)
        share = np.minimum(radius + 0.5, (first + more + 1) * step) - np.maximum(radius - 0.5, low)
        parts.append((np.clip(share, 0, 1), ring, pixel))
    values, rows, columns = (np.concatenate(each) for each in zip(*parts, strict=True))
    weights = csr_array((values, (rows, columns)), shape=(rings, size * size))
    weights.eliminate_zeros()
    return weights


def electrons_in_rings(spectra: NDArray[np.complex64], weights: csr_array) -> NDArray[np.float64]:
    """Electrons in each ring.

    Parameters
    ----------
    spectra : complex64 array [probe, M, M]
        In the order of ``fftfreq``.
    weights : sparse array [rings, M²]
        As from :func:`ring_weights`.

    Returns
    -------
    float64 array [probe, rings]
    """
    values = spectra.reshape(len(spectra), -1)
    return np.asarray((weights @ (values.real**2 + values.imag**2).T).T, np.float64)
