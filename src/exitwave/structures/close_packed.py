"""Crystals as stacks of close-packed layers: what a stacking is, of cubic and of hexagonal crystals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClosePackedStacking:
    """A crystal as a stack of equal hexagonal layers, each beside the one below by plus or minus one shift.

    Counted from the layer through ``origin``, the atoms of layer k are those of the net ``in_plane`` displaced by
    ``k * spacing * normal`` and by ``shift`` times the sum of the stacking signs below it. All vectors are in the
    Cartesian frame of the crystal.

    Attributes
    ----------
    normal : ndarray [3]
        Unit normal of the layers.
    in_plane : ndarray [2, 3]
        Rows: primitive vectors of the net [Å].
    shift : ndarray [3]
        The in-plane step from one layer to the next [Å], a/6 <112> in fcc.
    spacing : float
        Distance of two layers [Å].
    signs : tuple of int
        Repeating signs of the steps in the perfect crystal: (1,) is ABC, (1, -1) is AB.
    heights, numbers : ndarray [m]
        Height above the layer [Å] and atomic number of the atoms on each point of the net.
    origin : ndarray [3]
        An atom at height 0 of layer 0 [Å].
    """

    normal: FloatArray
    in_plane: FloatArray
    shift: FloatArray
    spacing: float
    signs: tuple[int, ...]
    heights: FloatArray
    numbers: NDArray[np.uint8]
    origin: FloatArray


def cubic_stacking(a: float, numbers: ArrayLike) -> ClosePackedStacking:
    """{111} layers of fcc (one atomic number) or of diamond and zinc blende (two) with the lattice constant a [Å].

    The first kind of atom is at (0, 0, 0) of the cell, the second at (1/4, 1/4, 1/4); the normal is [111].
    """
    kinds = np.atleast_1d(np.asarray(numbers, dtype=np.uint8))
    return ClosePackedStacking(
        normal=np.ones(3) / np.sqrt(3),
        in_plane=a / 2 * np.array([[1.0, -1, 0], [0, 1, -1]]),
        shift=a / 6 * np.array([1.0, 1, -2]),
        spacing=a / np.sqrt(3),
        signs=(1,),
        heights=np.array([0.0, a * np.sqrt(3) / 4])[: len(kinds)],
        numbers=kinds,
        origin=np.zeros(3),
    )


def hexagonal_stacking(a: float, c: float, numbers: ArrayLike, u: float = 0.0) -> ClosePackedStacking:
    """(0001) layers of hcp (one atomic number) or wurtzite (two, the second u * c above the first).

    Lattice constants in Å; the first kind of atom is at (1/3, 2/3, 0) and (2/3, 1/3, 1/2) of a cell whose rows are
    (a, 0, 0), (-a/2, a √3/2, 0) and (0, 0, c); the normal is [0001].
    """
    kinds = np.atleast_1d(np.asarray(numbers, dtype=np.uint8))
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
    return ClosePackedStacking(
        normal=np.array([0.0, 0, 1]),
        in_plane=cell[:2],
        shift=np.array([1 / 3, -1 / 3, 0]) @ cell,
        spacing=c / 2,
        signs=(1, -1),
        heights=np.array([0.0, u * c])[: len(kinds)],
        numbers=kinds,
        origin=np.array([1 / 3, 2 / 3, 0]) @ cell,
    )
