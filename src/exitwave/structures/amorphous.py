"""Amorphous slabs by random sequential addition: atoms at random places, none closer than a minimum distance."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exitwave.errors import StructureError

CARBON_NUMBER = 6
CARBON_MASS = 12.011
"""Standard atomic weight of carbon [u] (IUPAC 2021)."""
_GRAMS_PER_CM3 = 1.66053906660
"""Density of one u/Å³ [g/cm³] (CODATA 2018)."""
_PROPOSALS_PER_ATOM = 1000
"""Proposals for each atom after which the slab counts as full; 2 g/cm³ at 1.4 Å takes about 2."""


def atoms_in_slab(edge: float, thickness: float, density: float) -> int:
    """Number of carbon atoms in a square slab of edge and thickness [Å] and a mass density [g/cm³]."""
    return round(density / (CARBON_MASS * _GRAMS_PER_CM3) * edge**2 * thickness)


def amorphous_carbon(
    edge: float, thickness: float, density: float, minimum_distance: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Random positions of carbon atoms in a square slab, laterally periodic.

    Random sequential addition of hard spheres (B. Widom, J. Chem. Phys. 44 (1966) 3888), which saturates at a volume
    fraction of about 0.38.

    Parameters
    ----------
    edge, thickness : float
        Lateral edge and thickness [Å]. Atom centres fill the slab up to its faces.
    density : float
        Mass density [g/cm³]; the number of atoms follows from it exactly.
    minimum_distance : float
        Smallest distance of two atoms [Å], held across the periodic boundary.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    ndarray [n, 3]
        Positions [Å], x and y in [0, edge), z in [0, thickness].

    Raises
    ------
    StructureError
        If the field is too small for the minimum distance, or the density cannot be reached by random packing.
    """
    if edge < 2 * minimum_distance:
        raise StructureError(
            f"field_of_view is {edge:g} Å, but a periodic slab with substrate.minimum_distance {minimum_distance:g} Å "
            f"needs {2 * minimum_distance:g} Å or more"
        )
    count = atoms_in_slab(edge, thickness, density)
    positions = np.empty((count, 3))
    # An edge of at most d/√3 leaves room for one atom in a grid cell, so that a cell is a single index.
    finest = minimum_distance / np.sqrt(3)
    shape = np.array([np.ceil(edge / finest), np.ceil(edge / finest), np.ceil(thickness / finest)], dtype=np.int64)
    occupant = np.full(tuple(shape), -1, dtype=np.int32)
    box = np.array([edge, edge, thickness])
    placed, proposed = 0, 0
    while placed < count:
        proposals = rng.random((max(4096, 2 * (count - placed)), 3))
        placed = _add_sequentially(positions, placed, proposals, occupant, box, minimum_distance)
        proposed += len(proposals)
        if placed < count and proposed >= _PROPOSALS_PER_ATOM * count:
            reached = density * placed / count
            raise StructureError(
                f"substrate.density is {density:g} g/cm³, but random packing with substrate.minimum_distance "
                f"{minimum_distance:g} Å stops at about {reached:.2f} g/cm³; allowed: a density clearly below that"
            )
    return positions


@njit(cache=True)  # type: ignore[untyped-decorator]
def _add_sequentially(
    positions: NDArray[np.float64],
    placed: int,
    proposals: NDArray[np.float64],
    occupant: NDArray[np.int32],
    box: NDArray[np.float64],
    minimum_distance: float,
) -> int:
    """Take over those proposals [m, 3] in [0, 1) that keep their distance; returns the number of atoms then placed."""
    nx, ny, nz = occupant.shape
    reach_x = int(np.ceil(minimum_distance * nx / box[0]))
    reach_y = int(np.ceil(minimum_distance * ny / box[1]))
    reach_z = int(np.ceil(minimum_distance * nz / box[2]))
    limit = minimum_distance**2
    for m in range(len(proposals)):
        if placed == len(positions):
            break
        # The product with a number just below 1 can round up to the edge itself.
        x = min(proposals[m, 0] * box[0], np.nextafter(box[0], 0.0))
        y = min(proposals[m, 1] * box[1], np.nextafter(box[1], 0.0))
        z = proposals[m, 2] * box[2]
        i = min(int(x / box[0] * nx), nx - 1)
        j = min(int(y / box[1] * ny), ny - 1)
        k = min(int(z / box[2] * nz), nz - 1)
        free = occupant[i, j, k] < 0
        for di in range(-reach_x, reach_x + 1):
            if not free:
                break
            for dj in range(-reach_y, reach_y + 1):
                if not free:
                    break
                for kk in range(max(0, k - reach_z), min(nz, k + reach_z + 1)):
                    other = occupant[(i + di) % nx, (j + dj) % ny, kk]
                    if other < 0:
                        continue
                    dx = x - positions[other, 0]
                    dy = y - positions[other, 1]
                    dz = z - positions[other, 2]
                    dx -= box[0] * np.round(dx / box[0])
                    dy -= box[1] * np.round(dy / box[1])
                    if dx * dx + dy * dy + dz * dz < limit:
                        free = False
                        break
        if free:
            positions[placed, 0] = x
            positions[placed, 1] = y
            positions[placed, 2] = z
            occupant[i, j, k] = placed
            placed += 1
    return placed
