"""The lattice of an image, from its autocorrelation and without learning.

The autocorrelation of a periodic image has its largest peaks at the vectors of the lattice. Shifts that bring only part
of the columns onto columns have lower ones. So the lattice is that of the smallest cell all of whose points, out to a
few of its vectors, are about as high as the highest peak.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from exitwave.data.autocorrelation import autocorrelation
from exitwave.data.peaks import find_peaks
from exitwave.errors import LatticeError
from exitwave.structures.lattice2d import PlaneClass, bravais_class, reduced

FloatArray = NDArray[np.float64]

SMOOTH, EVEN = 0.35, 6.0
"""Standard deviations [Å] of the Gaussian that takes noise away, and of that which is taken for the background."""
LEAST_VECTOR = 1.8
"""Shortest lattice vector [Å] that is looked for."""
REACH = 0.5
"""Of the edge of the image: longest shift that is looked at."""
NEAR = 0.35
"""Distance [Å] from a lattice point within which its peak is looked for."""
CANDIDATES = 24
"""Peaks, the shortest of the high ones, of which two are tried as vectors of the lattice."""
POINTS = 2
"""Multiples of each vector that must be peaks."""
_INDEX = np.array([(i, j) for i in range(-9, 10) for j in range(-9, 10) if (i, j) > (0, 0)], np.float64)


@dataclass(frozen=True)
class PlaneLattice:
    """The lattice of an image.

    Attributes
    ----------
    vectors : float64 [2, 2]
        Rows: its two shortest vectors, x and y [Å].
    error : float
        Root mean square distance [Å] of the peaks from the lattice.
    """

    vectors: FloatArray
    error: float

    def bravais(self, tolerance: float) -> PlaneClass:
        """Its class: the most symmetric one that a strain below ``tolerance`` makes it."""
        return bravais_class(self.vectors, tolerance)


def find_plane_lattice(image: NDArray[np.floating], pixel_size: float, alike: float = 0.8) -> PlaneLattice:
    """The lattice of an image.

    Parameters
    ----------
    image : float [H, W]
    pixel_size : float
        [Å].
    alike : float
        Height of the lowest point of a lattice over the highest.

    Raises
    ------
    LatticeError
        If there is none.
    """
    return lattice_of(_correlation(image, pixel_size), pixel_size, alike)


def _correlation(image: NDArray[np.floating], pixel_size: float) -> FloatArray:
    return autocorrelation(image, SMOOTH / pixel_size, EVEN / pixel_size, REACH)


def lattice_of(correlation: FloatArray, pixel_size: float, alike: float) -> PlaneLattice:
    """The lattice of an autocorrelation; see :func:`find_plane_lattice`."""
    middle = len(correlation) // 2
    peaks = find_peaks(correlation, 0.02, spacing=1.0 / pixel_size)
    shifts = (peaks[:, :2] - middle) * pixel_size
    lengths = np.linalg.norm(shifts, axis=1)
    # Each shift and its opposite are one.
    half = (shifts[:, 1] > 1e-6) | ((np.abs(shifts[:, 1]) <= 1e-6) & (shifts[:, 0] > 0))
    far = half & (lengths >= LEAST_VECTOR)
    shifts, heights, lengths = shifts[far], peaks[far, 2], lengths[far]
    if len(shifts) < 2:
        raise LatticeError("the autocorrelation has no two peaks; allowed: an image of a lattice")
    highest = float(np.sort(heights)[-max(1, len(heights) // 50) :].mean())
    high = heights >= alike * highest
    order = np.flatnonzero(high)[np.argsort(lengths[high], kind="stable")][:CANDIDATES]
    spread = maximum_filter(correlation, size=2 * int(np.ceil(NEAR / pixel_size)) + 1)
    best = _smallest(shifts[order], spread, pixel_size, alike * highest)
    if best is None:
        raise LatticeError("the peaks of the autocorrelation are on no lattice; allowed: an image of a lattice")
    return _fitted(best, shifts, heights, highest, middle * pixel_size)


def _smallest(candidates: FloatArray, spread: FloatArray, pixel_size: float, least: float) -> FloatArray | None:
    """Of pairs of vectors that with the smallest cell, all of whose points are high."""
    pairs = []
    for first, second in itertools.combinations(range(len(candidates)), 2):
        one, other = candidates[first], candidates[second]
        area = abs(one[0] * other[1] - one[1] * other[0])
        if area > 0.3 * np.linalg.norm(one) * np.linalg.norm(other) and area > 2.0:
            pairs.append((area, first, second))
    middle = len(spread) // 2
    index = _INDEX[(np.abs(_INDEX) <= POINTS).all(axis=1)]
    for _, first, second in sorted(pairs):
        points = np.rint(index @ candidates[[first, second]] / pixel_size).astype(int) + middle
        inside = points[((points >= 0) & (points < len(spread))).all(axis=1)]
        if len(inside) >= 4 and (spread[inside[:, 1], inside[:, 0]] >= least).all():
            return reduced(candidates[[first, second]])
    return None


def _fitted(vectors: FloatArray, shifts: FloatArray, heights: FloatArray, highest: float, reach: float) -> PlaneLattice:
    """Vectors that fit all peaks near the points of a lattice, from the nearest points on to the farthest."""
    inverse, radius = np.linalg.inv(vectors), 1.6 * float(np.linalg.norm(vectors, axis=1).max())
    error = np.nan
    while True:
        near = np.linalg.norm(shifts, axis=1) <= radius
        index = np.rint(shifts @ inverse)
        off = np.linalg.norm(shifts - index @ vectors, axis=1)
        used = near & (off <= NEAR) & np.any(index != 0, axis=1) & (heights > 0.5 * highest)
        if np.linalg.matrix_rank(index[used]) == 2:
            weights = np.sqrt(heights[used])[:, None]
            vectors = np.linalg.lstsq(weights * index[used], weights * shifts[used], rcond=None)[0]
            inverse = np.linalg.inv(vectors)
            error = float(np.sqrt(np.mean(np.sum((shifts[used] - index[used] @ vectors) ** 2, axis=1))))
        if radius >= reach:
            break
        radius *= 1.5
    return PlaneLattice(reduced(vectors), error)


@dataclass(frozen=True)
class Tuned:
    """How lattices are found and named."""

    alike: float
    tolerance: float


ALIKE, TOLERANCES = (0.6, 0.7, 0.8, 0.87, 0.93), (0.005, 0.01, 0.015, 0.02, 0.03, 0.04)
"""Values that are tried."""


def tuned(images: Sequence[NDArray[np.floating]], pixel_sizes: Sequence[float], classes: Sequence[str]) -> Tuned:
    """Of the values that are tried those with which most images have the class that they have; the first of equals."""
    correlations = [_correlation(image, size) for image, size in zip(images, pixel_sizes, strict=True)]
    best, most = Tuned(0.8, 0.02), -1
    for alike in ALIKE:
        found = [
            _or_none(correlation, size, alike) for correlation, size in zip(correlations, pixel_sizes, strict=True)
        ]
        for tolerance in TOLERANCES:
            named = [None if one is None else one.bravais(tolerance).name for one in found]
            right = sum(one == name for one, name in zip(named, classes, strict=True))
            if right > most:
                best, most = Tuned(alike, tolerance), right
    return best


def _or_none(correlation: FloatArray, pixel_size: float, alike: float) -> PlaneLattice | None:
    try:
        return lattice_of(correlation, pixel_size, alike)
    except LatticeError:
        return None
