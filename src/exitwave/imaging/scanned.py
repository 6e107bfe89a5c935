"""What a scan does to an image: pixels are taken elsewhere than where they are drawn.

A pixel of column j and row i is taken at

    x = j + jitter_i + flyback exp(-j / length) + hum sin(2 pi i / period + phase) + tan(skew) (i - n/2) + drift_x t,
    y = i + drift_y t,                                                   t = (i + j / n) / n - 1/2,

in pixels. The jitter of the rows is an autoregressive series of first order. So an image begins and ends half of the
drift away from where it is in the middle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates

from exitwave.config.stem import Scan

FloatArray = NDArray[np.float64]
_STEPS = 6
"""Of the iteration that finds where an atom appears; each makes the error smaller by the gradient of the shifts."""


@dataclass(frozen=True)
class Shifts:
    """How far from its place each pixel is taken [px].

    Attributes
    ----------
    along, across : float64 [rows, columns]
        Along the row, and across it.
    """

    along: FloatArray
    across: FloatArray

    def appear(self, places: FloatArray, width: float) -> FloatArray:
        """Where something is seen.

        Parameters
        ----------
        places : float64 [n, 2]
            Where it is: x, y [px].
        width : float
            Standard deviation of its image [px]: it spans so many rows, and shows their mean shift.

        Returns
        -------
        float64 [n, 2]
            x, y [px].
        """
        smooth = [gaussian_filter1d(one, max(width, 0.5), axis=0, mode="nearest") for one in (self.along, self.across)]
        seen = places.copy()
        for _ in range(_STEPS):
            at = seen[:, ::-1].T
            shifts = [map_coordinates(one, at, order=1, mode="nearest") for one in smooth]
            seen = places - np.column_stack(shifts)
        return seen

    def finer(self, times: int) -> Shifts:
        """Those of places so many times closer, in their pixels, interpolated."""
        return Shifts(*(times * finer(one, times) for one in (self.along, self.across)))


def finer(values: NDArray[np.floating], times: int) -> FloatArray:
    """Values at places so many times closer [times H, times W], in straight lines between those of pixels [H, W].

    The outer edges of both are the same. Beyond the outermost places the nearest value goes on. A single value stays
    what it is.
    """
    if values.size == 1 or times == 1:
        return np.asarray(values, np.float64)
    at = [(np.arange(times * length) + 0.5) / times - 0.5 for length in values.shape]
    return np.asarray(
        map_coordinates(values.astype(np.float64), np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")
    )


def draw_shifts(scan: Scan, size: int, pixel: float, rng: np.random.Generator) -> Shifts | None:
    """Draw the shifts of a scan, whose values are constants; none where it has no distortions.

    Parameters
    ----------
    scan : Scan
    size : int
        Rows and columns.
    pixel : float
        [Å].
    rng : Generator
        Draws the jitter of the rows first, then the phase of the hum.
    """
    row, column = np.arange(size, dtype=np.float64)[:, None], np.arange(size, dtype=np.float64)
    jitter, flyback, drift, hum, skew = (float(getattr(scan, n)) for n in ("jitter", "flyback", "drift", "hum", "skew"))
    if jitter == flyback == drift == hum == skew == 0:
        return None
    along = np.zeros((size, size))
    if jitter > 0:
        along += jitter * _series(size, scan.jitter_correlation, rng)[:, None]
    if hum > 0:
        along += hum * np.sin(2 * np.pi * row / scan.hum_period + rng.uniform(0, 2 * np.pi))
    along += flyback * np.exp(-column / scan.flyback_length)
    along += math.tan(math.radians(skew)) * (row - size / 2)
    time = (row + column / size) / size - 0.5
    angle = float(scan.drift_angle)  # type: ignore[arg-type]
    along += drift / pixel * math.cos(angle) * time
    return Shifts(along, drift / pixel * math.sin(angle) * time)


def _series(number: int, correlation: float, rng: np.random.Generator) -> FloatArray:
    """Autoregressive series of first order with variance 1."""
    steps = rng.standard_normal(number)
    series, fresh = np.empty(number), math.sqrt(1 - correlation**2)
    series[0] = steps[0]
    for place in range(1, number):
        series[place] = correlation * series[place - 1] + fresh * steps[place]
    return series


def taken(fine: FloatArray, step: float, first: float, shifts: Shifts) -> FloatArray:
    """An image as a scan takes it.

    Parameters
    ----------
    fine : float64 [m, m]
        The image on a finer grid that reaches beyond it.
    step : float
        Pixels of the fine grid in one of the image.
    first : float
        Place of the first pixel of the image on the fine grid, along both axes.
    shifts : Shifts

    Returns
    -------
    float64 [n, n]
        By cubic splines: exact to 1e-4 where the image is a Gaussian of a standard deviation of 2.5 fine pixels.
    """
    size = len(shifts.along)
    row, column = np.arange(size, dtype=np.float64)[:, None], np.arange(size, dtype=np.float64)
    at = [first + step * (row + shifts.across), first + step * (column + shifts.along)]
    return np.asarray(map_coordinates(fine, at, order=3, mode="nearest"), np.float64)
