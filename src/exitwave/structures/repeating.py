"""The cell in which a layer repeats, found from its atoms, and the layer over any square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from exitwave.errors import StructureError
from exitwave.structures.structure import Structure

FloatArray = NDArray[np.float64]

TOLERANCE = 5e-3
"""How far atoms may be off the places of a lattice [Å]: more than stored decimals, less than what bonds do."""
_CANDIDATES = 400
"""Offsets between atoms that are tried as vectors of the lattice, the shortest first."""
_EDGE = 1e-3
"""Of a cell, in units of its vectors: an atom on it belongs to one cell only, whatever its last decimals."""


@dataclass(frozen=True)
class RepeatingLayer:
    """A layer that repeats in two directions, as it lies in a structure.

    Attributes
    ----------
    vectors : float64 [2, 2]
        Rows: the two shortest vectors in which it repeats, x and y [Å].
    corner : float64 [2]
        Corner of a cell in the middle of the structure [Å].
    positions : float64 [n, 3]
        Atoms of this cell, in the coordinates of the structure [Å].
    numbers : uint8 [n]
        Their atomic numbers.
    height : float
        Of the structure along the beam [Å].
    """

    vectors: FloatArray
    corner: FloatArray
    positions: FloatArray
    numbers: NDArray[np.uint8]
    height: float

    @property
    def middle(self) -> FloatArray:
        """Middle of the cell [Å]."""
        return np.asarray(self.corner + self.vectors.sum(axis=0) / 2)

    @property
    def extent(self) -> float:
        """Edge of the smallest square along x and y that holds the cell [Å]."""
        return extent_of(self.vectors)

    def over(self, edge: float) -> Structure:
        """The layer over a square whose middle is that of the cell: the atoms of what goes on beyond it are not there.

        Parameters
        ----------
        edge : float
            Of the square [Å].
        """
        positions, numbers = self.around(self.middle - edge / 2, self.middle + edge / 2)
        return Structure(
            positions - np.append(self.middle - edge / 2, 0.0),
            numbers,
            np.ones(len(numbers), np.uint8),
            np.array([edge, edge, self.height]),
            periodic=False,
        )

    def around(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, NDArray[np.uint8]]:
        """Positions and numbers of the atoms between two corners x, y [Å]."""
        corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])])
        reach = (corners - self.corner) @ np.linalg.inv(self.vectors)
        first, last = np.floor(reach.min(axis=0)).astype(int) - 1, np.ceil(reach.max(axis=0)).astype(int) + 1
        ranges = [np.arange(start, stop + 1) for start, stop in zip(first, last, strict=True)]
        cells = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 2)
        shifts = np.column_stack([cells @ self.vectors, np.zeros(len(cells))])
        positions = (shifts[:, None] + self.positions).reshape(-1, 3)
        inside = ((positions[:, :2] >= low) & (positions[:, :2] < high)).all(axis=1)
        return positions[inside], np.tile(self.numbers, len(cells))[inside]


def extent_of(vectors: FloatArray) -> float:
    """Edge of the smallest square along x and y that holds the cell of two vectors, rows [2, 2] [Å]."""
    return float(np.abs(vectors).sum(axis=0).max())


def repeating_layer(structure: Structure) -> RepeatingLayer:
    """Find how a layer repeats.

    Parameters
    ----------
    structure : Structure
        A layer that fills the cell from edge to edge and is the same in every cell of its lattice, however that lies.

    Returns
    -------
    RepeatingLayer
        Its vectors are means over the whole structure: they are known to a small part of what positions are.

    Raises
    ------
    StructureError
        If the layer does not repeat within 0.005 Å, or the field is too small to see it.
    """
    atoms = _Atoms(structure)
    kind = atoms.rarest()
    places = structure.positions[kind]
    start = places[np.linalg.norm(places[:, :2] - structure.cell[:2] / 2, axis=1).argmin()]
    offsets = places - start
    offsets = offsets[np.argsort((offsets**2).sum(axis=1), kind="stable")][1 : _CANDIDATES + 1, :2]
    found: list[FloatArray] = []
    for offset in offsets:
        # Vectors of a lattice that are not parallel and as short as can be are 60 to 120° apart.
        if found and abs(np.linalg.det([found[0], offset])) < 0.5 * np.linalg.norm(found[0]) * np.linalg.norm(offset):
            continue
        if atoms.repeat_by(offset):
            found.append(offset)
        if len(found) == 2:
            break
    else:
        raise StructureError(
            f"the layer of {len(structure.numbers)} atoms does not repeat within its field of "
            f"{structure.cell[0]:g} Å; allowed: a perfect layer, with a field of view of two of its cells or more"
        )
    vectors, origin = _fitted(np.stack(found), start[:2], places[:, :2])
    layer = _cell(structure, vectors, origin)
    _check(structure, layer)
    return layer


class _Atoms:
    """The atoms of a structure, to be looked for."""

    def __init__(self, structure: Structure) -> None:
        self._positions, self._numbers, self._edges = structure.positions, structure.numbers, structure.cell[:2]
        self._tree = cKDTree(structure.positions)

    def rarest(self) -> NDArray[np.bool_]:
        """The atoms of the element and height of which there are fewest."""
        order = np.argsort(self._positions[:, 2], kind="stable")
        steps = np.concatenate([[0], np.cumsum(np.diff(self._positions[order, 2]) > TOLERANCE)])
        level = np.empty(len(order), np.int64)
        level[order] = steps
        _, of_atom, counts = np.unique(
            np.column_stack([self._numbers, level]), axis=0, return_inverse=True, return_counts=True
        )
        return np.asarray(of_atom.ravel() == counts.argmin())

    def repeat_by(self, offset: FloatArray) -> bool:
        """Whether every atom that an offset x, y [Å] leaves within the field comes to lie on one of its element.

        An offset of more than half of the field leaves too few to tell.
        """
        if (np.abs(offset) > self._edges / 2).any():
            return False
        moved = self._positions + np.append(offset, 0.0)
        inside = ((moved[:, :2] > TOLERANCE) & (moved[:, :2] < self._edges - TOLERANCE)).all(axis=1)
        distances, others = self._tree.query(moved[inside], distance_upper_bound=TOLERANCE)
        if not np.isfinite(distances).all():
            return False
        return bool((self._numbers[others] == self._numbers[inside]).all())


def _fitted(vectors: FloatArray, origin: FloatArray, places: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Vectors and a point of the lattice as the atoms of all cells have them on average."""
    for _ in range(2):  # far from the middle the first guess may be off by more than half of what is allowed
        indices = (places - origin) @ np.linalg.inv(vectors)
        whole = np.rint(indices)
        on = np.linalg.norm((indices - whole) @ vectors, axis=1) < 0.1
        solution, *_ = np.linalg.lstsq(np.column_stack([whole[on], np.ones(on.sum())]), places[on], rcond=None)
        vectors, origin = solution[:2], solution[2]
    return np.asarray(vectors), np.asarray(origin)


