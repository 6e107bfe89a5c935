"""Random packing: atoms at random places in a slab, none closer than a minimum distance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numba import njit
from numpy.typing import NDArray

from exitwave.errors import StructureError

FloatArray = NDArray[np.float64]

GRAMS_PER_CM3 = 1.66053906660
"""Density of one u/Å³ [g/cm³] (CODATA 2018)."""
_PROPOSALS_PER_ATOM = 1000
"""Proposals for each atom after which the slab counts as full; carbon of 2 g/cm³ at 1.4 Å takes about 2."""
_BATCH = 8192
"""Proposals drawn at once."""


def random_packing(
    elements: Mapping[str, float],
    density: float,
    minimum_distances: Mapping[str, float],
    edge: float,
    thickness: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Atoms at random places in a square slab, laterally periodic.

    Random sequential addition of hard spheres (B. Widom, J. Chem. Phys. 44 (1966) 3888): places are proposed one after
    another and taken if no atom is too close; the elements come in random order. For one element it saturates at a
    volume fraction of about 0.38.

    Parameters
    ----------
    elements : mapping of str to float
        Share of each element, by number of atoms; any positive numbers, such as those of a chemical formula.
    density : float
        Mass density [g/cm³]; the number of atoms of each element follows from it exactly.
    minimum_distances : mapping of str to float
        Smallest distance [Å] of every pair of elements, such as ``{"Si-Si": 2.6, "Si-O": 1.5, "O-O": 2.2}``, held
        across the periodic boundary.
    edge, thickness : float
        Lateral edge and thickness [Å]. Atom centres fill the slab up to its faces.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    positions : ndarray, float64 [n, 3]
        Positions [Å], x and y in [0, edge), z in [0, thickness], in the order in which they were taken.
    numbers : ndarray, uint8 [n]
        Atomic numbers.

    Raises
    ------
    StructureError
        If an element is unknown, a distance is missing, the cell is too small, or the density cannot be reached by
        random packing.
    """
    symbols = list(elements)
    for symbol, share in elements.items():
        if symbol not in atomic_numbers or not share > 0:
            raise StructureError(f"elements has {symbol}: {share:g}; allowed: symbols of elements, shares above 0")
    limits = _pair_limits(symbols, minimum_distances)
    widest = float(limits.max())
    if edge < 2 * widest:
        raise StructureError(
            f"field_of_view is {edge:g} Å, but a periodic slab with substrate.minimum_distances up to {widest:g} Å "
            f"needs {2 * widest:g} Å or more"
        )
    counts = atoms_in_slab(elements, density, edge, thickness)
    species = np.repeat(np.arange(len(symbols), dtype=np.uint8), counts)
    if len(symbols) > 1:
        rng.shuffle(species)
    count = len(species)
    box = np.array([edge, edge, thickness])
    shape = np.maximum(np.floor(box / widest), 1).astype(np.int64)
    # A rim of cells all around: that of the sides holds the images of atoms near the seam, below and above is nothing.
    newest = np.full(tuple(shape + 2), -1, dtype=np.int32)
    # The atoms first, then their images: three at most of each, as at least two cells lie across.
    positions = np.empty((4 * count, 3))
    kinds = np.empty(4 * count, dtype=np.uint8)
    older = np.empty(4 * count, dtype=np.int32)
    held = np.array([0, count], dtype=np.int64)
    proposed = 0
    while held[0] < count:
        proposals = rng.random((_BATCH, 3))
        _add_sequentially(positions, kinds, older, newest, held, species, proposals, box, limits**2)
        proposed += _BATCH
        if held[0] < count and proposed >= max(_PROPOSALS_PER_ATOM * count, 16 * _BATCH):
            distances = ", ".join(f"{pair} {distance:g} Å" for pair, distance in minimum_distances.items())
            raise StructureError(
                f"substrate.density is {density:g} g/cm³, but random packing with substrate.minimum_distances "
                f"{distances} stops at about {density * held[0] / count:.2f} g/cm³; allowed: a density clearly below"
            )
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.uint8)
    return positions[:count].copy(), numbers[species]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _add_sequentially(
    positions: FloatArray,
    kinds: NDArray[np.uint8],
    older: NDArray[np.int32],
    newest: NDArray[np.int32],
    held: NDArray[np.int64],
    species: NDArray[np.uint8],
    proposals: FloatArray,
    box: FloatArray,
    limits: FloatArray,
) -> None:
    """Take over those proposals [m, 3] in [0, 1) that keep their distance.

    Cells are at least as wide as the largest of the distances, whose squares are ``limits``. ``newest`` has the last
    atom of each cell, ``older`` the one before it in the same cell, -1 after the first. ``held`` counts the atoms, and
    the entries in use with the images.
    """
    nx, ny, nz = newest.shape[0] - 2, newest.shape[1] - 2, newest.shape[2] - 2
    row, plane = nz + 2, (ny + 2) * (nz + 2)
    # The cell itself, then neighbours across faces, edges and corners: the likeliest obstacles first.
    steps = np.empty(27, dtype=np.int64)
    filled = 0
    for rank in range(4):
        for neighbour in range(27):
            di, dj, dk = neighbour // 9 - 1, neighbour // 3 % 3 - 1, neighbour % 3 - 1
            if abs(di) + abs(dj) + abs(dk) == rank:
                steps[filled] = di * plane + dj * row + dk
                filled += 1
    flat = newest.reshape(-1)
    placed, images = held[0], held[1]
    for m in range(len(proposals)):
        if placed == len(species):
            break
        # The product with a number just below 1 can round up to the edge itself.
        x = min(proposals[m, 0] * box[0], np.nextafter(box[0], 0.0))
        y = min(proposals[m, 1] * box[1], np.nextafter(box[1], 0.0))
        z = proposals[m, 2] * box[2]
        i = min(int(proposals[m, 0] * nx), nx - 1)
        j = min(int(proposals[m, 1] * ny), ny - 1)
        k = min(int(proposals[m, 2] * nz), nz - 1)
        cell = (i + 1) * plane + (j + 1) * row + k + 1
        kind = species[placed]
        free = True
        for step in steps:
            other = flat[cell + step]
            while other >= 0:
                dx = x - positions[other, 0]
                dy = y - positions[other, 1]
                dz = z - positions[other, 2]
                if dx * dx + dy * dy + dz * dz < limits[kind, kinds[other]]:
                    free = False
                    break
                other = older[other]
            if not free:
                break
        if not free:
            continue
        for wrap_x in range(-1, 2):
            if (wrap_x == 1 and i > 0) or (wrap_x == -1 and i < nx - 1):
                continue
            for wrap_y in range(-1, 2):
                if (wrap_y == 1 and j > 0) or (wrap_y == -1 and j < ny - 1):
                    continue
                if wrap_x == 0 and wrap_y == 0:
                    entry = placed
                else:
                    entry = images
                    images += 1
                positions[entry, 0] = x + wrap_x * box[0]
                positions[entry, 1] = y + wrap_y * box[1]
                positions[entry, 2] = z
                kinds[entry] = kind
                place = cell + wrap_x * nx * plane + wrap_y * ny * row
                older[entry] = flat[place]
                flat[place] = entry
        placed += 1
    held[0], held[1] = placed, images


