"""What the tip of a scanning tunnelling microscope records above a density of states that repeats in the plane.

A density is given by its logarithm on planes of constant height, over one cell: it is nearly linear in the height, and
smooth.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import map_coordinates
from scipy.special import j1

FloatArray = NDArray[np.float64]

_SPACING = 0.1
"""Of the places over a cell between which splines interpolate [Å]."""
_FINE = 0.05
"""Between heights at which a density is sought; it is a straight line between them to 1e-5."""
_BELOW = 4
"""Planes that are added below, for dark places."""
_PAD = 8
"""Places by which a cell, and planes by which heights, are continued: a spline forgets what ends so far away."""


def logarithm(density: FloatArray, vectors: FloatArray, radius: float) -> FloatArray:
    """Logarithm of a density that a tip averages, on a finer grid.

    Parameters
    ----------
    density : float64 [heights, n, n]
        Rows along the second vector, columns along the first; n is odd.
    vectors : float64 [2, 2]
        Rows: the vectors in which it repeats [Å].
    radius : float
        Of the disk over which the current is averaged [Å].

    Returns
    -------
    float64 [heights, rows, columns]
        By the Fourier series of the density; that of a disk is ``2 J1(k R) / (k R)``.
    """
    number = density.shape[1]
    most = (number - 1) // 2
    index = np.fft.ifftshift(np.arange(-most, most + 1))
    reciprocal = 2 * np.pi * np.linalg.inv(vectors).T
    grid = np.stack(np.broadcast_arrays(index[None, :], index[:, None]), -1) @ reciprocal
    argument = radius * np.linalg.norm(grid, axis=-1)
    safe = np.where(argument > 1e-9, argument, 1.0)
    disk = np.where(argument > 1e-9, 2 * j1(safe) / safe, 1.0)
    spectrum = np.fft.fft2(density, norm="forward") * disk
    columns, rows = (max(number, math.ceil(float(np.linalg.norm(v)) / _SPACING)) for v in vectors)
    wide = np.zeros((len(density), rows, columns), np.complex128)
    wide[:, index[:, None] % rows, index % columns] = spectrum
    values = np.fft.ifft2(wide, norm="forward").real
    # Between its places the series of a density that is nearly nothing there may fall below 0.
    least = 1e-6 * values.mean(axis=(1, 2), keepdims=True)
    return np.asarray(np.log(np.maximum(values, least)))


def mean_density(log_density: FloatArray, heights: FloatArray, height: float) -> float:
    """Mean over the cell at a height [Å]."""
    means = np.log(np.exp(log_density).mean(axis=(1, 2)))
    return float(np.exp(CubicSpline(heights, means)(height)))


def heights_of(log_density: FloatArray, heights: FloatArray, setpoint: float) -> FloatArray:
    """Heights at which a density is the setpoint: the outermost ones [Å].

    Parameters
    ----------
    log_density : float64 [heights, rows, columns]
    heights : float64 [heights]
        Rising, equally spaced [Å].
    setpoint : float
        [1/Å³]

    Returns
    -------
    float64 [rows, columns]
        Also up to four steps below the lowest plane, where the logarithm goes on as a straight line: into dark places
        of a density that has nodes.

    Raises
    ------
    ValueError
        If the density is nowhere the setpoint, at some place of the cell.
    """
    step = heights[1] - heights[0]
    below = np.arange(-_BELOW, 0)
    held = np.concatenate([log_density[0] + below[:, None, None] * (log_density[1] - log_density[0]), log_density])
    planes = np.concatenate([heights[0] + below * step, heights])
    fine = np.linspace(planes[0], planes[-1], round((planes[-1] - planes[0]) / _FINE) + 1)
    above = CubicSpline(planes, held)(fine) - math.log(setpoint)
    if (above[0] < 0).any() or (above[-1] > 0).any():
        low, high = np.exp(held[-1].max()), np.exp(held[0].min())
        raise ValueError(f"{setpoint:.3g} 1/Å³; allowed: from {low:.3g} to {high:.3g} 1/Å³")
    # The highest plane that is still above the setpoint, and the next one.
    last = len(fine) - 1 - (above[::-1] >= 0).argmax(axis=0)
    last = np.minimum(last, len(fine) - 2)
    now, then = (np.take_along_axis(above, (last + step)[None], axis=0)[0] for step in (0, 1))
    part = np.where(now > then, now / np.where(now > then, now - then, 1.0), 0.0)
    return np.asarray(fine[last] + part * (fine[1] - fine[0]))


def over_cell(values: FloatArray, corner: FloatArray, vectors: FloatArray, places: FloatArray) -> FloatArray:
    """What repeats in the plane, at any places.

    Parameters
    ----------
    values : float64 [rows, columns]
        Over the second and the first vector.
    corner : float64 [2]
        Of the cell [Å].
    vectors : float64 [2, 2]
        Rows [Å].
    places : float64 [..., 2]
        x, y [Å].

    Returns
    -------
    float64 [...]
        By cubic splines.
    """
    at = _indices(values.shape, corner, vectors, places)
    return np.asarray(map_coordinates(values, at, order=3, mode="grid-wrap"), np.float64)


def currents_at(
    log_density: FloatArray,
    heights: FloatArray,
    corner: FloatArray,
    vectors: FloatArray,
    places: FloatArray,
    tip: FloatArray,
) -> FloatArray:
    """Density at any places and heights of the tip.

    Parameters
    ----------
    log_density : float64 [heights, rows, columns]
    heights : float64 [heights]
        Equally spaced [Å].
    corner, vectors, places : float64
        As of :func:`over_cell`.
    tip : float64 [...]
        Height at each place [Å]; up to six planes beyond the given ones the logarithm goes on as a straight line.

    Returns
    -------
    float64 [...]
        [1/Å³]
    """
    step, beyond = heights[1] - heights[0], np.arange(1, _PAD + 1)[:, None, None]
    below = log_density[0] - beyond[::-1] * (log_density[1] - log_density[0])
    above = log_density[-1] + beyond * (log_density[-1] - log_density[-2])
    padded = np.pad(np.concatenate([below, log_density, above]), ((0, 0), (_PAD, _PAD), (_PAD, _PAD)), mode="wrap")
    rows, columns = _indices(log_density.shape[1:], corner, vectors, places)
    at = [
        (tip - heights[0]) / step + _PAD,
        rows % log_density.shape[1] + _PAD,
        columns % log_density.shape[2] + _PAD,
    ]
    return np.asarray(np.exp(map_coordinates(padded, at, order=3, mode="nearest")), np.float64)


def _indices(
    shape: tuple[int, ...], corner: FloatArray, vectors: FloatArray, places: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Rows and columns of a cell at places."""
    fractions = (places - corner) @ np.linalg.inv(vectors)
    return fractions[..., 1] * shape[0], fractions[..., 0] * shape[1]


def slow_series(number: int, rng: np.random.Generator) -> FloatArray:
    """Noise whose power falls as one over the frequency, with mean 0 and variance 1, in so many steps."""
    spectrum = np.fft.rfft(rng.standard_normal(number))
    frequencies = np.arange(len(spectrum), dtype=np.float64)
    frequencies[0] = np.inf
    series = np.fft.irfft(spectrum / np.sqrt(frequencies), number)
    return np.asarray(series / series.std())
