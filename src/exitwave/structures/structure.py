"""The atoms of one field of view: what the structures stage makes and the waves stage takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Structure:
    """Atoms in an orthogonal cell, periodic in x and y; the beam runs along +z.

    Attributes
    ----------
    positions : ndarray, float64 [n, 3]
        Cartesian positions [Å]; x and y lie in [0, cell edge).
    numbers : ndarray, uint8 [n]
        Atomic numbers.
    object_id : ndarray, uint8 [n]
        0: substrate; 1, 2, ...: particles.
    cell : ndarray, float64 [3]
        Edges of the cell [Å].
    metadata : dict
        What was drawn and made, as flat scalars and strings (see `exitwave.structures.recipes.build_structure`).
    """

    positions: NDArray[np.float64]
    numbers: NDArray[np.uint8]
    object_id: NDArray[np.uint8]
    cell: NDArray[np.float64]
    metadata: dict[str, Any] = field(default_factory=dict)

    def only_particles(self) -> Structure:
        """The particles in the same cell, without their substrate."""
        keep = self.object_id > 0
        return replace(self, positions=self.positions[keep], numbers=self.numbers[keep], object_id=self.object_id[keep])

    def to_ase(self) -> Atoms:
        """As `ase.Atoms`, periodic in x and y, with the array ``object_id``."""
        from ase import Atoms

        atoms = Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=(True, True, False))
        atoms.set_array("object_id", self.object_id)
        return atoms
