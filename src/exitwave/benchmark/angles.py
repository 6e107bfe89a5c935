"""Angles between neighbouring columns, which tell lattices apart however they lie and at whatever scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]

BINS = 200
"""Of the cosine, from -1 to 1."""
NEIGHBOURS, REACH = 12, 1.6
"""Neighbours of a column: at most so many, and within so many times the distance to the nearest."""


def angle_histogram(places: NDArray[np.floating], shape: tuple[int, int]) -> FloatArray | None:
    """How often neighbours of a column are seen from it under each angle.

    Neighbours lie within ``REACH`` times the distance to the nearest one, so that the histogram is the same at any
    scale, turned and mirrored. Columns around which as much is not in the image are no centres.

    Parameters
    ----------
    places : float [n, 2]
        x, y of the columns [px], from the middle of the first pixel.
    shape : (int, int)
        Height and width of the image [px].

    Returns
    -------
    float64 [BINS], optional
        Shares of all triplets by the cosine of the angle between two neighbours at their common one, -1 to 1. Each
        triplet counts in the two bins whose middles are nearest, in proportion: cosines of perfect lattices, such as
        0.5, lie between two bins, and rounding would else say in which. None where no column has two neighbours.
    """
    points = np.unique(np.asarray(places, np.float64).reshape(-1, 2), axis=0)
    if len(points) < 3:
        return None
    # The nearest is the point itself; where there are fewer, distances are infinite, and the place is behind the last.
    distances, others = cKDTree(points).query(points, NEIGHBOURS + 1)
    reach = REACH * distances[:, 1] * (1 + 1e-9)
    far_corner = np.array([shape[1], shape[0]]) - 0.5
    whole = np.minimum(points + 0.5, far_corner - points).min(axis=1) >= reach
    centres, near = points[whole], (distances[:, 1:] <= reach[:, None])[whole]
    towards = points[np.minimum(others[whole, 1:], len(points) - 1)] - centres[:, None]
    directions = towards / np.where(near, distances[whole, 1:], 1.0)[..., None]
    first, second = np.triu_indices(NEIGHBOURS, 1)
    both = near[:, first] & near[:, second]
    cosines = (directions[:, first] * directions[:, second]).sum(axis=-1)[both]
    if not len(cosines):
        return None
    middle = (np.clip(cosines, -1, 1) + 1) / 2 * BINS - 0.5
    lower = np.floor(middle).astype(np.intp)
    shares = middle - lower
    histogram = np.bincount(np.maximum(lower, 0), 1 - shares, BINS)
    histogram += np.bincount(np.minimum(lower + 1, BINS - 1), shares, BINS)
    return histogram / len(cosines)
