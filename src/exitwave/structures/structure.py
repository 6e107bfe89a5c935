"""The atoms of one field of view: what the structures stage makes and the waves stage takes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.items import Array, Axis
from exitwave.structures.body import SiteRole

if TYPE_CHECKING:
    from ase import Atoms

STORED_DECIMALS = 4
"""Decimals of positions [Å] that are stored, and that the content hash sees."""


@dataclass(frozen=True)
class Structure:
    """Atoms in an orthogonal cell; the beam runs along +z.

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
    role : ndarray, uint8 [n]
        Sum of `exitwave.structures.body.SiteRole`: surface, dopant, adsorbate ...; 0 for all if left out.
    grain : ndarray, uint8 [n]
        Domain within the object: core and shell, grains, twins, layers; 0 for all if left out.
    periodic : bool
        Whether x and y are periodic; z never is.
    metadata : dict
        What was drawn and made, as flat scalars and strings (see `exitwave.structures.recipes.build_structure`).
    """

    positions: NDArray[np.float64]
    numbers: NDArray[np.uint8]
    object_id: NDArray[np.uint8]
    cell: NDArray[np.float64]
    role: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    grain: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    periodic: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("role", "grain"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.zeros(len(self.positions), dtype=np.uint8))

    def only_particles(self) -> Structure:
        """The particles in the same cell, without their substrate and without molecules on them."""
        keep = (self.object_id > 0) & (self.role & SiteRole.ADSORBATE == 0)
        return replace(
            self,
            positions=self.positions[keep],
            numbers=self.numbers[keep],
            object_id=self.object_id[keep],
            role=self.role[keep],
            grain=self.grain[keep],
        )

    def stored_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays as they are stored, by name."""
        return {
            "positions": self.positions.round(STORED_DECIMALS).astype(np.float32),
            "numbers": self.numbers,
            "object_id": self.object_id,
            "role": self.role,
            "grain": self.grain,
            "cell": self.cell,
        }

    def content_hash(self) -> str:
        """Sixteen hexadecimal digits that change with any atom, role or edge, as stored."""
        digest = hashlib.sha256()
        for name, array in self.stored_arrays().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def padded(self, margin: float) -> Structure:
        """The structure in the middle of a cell that is wider by ``margin`` [Å] of vacuum on all four sides.

        For structures of one's own that end within their cell, so that they are farther from their periodic images.
        What the recipes make is periodic itself, and would be cut at the edges.
        """
        return replace(
            self,
            positions=self.positions + np.array([margin, margin, 0.0]),
            cell=self.cell + np.array([2 * margin, 2 * margin, 0.0]),
        )

    def to_ase(self) -> Atoms:
        """As `ase.Atoms`, with the arrays ``object_id``, ``role`` and ``grain``."""
        from ase import Atoms

        atoms = Atoms(
            numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=(self.periodic, self.periodic, False)
        )
        for name in ("object_id", "role", "grain"):
            atoms.set_array(name, getattr(self, name).astype(int))  # ASE writes no unsigned integers
        return atoms


def item_arrays(structure: Structure) -> dict[str, Array]:
    """The arrays of a structure as they are stored, with their axes and units."""
    atom = Axis("atom")
    direction = Axis("direction", labels=("x", "y", "z"))
    axes = {"positions": (atom, direction), "cell": (direction,)}
    return {
        name: Array(values, axes.get(name, (atom,)), "Å" if name in axes else "", ragged=name != "cell")
        for name, values in structure.stored_arrays().items()
    }


def structure_from(arrays: Mapping[str, Array], row: Mapping[str, Any]) -> Structure:
    """The structure that a shard holds.

    Parameters
    ----------
    arrays : mapping of Array
        As from :func:`item_arrays`.
    row : mapping
        Its row of the table; ``periodic`` says whether it is, and it is where the column is missing.
    """
    return Structure(
        positions=arrays["positions"].values.astype(np.float64),
        numbers=arrays["numbers"].values,
        object_id=arrays["object_id"].values,
        cell=arrays["cell"].values,
        role=arrays["role"].values,
        grain=arrays["grain"].values,
        periodic=bool(row.get("periodic", True)),
        metadata=dict(row),
    )
