"""Low-index zone axes of a crystal: the directions of its shortest periods, of equivalent ones one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exitwave.structures.crystal import Crystal
from exitwave.structures.reading import SYMMETRY
from exitwave.structures.standard import StandardCrystal

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Indices = tuple[int, int, int]
_SIXTHS = 6
"""Indices of lattice vectors in a centred cell are multiples of 1/2 or 1/3."""
_LENGTH_DECIMALS = 5
"""Decimals of periods [Å] that are told apart."""


@dataclass(frozen=True)
class ZoneAxis:
    """A direction of a crystal.

    Attributes
    ----------
    indices : tuple of int
        [uvw] in the stored, primitive cell: the shortest lattice vector of the direction. A reflection (hkl) of that
        cell is in the zone where h u + k v + l w = 0.
    conventional : tuple of int
        The same direction in smallest whole numbers of the conventional cell, as it is called.
    period : float
        Distance after which the crystal repeats along it [Å].
    """

    indices: Indices
    conventional: Indices
    period: float


def zone_axes(standard: StandardCrystal, number: int) -> list[ZoneAxis]:
    """The zone axes of the shortest periods, the shortest first.

    Directions that an operation of the Laue class carries into each other, that of the point group with an inversion,
    give the same patterns but for rotation and reflection; of them one is taken: the one that has, in the conventional
    cell, the smallest sum of absolute indices, then the fewest negative ones, then the largest first index, the
    largest second and the largest third. Of directions of one period the order is that as well.

    Parameters
    ----------
    standard : StandardCrystal
    number : int
        How many.
    """
    cell, operators = standard.crystal.cell, laue_operators(standard.crystal)
    radius = 1.5 * float(np.linalg.norm(cell, axis=1).min())
    while True:
        found = _within(standard, operators, radius)
        if len(found) >= number:
            return found[:number]
        radius *= 1.3


def laue_operators(crystal: Crystal) -> IntArray:
    """Operations of the Laue class, int [n, 3, 3], on columns of indices [uvw] of the cell."""
    import spglib

    found = spglib.get_symmetry_dataset((crystal.cell, crystal.fractional, crystal.numbers), symprec=SYMMETRY)
    rotations = np.asarray(found.rotations, dtype=np.int64)
    return np.asarray(np.unique(np.concatenate([rotations, -rotations]), axis=0))


def in_conventional(standard: StandardCrystal, indices: IntArray) -> IntArray:
    """Directions [n, 3] of the stored cell in smallest whole numbers of the conventional one."""
    return _converted(indices, standard.crystal.cell, standard.conventional)


def in_stored(standard: StandardCrystal, indices: IntArray) -> IntArray:
    """Directions [n, 3] of the conventional cell in smallest whole numbers of the stored one."""
    return _converted(indices, standard.conventional, standard.crystal.cell)


def _converted(indices: IntArray, cell: FloatArray, other: FloatArray) -> IntArray:
    whole = np.rint(_SIXTHS * indices @ cell @ np.linalg.inv(other)).astype(np.int64)
    return np.asarray(whole // np.gcd.reduce(whole, axis=-1, keepdims=True))


def _within(standard: StandardCrystal, operators: IntArray, radius: float) -> list[ZoneAxis]:
    """All inequivalent zone axes of a period up to a radius [Å], in order."""
    cell = standard.crystal.cell
    reach = np.floor(radius * np.linalg.norm(np.linalg.inv(cell), axis=0) + 1e-6).astype(int)
    grid = np.meshgrid(*(np.arange(-most, most + 1) for most in reach), indexing="ij")
    vectors = np.stack(grid, -1).reshape(-1, 3)
    vectors = vectors[(np.gcd.reduce(vectors, axis=1) == 1) & (np.linalg.norm(vectors @ cell, axis=1) <= radius)]
    found: dict[Indices, ZoneAxis] = {}
    seen: set[Indices] = set()
    for vector in vectors:
        if _indices(vector) in seen:
            continue
        orbit = operators @ vector
        seen.update(map(_indices, orbit))
        names = in_conventional(standard, orbit)
        best = min(range(len(orbit)), key=lambda i: _rank(names[i]))
        period = float(np.linalg.norm(orbit[best] @ cell))
        found[_indices(orbit[best])] = ZoneAxis(_indices(orbit[best]), _indices(names[best]), period)
    return sorted(found.values(), key=lambda axis: (round(axis.period, _LENGTH_DECIMALS), _rank(axis.conventional)))


def _indices(vector: IntArray | Indices) -> Indices:
    u, v, w = (int(index) for index in vector)
    return u, v, w


def _rank(indices: IntArray | Indices) -> tuple[int, ...]:
    """Place among equivalent directions: the lowest is taken."""
    u, v, w = _indices(indices)
    return abs(u) + abs(v) + abs(w), sum(index < 0 for index in (u, v, w)), -u, -v, -w
