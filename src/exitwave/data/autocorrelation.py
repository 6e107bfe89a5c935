"""The autocorrelation of images, and the quarter of it that says what its mirror lines are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft, ifft, irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter, map_coordinates

from exitwave.config.models import QUARTER

FloatArray = NDArray[np.float64]

SMOOTH, EVEN = 1.75, 30.0
"""Standard deviations [px] of the Gaussian that takes noise away, and of that which is taken for the background."""
REACH = 0.45
"""Of the edge of the image: longest shift that quarters hold."""
_LEAST = 9.0
"""Shorter shifts [px] have no say in where mirror lines are."""
_ANGLES = 720
"""Directions in half a turn that are compared."""


def autocorrelation(image: NDArray[np.floating], smooth: float, even: float, reach: float) -> FloatArray:
    """Correlation of an image with itself, shifted.

    Parameters
    ----------
    image : float [H, W]
    smooth, even : float
        Standard deviations [px] of the Gaussian that takes noise away, and of that which is taken for the background.
    reach : float
        Longest shift, over the shorter edge.

    Returns
    -------
    float64 [2 n + 1, 2 n + 1]
        Shifts up to n pixels along either axis; the middle is no shift. 1 is the variance of the smoothed image. Each
        shift counts where the shifted images overlap, without bias.
    """
    smoothed = gaussian_filter(image.astype(np.float64), smooth)
    flat = smoothed - gaussian_filter(smoothed, even)
    flat -= flat.mean()
    return correlated(flat, int(reach * min(image.shape)))


def correlated(flat: FloatArray, most: int) -> FloatArray:
    """Correlation of an image [H, W] of mean 0 with itself, shifted by up to ``most`` pixels; as of the above."""
    shape = [next_fast_len(edge + most + 1) for edge in flat.shape]
    spectrum = rfft2(flat, s=shape)
    products = irfft2(spectrum.real**2 + spectrum.imag**2, s=shape)
    shifts = np.arange(-most, most + 1)
    rows, columns = (edge - np.abs(shifts) for edge in flat.shape)
    kept = products[np.ix_(shifts, shifts)] / (rows[:, None] * columns)
    return np.asarray(kept / max(float(kept[most, most]), 1e-30))


def mirror_quarter(image: NDArray[np.floating]) -> NDArray[np.float32]:
    """A quarter of the autocorrelation of an image, turned so that a mirror line lies along its edge.

    The line is that about which the autocorrelation is most nearly its own mirror image. An autocorrelation is the same
    after half a turn, so that the parts that the mirror keeps and changes are all in one quarter; and the line at a
    right angle is as good, so that an exchange of both axes shows the same.

    Parameters
    ----------
    image : float [H, W]

    Returns
    -------
    float32 [2, QUARTER, QUARTER]
        The parts that the mirror keeps and changes, for shifts from 0 along both edges to ``REACH`` of the shorter edge
        of the image; 1 is the highest peak that is not at the middle. A lattice without mirror lines has much of the
        second, one with them has noise there.
    """
    correlation = autocorrelation(image, SMOOTH, EVEN, REACH)
    middle = len(correlation) // 2
    radii = np.arange(min(_LEAST, middle / 4), middle - 1, 1.0)
    angles = np.arange(_ANGLES) * np.pi / _ANGLES
    rings = map_coordinates(
        correlation,
        [radii[:, None] * np.sin(angles) + middle, radii[:, None] * np.cos(angles) + middle],
        order=1,
    )
    highest = max(float(np.sort(rings, axis=None)[-50:].mean()), 1e-30)
    # Peaks of the lattice are the highest: the others, of the motif, may have fewer mirror lines than it.
    line = _mirror_line(np.clip(rings / highest, 0, None) ** 3, radii)
    along = np.arange(QUARTER) * (middle / QUARTER)
    x, y = np.meshgrid(along, along)
    cosine, sine = np.cos(line), np.sin(line)
    here, there = (
        map_coordinates(correlation, [sine * x + cosine * side + middle, cosine * x - sine * side + middle], order=1)
        for side in (y, -y)
    )
    quarter = np.stack([here + there, here - there]) / (2 * highest)
    return np.clip(quarter, -2, 2).astype(np.float32)


def _mirror_line(rings: FloatArray, radii: FloatArray) -> float:
    """Direction [rad] of the line about which rings [radius, direction] are most nearly mirror images of themselves."""
    spectra = fft(rings - rings.mean(axis=1, keepdims=True), axis=1)
    # Of values at t and c - t, summed over t: those of the mirror line at c / 2.
    alike = ifft((radii[:, None] * spectra**2).sum(axis=0)).real
    best = int(alike.argmax())
    before, at, after = alike[best - 1], alike[best], alike[(best + 1) % _ANGLES]
    bend = before - 2 * at + after
    finer = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(0.5 * (best + finer) * np.pi / _ANGLES)
