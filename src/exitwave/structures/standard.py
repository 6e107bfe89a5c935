"""Crystals in their standardised primitive cells, whatever they come from: what diffraction is simulated from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal
from exitwave.structures.reading import SYMMETRY, crystal_system, formula_of

FloatArray = NDArray[np.float64]
_DECIMALS = 9
"""Of lattice vectors [Å] and coordinates; the same in every process, whether they are made or read."""


@dataclass(frozen=True, eq=False)
class StandardCrystal:
    """A crystal in the primitive cell that spglib has as standard, with symmetry made exact.

    Attributes
    ----------
    crystal : Crystal
        Its primitive cell.
    conventional : ndarray [3, 3]
        Rows: vectors of the conventional cell in the same frame [Å], which indices of directions are meant in.
    space_group : int
    prototype : str
        Label of the prototype; of crystals that are not of the library formula and space group.
    source : str
        Compound that the prototype is named for, the file, or the identifier in the database.
    """

    crystal: Crystal
    conventional: FloatArray
    space_group: int
    prototype: str
    source: str

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return formula_of(self.crystal.numbers)

    @property
    def system(self) -> str:
        """Crystal system."""
        return crystal_system(self.space_group)

    @property
    def elements(self) -> set[str]:
        """Chemical symbols."""
        return {chemical_symbols[number] for number in self.crystal.numbers}

    def plain(self) -> dict[str, Any]:
        """In plain values."""
        return {
            "name": self.crystal.name,
            "cell": self.crystal.cell.tolist(),
            "fractional": self.crystal.fractional.tolist(),
            "numbers": self.crystal.numbers.tolist(),
            "conventional": self.conventional.tolist(),
            "space_group": self.space_group,
            "prototype": self.prototype,
            "source": self.source,
        }


def from_plain(values: Mapping[str, Any]) -> StandardCrystal:
    """What :meth:`StandardCrystal.plain` has given."""
    return StandardCrystal(
        crystal=Crystal(
            values["name"],
            np.array(values["cell"]),
            np.array(values["fractional"]).reshape(-1, 3),
            np.array(values["numbers"], dtype=np.uint8),
        ),
        conventional=np.array(values["conventional"]),
        space_group=values["space_group"],
        prototype=values["prototype"],
        source=values["source"],
    )


def standardised(crystal: Crystal, source: str, prototype: str | None = None) -> StandardCrystal:
    """A crystal in its standardised primitive cell.

    Parameters
    ----------
    crystal : Crystal
        In a cell of any shape.
    source : str
        What it comes from.
    prototype : str, optional
        Label of the prototype; formula and space group if left out.

    Raises
    ------
    StructureError
        If spglib finds no symmetry, not even that of a lattice.
    """
    import spglib

    cell = (crystal.cell, crystal.fractional, crystal.numbers)
    found = spglib.get_symmetry_dataset(cell, symprec=SYMMETRY)
    primitive = spglib.standardize_cell(cell, to_primitive=True, symprec=SYMMETRY)
    if found is None or primitive is None:
        raise StructureError(f"the crystal '{crystal.name}' has no space group that can be told; allowed: a crystal")
    vectors, sites, numbers = primitive
    number = int(found.number)
    inside = _rounded(sites) % 1
    exact = Crystal(crystal.name, _rounded(vectors), inside, np.asarray(numbers, dtype=np.uint8))
    label = prototype or f"{formula_of(exact.numbers)}, space group {number}"
    return StandardCrystal(exact, _rounded(found.std_lattice), number, label, source)


def _rounded(values: Any) -> FloatArray:
    return np.asarray(np.round(values, _DECIMALS) + 0.0, dtype=np.float64)