def _cell(structure: Structure, vectors: FloatArray, origin: FloatArray) -> RepeatingLayer:
    """The cell about a point of the lattice."""
    corner = origin - vectors.sum(axis=0) / 2
    indices = (structure.positions[:, :2] - corner) @ np.linalg.inv(vectors)
    inside = ((indices >= -_EDGE) & (indices < 1 - _EDGE)).all(axis=1)
    return RepeatingLayer(
        vectors, corner, structure.positions[inside], structure.numbers[inside], float(structure.cell[2])
    )


def _check(structure: Structure, layer: RepeatingLayer) -> None:
    """Hold the layer against all atoms of the structure."""
    low, high = np.full(2, TOLERANCE), structure.cell[:2] - TOLERANCE
    made, numbers = layer.around(low, high)
    own = ((structure.positions[:, :2] >= low) & (structure.positions[:, :2] < high)).all(axis=1)
    for positions, kinds, others, their in (
        (made, numbers, structure.positions, structure.numbers),
        (structure.positions[own], structure.numbers[own], *layer.around(low - 1, high + 1)),
    ):
        distances, nearest = cKDTree(others).query(positions)
        wrong = (distances > TOLERANCE) | (their[nearest] != kinds)
        if wrong.any():
            x, y = positions[wrong.argmax(), :2]
            raise StructureError(
                f"the layer does not repeat: {wrong.sum()} of {len(positions)} atoms are not where its cell of "
                f"{np.linalg.norm(layer.vectors[0]):.2f} x {np.linalg.norm(layer.vectors[1]):.2f} Å has them, such as "
                f"one at x = {x:.2f}, y = {y:.2f} Å; allowed: a perfect layer"
            )
