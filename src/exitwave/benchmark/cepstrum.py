"""Strain without disks: the lattice of a pattern from its cepstrum.

The Fourier transform of the logarithm of a pattern has peaks at the vectors of the crystal's lattice in real space, as
the pattern repeats itself with the reciprocal one (E. Padgett et al., Ultramicroscopy 214, 112994 (2020)). The
logarithm parts what is slow, the envelope of a tilt, from that, so that uneven disks move its peaks little. Nothing
says where a disk is: the origin is not known, and a lattice to start from is needed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, fftshift

from exitwave.benchmark.lattice import Lattice, reduced, refine_lattice

_SPREAD = 1.25
"""Standard deviation of the Gaussian in the fit to a cepstrum [px]; its peaks are about as wide."""
_CENTRE = 0.6
"""Radius about the middle that is left out, over the shortest vector: the mean of a pattern, and the shape of disks."""


def cepstrum(pattern: NDArray[np.floating]) -> NDArray[np.float32]:
    """Modulus of the Fourier transform of log(1 + counts), in a Hann window, with twice the points along each axis.

    Parameters
    ----------
    pattern : float [H, W]
        Counts; what is not finite or below 0 counts as 0.

    Returns
    -------
    float32 [2 H, 2 W]
        Its middle is at ``(H, W)``.
    """
    height, width = pattern.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    taken = np.log1p(np.where((pattern > 0) & np.isfinite(pattern), pattern, 0).astype(np.float64))
    taken = (taken - (taken * window).sum() / window.sum()) * window
    return np.asarray(np.abs(fftshift(fft2(taken, (2 * height, 2 * width)))), np.float32)


def cepstral_lattice(pattern: NDArray[np.floating], start: Lattice) -> Lattice:
    """Fit a lattice to the cepstrum of a pattern.

    Parameters
    ----------
    pattern : float [H, W]
        Counts.
    start : Lattice
        Of the disks of the pattern, strained by two per cent at the most. The result has its indices and its origin.

    Returns
    -------
    Lattice
        ``used`` counts peaks of the cepstrum, and ``residual`` is their deviation [px of the cepstrum].

    Raises
    ------
    LatticeError
        If the cepstrum has fewer than three peaks at lattice points, or all in a line.
    """
    height, width = pattern.shape
    extent = np.array([[2.0 * width], [2.0 * height]])
    vectors = extent * np.linalg.inv(start.vectors).T
    image = cepstrum(pattern)
    along_y, along_x = np.arange(2.0 * height) - height, np.arange(2.0 * width) - width
    image[np.hypot(along_y[:, None], along_x) < _CENTRE * np.linalg.norm(reduced(vectors)[0][:, 0])] = 0
    found = refine_lattice(image, Lattice(np.array([width, height], np.float64), vectors, 0.0, 0), _SPREAD)
    return replace(found, origin=start.origin, vectors=np.linalg.inv(found.vectors / extent).T)
