"""How well columns can be seen: their signal-to-noise ratio in an image of which the noise is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]

VISIBLE = 5.0
"""Signal-to-noise ratio from which something is seen with certainty (A. Rose, J. Opt. Soc. Am. 38 (1948) 196)."""
_NEIGHBOURS = 8
_REACH = 4.0
"""Standard deviations of a column up to which another one overlaps with it: their product is 2 % of its square."""


def visibility(places: FloatArray, electrons: FloatArray, expected: FloatArray, sigma: float) -> FloatArray:
    """Signal-to-noise ratio of each column, for an observer who knows all but how bright neighbours are and where.

    Columns are Gaussians and the noise that of counting, even over a column. For known neighbours the ratio is that of
    a matched filter, ``N / sqrt(4 pi sigma² n)`` with N electrons in the column and n expected in a pixel there. What a
    change of the brightness or the place of neighbours would do as well is taken from it, as the Cramér-Rao bound
    does (S. M. Kay, Fundamentals of Statistical Signal Processing I (1993), ch. 3).

    Parameters
    ----------
    places : float64 [n, 2]
        x, y [px]; also of columns beside the image that reach into it.
    electrons : float64 [n]
        Of each column.
    expected : float64 [H, W]
        Electrons in each pixel, without noise.
    sigma : float
        Standard deviation of the columns [px].

    Returns
    -------
    float64 [n]
    """
    if not len(places):
        return np.zeros(0)
    # The square of a Gaussian, with which the noise is weighed, is narrower by the root of two.
    weighed = gaussian_filter(np.asarray(expected, np.float64), sigma / np.sqrt(2), mode="nearest")
    noise = map_coordinates(weighed, places[:, ::-1].T, order=1, mode="nearest")
    alone = electrons / np.sqrt(4 * np.pi * sigma**2 * np.maximum(noise, 1e-30))
    return np.asarray(alone * np.sqrt(_own_share(places / sigma)))


def _own_share(places: FloatArray) -> FloatArray:
    """Share of the square of each Gaussian of width 1 that no change of its neighbours gives [n]."""
    count = len(places)
    distances, near = cKDTree(places).query(places, k=_NEIGHBOURS + 1, distance_upper_bound=_REACH)
    real = np.isfinite(distances[:, 1:])
    others = places[np.where(real, near[:, 1:], 0)]
    # One that is missing stands far away, each at another place, and overlaps with nothing.
    far = 1e3 * (1 + np.arange(_NEIGHBOURS))[:, None] * np.ones(2)
    others = np.where(real[..., None], others - places[:, None], far)
    overlap, first, second = _products(others[:, :, None] - others[:, None])
    size = 3 * _NEIGHBOURS
    matrix = np.empty((count, _NEIGHBOURS, 3, _NEIGHBOURS, 3))
    matrix[:, :, 0, :, 0] = overlap
    matrix[:, :, 0, :, 1:] = first
    matrix[:, :, 1:, :, 0] = -first.transpose(0, 1, 3, 2)
    matrix[:, :, 1:, :, 1:] = second.transpose(0, 1, 3, 2, 4)
    overlap, first, _ = _products(-others)
    mixed = np.concatenate([overlap[..., None], first], axis=-1).reshape(count, size)
    solved = np.linalg.solve(matrix.reshape(count, size, size) + 1e-9 * np.eye(size), mixed[..., None])[..., 0]
    return np.asarray(np.clip(1 - (mixed * solved).sum(axis=1), 0, 1))


def _products(apart: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Integrals of two Gaussians of width 1 that are ``apart`` [..., 2], over that of one with itself.

    Of the first with the second, with the derivative of the second by its place [..., 2], and of both derivatives
    [..., 2, 2].
    """
    overlap = np.exp(-(apart**2).sum(axis=-1) / 4)
    first = overlap[..., None] * apart / 2
    outer = apart[..., :, None] * apart[..., None, :]
    return overlap, first, overlap[..., None, None] * (np.eye(2) / 2 - outer / 4)
