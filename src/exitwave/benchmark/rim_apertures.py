"""The share of a pixel that lies within the disk of a probe, wherever between pixels the disk stands.

A picture of the probe says it for one place only. What is interpolated from its pixels is wrong at the rim of a sharp
disk, by so much that disks come to lie a tenth of a pixel off. But the rim of a round disk is known from its whole
circumference, whose pixels are at many distances from the middle. So an even disk is fitted to the picture, with its
radius and the width of its rim.

Where that does not fit, the probe is no such disk, and its amplitudes are interpolated. Of a bullseye that is so, and
of the probes of a multislice: their waves are known at the frequencies of the box, whose sinc is what they have between
them, while the pixels of a camera collect all that falls on their area.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.optimize import minimize

from exitwave.benchmark.correlation import disk_radius
from exitwave.benchmark.rim_kernels import shares
from exitwave.imaging.aperture import FINE, aperture_table

ROUND = 0.03
"""Largest deviation of a probe from an even disk that is taken for one: root of the squares, over those of the probe.
Twice that of an ellipse whose axes differ by 2 %, and three quarters of that of a multislice."""
_BEYOND = 3
"""Pixels around a disk that belong to its picture."""
_SOFTEST = 1.0
"""Largest width of a rim, as a standard deviation [px]."""
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RimAperture:
    """A disk of any place.

    Attributes
    ----------
    table : float64 [2 n + 1, 2 n + 1]
        Share of a pixel within the disk, over that of a pixel inside, for pixels that are ``(i - n) / FINE`` px from
        its middle.
    radius : float
        [px].
    """

    table: FloatArray
    radius: float

    def share(self, y: FloatArray, x: FloatArray) -> FloatArray:
        """Share of pixels at distances y and x [px] from the middle, of any shape."""
        return np.asarray(shares(self.table, FINE, np.ravel(y), np.ravel(x))).reshape(np.shape(y))


def aperture_of(probe: NDArray[np.floating]) -> RimAperture:
    """The disk of a probe.

    Parameters
    ----------
    probe : float array [H, W]
        In vacuum, with its middle at ``(H // 2, W // 2)``.
    """
    radius = disk_radius(probe)
    half = int(np.ceil(radius)) + _BEYOND
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    middle = np.array(probe.shape) // 2
    picture = map_coordinates(probe.astype(np.float64), [middle[0] + y, middle[1] + x], order=0, mode="constant")
    picture = np.maximum(picture, 0) / max(float(picture.max()), np.finfo(float).tiny)

    @cache
    def left(edge: float, width: float) -> float:
        """Squares that an even disk leaves, whatever its height."""
        if not (0.5 * radius < edge < radius + _BEYOND - 1 and width <= _SOFTEST):
            return np.inf
        share = RimAperture(_disk(edge, width), edge).share(y, x)
        return float((picture**2).sum() - (share * picture).sum() ** 2 / (share**2).sum())

    starts = [(radius + change, width) for change in (-0.3, -0.1, 0.1, 0.3) for width in (0.1, 0.4)]
    edge, width = min(starts, key=lambda start: left(*start))
    simplex = np.array([[edge, width], [edge + 0.05, width], [edge, width + 0.1]])
    options = {"xatol": 2e-3, "fatol": 1e-7, "initial_simplex": simplex}
    fit = minimize(
        lambda both: left(float(both[0]), abs(float(both[1]))), simplex[0], method="Nelder-Mead", options=options
    )
    if fit.fun <= ROUND**2 * (picture**2).sum():
        return RimAperture(_disk(float(fit.x[0]), abs(float(fit.x[1]))), float(fit.x[0]))
    fine = np.arange(-half * FINE, half * FINE + 1) / FINE
    amplitudes = np.sqrt(picture / np.median(picture[picture > 0.5]))
    places = np.meshgrid(fine + half, fine + half, indexing="ij")
    return RimAperture(np.maximum(map_coordinates(amplitudes, places, order=3), 0) ** 2, radius)


def _disk(radius: float, width: float) -> FloatArray:
    """Table of an even disk whose rim is blurred by a Gaussian of this standard deviation [px]."""
    sharp = np.pad(aperture_table("disk", radius).astype(np.float64), int(np.ceil(3 * _SOFTEST * FINE)))
    return np.asarray(gaussian_filter(sharp, width * FINE)) if width * FINE > 0.1 else sharp