def _pair_limits(symbols: list[str], minimum_distances: Mapping[str, float]) -> FloatArray:
    """Matrix of minimum distances [s, s] [Å]."""
    limits = np.empty((len(symbols), len(symbols)))
    for i, first in enumerate(symbols):
        for j, second in enumerate(symbols):
            found = minimum_distances.get(f"{first}-{second}", minimum_distances.get(f"{second}-{first}"))
            if found is None:
                raise StructureError(
                    f"minimum_distances has {', '.join(minimum_distances) or 'nothing'}; "
                    f"allowed: a distance of every pair, also of {first}-{second}"
                )
            limits[i, j] = found
    return limits


def atoms_in_slab(elements: Mapping[str, float], density: float, edge: float, thickness: float) -> NDArray[np.int64]:
    """Numbers of atoms of each element in a square slab of edge and thickness [Å] and a mass density [g/cm³].

    Their sum is rounded first and then shared out, the last atoms to the elements that fall short most.
    """
    shares = np.array(list(elements.values()), dtype=np.float64) / sum(elements.values())
    mass = shares @ np.array([atomic_masses[atomic_numbers[symbol]] for symbol in elements])
    exact = shares * round(density / (mass * GRAMS_PER_CM3) * edge**2 * thickness)
    counts: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: round(exact.sum()) - counts.sum()]] += 1
    return counts
