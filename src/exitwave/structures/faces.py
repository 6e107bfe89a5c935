"""Faces of crystals of any symmetry: their plane lattice, and the layers that are parallel to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal
from exitwave.structures.neighbours import OPEN, Periodic, neighbours

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SAME_SITE = 0.02
"""Sites that a translation of the lattice brings together this closely are one [Å]; CIF files round to about that."""
_SAME_PLANE = 0.2
"""Atoms whose heights differ by less are one atomic plane, flat or puckered [Å]."""
_BOND = 1.1
"""Longest bond of an atom over its shortest; the second neighbours are at 1.15 in bcc metals and the O of CeO2."""


@dataclass(frozen=True)
class CrystalFace:
    """A crystal as a stack of layers parallel to a plane (hkl), in a frame with z along the normal of the plane.

    A layer is what lies between two neighbouring planes that cut the fewest bonds: O-Ce-O in {111} of CeO2, a double
    layer in {111} of Si, a sheet of graphite.

    Attributes
    ----------
    rotation : ndarray [3, 3]
        From the frame of the crystal to that of the face: the normal onto z, the first vector onto x.
    vectors : ndarray [2, 2]
        Rows: primitive lattice vectors of the face, the two shortest [Å].
    repeat : float
        Distance of lattice planes (hkl) [Å].
    shift : ndarray [2]
        Lateral step to the lattice plane above, in units of the vectors.
    sites : ndarray [m, 2]
        Places of the atoms of one repeat, in units of the vectors.
    heights : ndarray [m]
        Their heights [Å], ascending from layer to layer.
    numbers : ndarray, uint8 [m]
        Their atomic numbers.
    layer : ndarray [m]
        Their layers, from 0.
    """

    rotation: FloatArray
    vectors: FloatArray
    repeat: float
    shift: FloatArray
    sites: FloatArray
    heights: FloatArray
    numbers: NDArray[np.uint8]
    layer: IntArray

    @property
    def layers(self) -> int:
        """Layers in one repeat."""
        return int(self.layer.max()) + 1

    def stack(self, first: int, count: int) -> tuple[FloatArray, FloatArray, NDArray[np.uint8], IntArray]:
        """Consecutive layers: sites [n, 2], heights [n] [Å], atomic numbers [n] and layers [n], from 0 for the first.

        Layers are numbered on from one repeat to the next, and below 0 downwards.
        """
        turns, kinds = np.divmod(np.arange(first, first + count), self.layers)
        chosen = [np.flatnonzero(self.layer == kind) for kind in kinds]
        atoms = np.concatenate(chosen)
        layer = np.repeat(np.arange(count), [len(part) for part in chosen])
        turn = turns[layer]
        return (
            self.sites[atoms] + turn[:, None] * self.shift,
            self.heights[atoms] + turn * self.repeat,
            self.numbers[atoms],
            layer,
        )


def crystal_face(crystal: Crystal, indices: Sequence[int]) -> CrystalFace:
    """A plane (hkl) of a crystal of any symmetry.

    Parameters
    ----------
    crystal : Crystal
        The crystal; centring of its cell is found, so that the lattice of the face is primitive.
    indices : sequence of int [3]
        Miller indices (hkl) in the cell of the crystal.

    Raises
    ------
    StructureError
        If the indices are all 0.
    """
    plane = np.asarray(indices, dtype=np.int64)
    if not plane.any():
        raise StructureError("substrate.surface is (0, 0, 0); allowed: three indices, not all 0")
    normal = np.linalg.inv(crystal.cell) @ plane
    normal /= np.linalg.norm(normal)
    first, second, third = _plane_basis(crystal, plane)
    first, second = _reduced(first, second)
    if np.cross(first, second) @ normal < 0:
        second = -second
    x = first / np.linalg.norm(first)
    rotation = np.array([x, np.cross(normal, x), normal])
    basis = np.array([first, second, third]) @ rotation.T
    places = crystal.fractional @ crystal.cell @ rotation.T
    inverse = np.linalg.inv(basis)

    own = _distinct(places @ inverse, crystal.numbers, basis)
    repeat = float(basis[2, 2])
    heights = (places[own, 2] + 1e-6) % repeat - 1e-6
    cuts = _easiest_cuts(crystal, normal, heights, repeat)
    # From the first cut upwards, so that no layer is split by the border of the repeat. A step of the lattice goes
    # with every repeat that an atom is moved by; the sites may all be shifted together.
    coordinates = places[own] @ inverse
    up = (coordinates[:, 2] - cuts[0] / repeat) % 1
    shift = basis[2, :2] @ np.linalg.inv(basis[:2, :2])
    layer = np.searchsorted(cuts - cuts[0], up * repeat, side="right") - 1
    order = np.lexsort((up, layer))
    return CrystalFace(
        rotation=rotation,
        vectors=basis[:2, :2],
        repeat=repeat,
        shift=shift,
        sites=(coordinates[:, :2] + up[:, None] * shift)[order],
        heights=up[order] * repeat,
        numbers=crystal.numbers[own][order],
        layer=layer[order],
    )


def bonds(
    positions: FloatArray, shortest: float, cell: FloatArray | None = None, periodic: Periodic = OPEN
) -> tuple[IntArray, IntArray, FloatArray]:
    """Bonds, each from both ends: pairs of atoms not much further apart than the nearest neighbour of either.

    Parameters
    ----------
    positions : ndarray [n, 3]
        Positions [Å].
    shortest : float
        A distance [Å] that is not above the longest bond: where the search begins.
    cell, periodic
        As of `neighbours`.

    Returns
    -------
    first, second : ndarray, int64 [m]
        Indices of the atoms.
    vectors : ndarray [m, 3]
        From the first atom to the second or its image [Å].
    """
    nearest = np.full(len(positions), np.inf)
    reach = _BOND * shortest
    # Further until the loneliest atom has its bonds.
    while True:
        first, second, vectors = neighbours(positions, reach, cell, periodic)
        distances = np.linalg.norm(vectors, axis=1)
        np.minimum.at(nearest, first, distances)
        if reach >= _BOND * nearest.max():
            break
        reach = min(2 * reach, _BOND * float(nearest.max()))
    bonded = distances <= _BOND * np.maximum(nearest[first], nearest[second])
    return first[bonded], second[bonded], vectors[bonded]


def echelon(matrix: IntArray) -> IntArray:
    """Rows that span the same integer lattice as those of a matrix [n, m], in echelon form without rows of zeros."""
    rows = np.array(matrix, dtype=np.int64)
    done = 0
    for column in range(rows.shape[1]):
        # Euclid's algorithm on the rows that are left.
        while np.count_nonzero(rows[done:, column]) > 1:
            entries = np.abs(rows[done:, column])
            pivot = done + int(np.where(entries == 0, np.iinfo(np.int64).max, entries).argmin())
            rows[[done, pivot]] = rows[[pivot, done]]
            rows[done + 1 :] -= (rows[done + 1 :, column] // rows[done, column])[:, None] * rows[done]
        left = done + np.flatnonzero(rows[done:, column])
        if len(left):
            rows[[done, left[0]]] = rows[[left[0], done]]
            rows[done] *= np.sign(rows[done, column])
            done += 1
    return rows[:done]


def _plane_basis(crystal: Crystal, plane: IntArray) -> FloatArray:
    """Primitive lattice vectors [3, 3] [Å]: two in the plane (hkl), the third up to the lattice plane above it."""
    centring = _centring(crystal)
    count = len(centring)
    primitive = echelon(np.concatenate([count * np.eye(3, dtype=np.int64), np.round(centring * count).astype(int)]))
    indices = primitive @ plane
    indices //= np.gcd.reduce(indices)
    # The row operations that leave one of the indices also give the vectors that it belongs to.
    up, first, second = echelon(np.column_stack([indices, np.eye(3, dtype=np.int64)]))[:, 1:]
    return np.asarray(np.array([first, second, up]) @ primitive / count @ crystal.cell)


def _centring(crystal: Crystal) -> FloatArray:
    """Translations [k, 3] within the cell, in units of its vectors, that bring the crystal onto itself."""
    kinds, counts = np.unique(crystal.numbers, return_counts=True)
    rare = np.flatnonzero(crystal.numbers == kinds[counts.argmin()])
    alike = crystal.numbers[:, None] == crystal.numbers
    between = crystal.fractional[:, None] - crystal.fractional
    found = []
    for translation in crystal.fractional[rare] - crystal.fractional[rare[0]]:
        offsets = between + translation
        distances = np.linalg.norm((offsets - np.round(offsets)) @ crystal.cell, axis=-1)
        if ((distances < _SAME_SITE) & alike).any(axis=1).all():
            found.append(translation)
    return np.array(found)


def _distinct(coordinates: FloatArray, numbers: NDArray[np.uint8], basis: FloatArray) -> IntArray:
    """Atoms [k], one of each set that the lattice of a basis brings onto each other."""
    offsets = coordinates[:, None] - coordinates
    distances = np.linalg.norm((offsets - np.round(offsets)) @ basis, axis=-1)
    same = (distances < 2 * _SAME_SITE) & (numbers[:, None] == numbers)
    return np.flatnonzero(same.argmax(axis=1) == np.arange(len(numbers)))


def _reduced(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The two shortest vectors of a plane lattice (Gauss's reduction)."""
    while True:
        # A hair towards zero, so that rounding does not decide at exactly half, as between 60 and 120°.
        second = second - np.round((1 - 1e-9) * (first @ second) / (first @ first)) * first
        if np.linalg.norm(second) >= (1 - 1e-9) * np.linalg.norm(first):
            return first, second
        first, second = second, first


def _easiest_cuts(crystal: Crystal, normal: FloatArray, heights: FloatArray, repeat: float) -> FloatArray:
    """Heights [k] [Å] between atomic planes at which a plane cuts the fewest bonds, ascending over one repeat."""
    planes = np.sort(heights)
    gaps = np.diff(planes, append=planes[0] + repeat)
    wide = gaps >= min(_SAME_PLANE, gaps.max() - 1e-6)
    cuts = (planes + gaps / 2)[wide]
    positions = crystal.fractional @ crystal.cell
    first, _, steps = bonds(positions, crystal.nearest_neighbour_distance(), crystal.cell, (True, True, True))
    rise = steps @ normal
    rising = rise > 1e-6
    foot = (positions @ normal)[first[rising], None]
    crossings = np.floor((foot + rise[rising, None] - cuts) / repeat) - np.floor((foot - cuts) / repeat)
    bonds_cut = crossings.sum(axis=0)
    return np.asarray(cuts[bonds_cut == bonds_cut.min()])
