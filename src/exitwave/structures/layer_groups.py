"""Layer groups, as spglib tells them, and the Bravais class that each demands of a lattice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exitwave.structures.lattice2d import SAME_PLACE, SAME_WEIGHT, Bravais, Columns

FloatArray = NDArray[np.float64]

_RECTANGULAR, _SQUARE, _HEXAGONAL = 8, 49, 65
"""First layer group of each crystal system."""
_EMPTY = 20.0
"""Above and below a layer [Å]."""


@dataclass(frozen=True)
class LayerGroup:
    """A layer group: its number in International Tables, volume E, and its symbol."""

    number: int
    symbol: str

    @property
    def bravais(self) -> Bravais:
        """Class that it demands of the lattice, whatever the metric."""
        if self.number >= _HEXAGONAL:
            return "hexagonal"
        if self.number >= _SQUARE:
            return "square"
        if self.number >= _RECTANGULAR:
            return "rhombus" if self.symbol.startswith("c") else "rectangular"
        return "oblique"


def layer_group(
    cell: FloatArray, places: FloatArray, heights: FloatArray, kinds: NDArray[np.integer], tolerance: float
) -> LayerGroup | None:
    """Layer group of atoms or columns; none where spglib finds none.

    Parameters
    ----------
    cell : float64 [2, 2]
        Rows: vectors of the cell in the plane [Å].
    places : float64 [n, 2]
        In the plane [Å].
    heights : float64 [n]
        Along the normal [Å].
    kinds : int [n]
        Of those that are alike the same.
    tolerance : float
        How far [Å] one may be from its symmetric place.
    """
    import spglib

    lattice = np.zeros((3, 3))
    lattice[:2, :2], lattice[2, 2] = cell, np.ptp(heights) + _EMPTY
    fractional = np.linalg.solve(lattice.T, np.column_stack([places, heights]).T).T
    found = spglib.get_layergroup((lattice, fractional, kinds), aperiodic_dir=2, symprec=tolerance)
    return None if found is None else LayerGroup(int(found.number), str(found.international))


def class_of_motif(columns: Columns) -> Bravais:
    """Class that the plane group of the columns demands of the lattice, whatever its metric.

    A motif may have less symmetry than its lattice: then the image does not show the class of the lattice.
    """
    # Weights that differ by less than the tolerance are one kind.
    order = np.argsort(columns.weights)
    steps = np.diff(columns.weights[order]) > SAME_WEIGHT * columns.weights.mean()
    kinds = np.empty(len(order), dtype=int)
    kinds[order] = np.concatenate([[0], np.cumsum(steps)]) + 1
    found = layer_group(columns.cell, columns.places, np.zeros(len(order)), kinds, SAME_PLACE)
    return "oblique" if found is None else found.bravais
