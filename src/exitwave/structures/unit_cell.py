"""The unit cell of a crystal in an orientation: what a scattering matrix is made from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exitwave.items import Array, Axis

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]
_DIRECTION = Axis("direction", labels=("x", "y", "z"))
_VECTOR = Axis("vector", labels=("a", "b", "c"))
_DECIMALS = 8
"""Decimals of lattice vectors [Å] and coordinates that the content hash sees."""


@dataclass(frozen=True, eq=False)
class UnitCell:
    """A crystal without end, and how it is turned; the beam runs along +z.

    Attributes
    ----------
    cell : ndarray, float64 [3, 3]
        Rows: lattice vectors in the frame of the crystal [Å].
    fractional : ndarray, float64 [n, 3]
        Fractional coordinates of the atoms.
    numbers : ndarray, uint8 [n]
        Atomic numbers.
    orientation : ndarray, float64 [3, 3]
        Rotation from the frame of the crystal to that of the beam: an atom is at ``orientation @ (f @ cell)``.
    occupancy : ndarray, float64 [n], optional
        Share of the cells that have the atom; of an alloy, whose elements take one place. All cells if left out.
    """

    cell: FloatArray
    fractional: FloatArray
    numbers: NDArray[np.uint8]
    orientation: FloatArray
    occupancy: FloatArray | None = None

    @property
    def vectors(self) -> FloatArray:
        """Lattice vectors in the frame of the beam, in rows [3, 3] [Å]."""
        return self.cell @ self.orientation.T

    @property
    def reciprocal(self) -> FloatArray:
        """Reciprocal lattice vectors in the frame of the beam, in rows [3, 3] [1/Å]; no factor 2 π."""
        return np.asarray(np.linalg.inv(self.vectors).T)

    @property
    def volume(self) -> float:
        """Volume of the cell [Å³]."""
        return float(abs(np.linalg.det(self.cell)))

    def to_ase(self) -> Atoms:
        """As `ase.Atoms` in the frame of the beam, with the arrays ``occupancy`` of an alloy."""
        from ase import Atoms

        atoms = Atoms(self.numbers, scaled_positions=self.fractional, cell=self.vectors, pbc=True)
        if self.occupancy is not None:
            atoms.set_array("occupancy", self.occupancy)
        return atoms

    def content_hash(self) -> str:
        """Sixteen hexadecimal digits that change with any atom, lattice vector or angle."""
        digest = hashlib.sha256(self.numbers.tobytes())
        shared = () if self.occupancy is None else (self.occupancy,)
        for array in (self.cell, self.fractional, self.orientation, *shared):
            digest.update(np.ascontiguousarray(array.round(_DECIMALS) + 0.0).tobytes())
        return digest.hexdigest()[:16]

    def arrays(self) -> dict[str, Array]:
        """The arrays as they are stored, with their axes and units."""
        atom = Axis("atom")
        shared = {} if self.occupancy is None else {"occupancy": Array(self.occupancy, (atom,), ragged=True)}
        return {
            **shared,
            "unit_cell": Array(self.cell, (_VECTOR, _DIRECTION), "Å"),
            "fractional": Array(self.fractional, (atom, _VECTOR), ragged=True),
            "unit_cell_numbers": Array(self.numbers, (atom,), ragged=True),
            "orientation": Array(self.orientation, (_DIRECTION, Axis("direction in the crystal"))),
        }


def unit_cell_from(arrays: Mapping[str, Array]) -> UnitCell:
    """The unit cell that a shard holds, from :meth:`UnitCell.arrays`."""
    return UnitCell(
        cell=arrays["unit_cell"].values,
        fractional=arrays["fractional"].values,
        numbers=arrays["unit_cell_numbers"].values,
        orientation=arrays["orientation"].values,
        occupancy=arrays["occupancy"].values if "occupancy" in arrays else None,
    )
