"""Peaks of a map, with places finer than a pixel: of the output of a network, or of a correlation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_FLOOR = 0.02
"""Share of a top that its neighbours count as at least; a Gaussian of 0.6 px has no less beside its top."""


def find_peaks(
    image: NDArray[np.floating], least: float, spacing: float = 2.0, edge: int = 1, most: int | None = None
) -> FloatArray:
    """Local maxima of a map, refined by a parabola through the logarithm, which is exact for a Gaussian.

    Parameters
    ----------
    image : float [H, W]
        Pixels that are not finite, and those beside them, are no peaks.
    least : float
        Smallest height of a peak, at its top between the pixels. No peak is lower than or equal to 0.
    spacing : float
        Of two peaks closer than this [px] the higher stays.
    edge : int
        Pixels along the edge that are left out; at least 1.
    most : int, optional
        Largest number of peaks.

    Returns
    -------
    float64 [n, 3]
        Place x, y [px] and height, the highest first.
    """
    height, width = image.shape
    edge = max(edge, 1)
    if min(height, width) <= 2 * edge:
        return np.empty((0, 3))
    inner = image[edge : height - edge, edge : width - edge]
    # A top between pixels is at most 1 / _FLOOR^(1/4) above the highest of them, along both axes together.
    top = (inner > 0) & (inner >= least * _FLOOR**0.25) & np.isfinite(inner)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                beside = image[edge + dy : height - edge + dy, edge + dx : width - edge + dx]
                # Of equal neighbours the last is the peak.
                top &= inner >= beside if (dy, dx) < (0, 0) else inner > beside
    y, x = np.nonzero(top)
    y, x = y + edge, x + edge
    centre = image[y, x].astype(np.float64)
    found, gain = np.empty((len(x), 3)), np.zeros(len(x))
    for axis, (before, after) in enumerate(((image[y, x - 1], image[y, x + 1]), (image[y - 1, x], image[y + 1, x]))):
        low, high = (np.log(np.maximum(one.astype(np.float64) / centre, _FLOOR)) for one in (before, after))
        bent = low + high
        # A flat top has no place finer than its pixel.
        moved = np.divide(low - high, 2 * bent, out=np.zeros_like(bent), where=bent < 0)
        found[:, axis] = (x, y)[axis] + moved
        gain -= (low - high) * moved / 4
    found[:, 2] = centre * np.exp(gain)
    found = found[found[:, 2] >= least]
    found = found[np.argsort(-found[:, 2], kind="stable")]
    return apart(found, spacing)[:most]


def apart(peaks: FloatArray, spacing: float) -> FloatArray:
    """Peaks [n, 3], the highest first, without those closer than ``spacing`` [px] to a higher one that stays."""
    from scipy.spatial import cKDTree

    if len(peaks) < 2 or spacing <= 0:
        return peaks
    stays = np.ones(len(peaks), dtype=bool)
    pairs = cKDTree(peaks[:, :2]).query_pairs(spacing, output_type="ndarray")
    for higher, lower in pairs[np.lexsort(pairs.T[::-1])]:
        if stays[higher]:
            stays[lower] = False
    return peaks[stays]
