"""Neighbours of atoms, across the boundaries of a cell of any shape too.

A cell is given by its rows [3, 3], or by the edges [3] of an orthogonal one; what is not periodic needs none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exitwave.errors import StructureError

FloatArray = NDArray[np.float64]
Periodic = Sequence[bool]

OPEN = (False, False, False)
"""Periodic in no direction."""


def neighbours(
    positions: FloatArray, cutoff: float, cell: ArrayLike | None = None, periodic: Periodic = OPEN
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """All pairs of atoms closer than a cutoff, each in both directions; an atom may be a neighbour of its own image.

    Parameters
    ----------
    positions : ndarray [n, 3]
        Positions [Å].
    cutoff : float
        Largest distance [Å]; it may exceed the cell.
    cell : array_like [3, 3] or [3], optional
        Rows, or the edges of an orthogonal cell [Å].
    periodic : sequence of bool [3]
        Directions of the cell in which it repeats.

    Returns
    -------
    first, second : ndarray, int64 [m]
        Indices of the atoms, ``first`` ascending.
    vectors : ndarray [m, 3]
        From the first atom to the second or its image [Å].
    """
    from scipy.spatial import cKDTree

    wrapped, images, origin = with_images(positions, cutoff, cell, periodic)
    near = cKDTree(wrapped).sparse_distance_matrix(cKDTree(images), cutoff, output_type="ndarray")
    first, image = near["i"].astype(np.int64), near["j"].astype(np.int64)
    order = np.lexsort((image, first))
    # The first images are the atoms themselves.
    order = order[first[order] != image[order]]
    first, image = first[order], image[order]
    return first, origin[image], images[image] - wrapped[first]


def with_images(
    positions: FloatArray, reach: float, cell: ArrayLike | None, periodic: Periodic
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Images of atoms.

    Parameters
    ----------
    positions, cell, periodic
        As of `neighbours`.
    reach : float
        Images further than this from the cell [Å] are left out.

    Returns
    -------
    wrapped : ndarray [n, 3]
        The atoms, brought into the cell [Å].
    images : ndarray [m, 3]
        These, in the same order, and then their images [Å].
    origin : ndarray, int64 [m]
        Index of the atom that each of them is an image of.

    Raises
    ------
    StructureError
        If there is a periodic direction, but no cell.
    """
    origin = np.arange(len(positions))
    if not any(periodic):
        return positions, positions, origin
    if cell is None:
        raise StructureError(f"periodic is {tuple(periodic)}, but there is no cell; allowed: a cell, or all False")
    rows = cell_rows(cell)
    inverse = np.linalg.inv(rows)
    fractional = positions @ inverse
    fractional[:, list(periodic)] %= 1
    wrapped = fractional @ rows
    for axis in np.flatnonzero(periodic):
        margin = reach * np.linalg.norm(inverse[:, axis])
        steps = np.arange(-np.ceil(margin), np.ceil(margin) + 1)
        steps = steps[np.argsort(np.abs(steps), kind="stable")]
        shifted = np.tile(fractional, (len(steps), 1))
        shifted[:, axis] += np.repeat(steps, len(fractional))
        near = (shifted[:, axis] >= -margin) & (shifted[:, axis] <= 1 + margin)
        fractional, origin = shifted[near], np.tile(origin, len(steps))[near]
    return wrapped, fractional @ rows, origin


def cell_rows(cell: ArrayLike) -> FloatArray:
    """Rows [3, 3] of a cell given by its rows or by its edges [3]."""
    rows = np.asarray(cell, dtype=np.float64)
    return np.diag(rows) if rows.ndim == 1 else rows
