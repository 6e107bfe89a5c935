"""Measures of structures, for users and for tests: pair distances, coordination, density, stacking, orientations.

A cell is given by its rows [3, 3], or by the edges [3] of an orthogonal one; what is not periodic needs none.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exitwave.errors import StructureError
from exitwave.structures.neighbours import OPEN, Periodic, cell_rows, neighbours, with_images
from exitwave.structures.volumes import Volume

if TYPE_CHECKING:
    from exitwave.structures.structure import Structure

FloatArray = NDArray[np.float64]

_QUADRATURE = 30_000
"""Points strewn about a region to measure its volume: to better than 1 % unless it fills little of its sphere."""


def coordination_numbers(
    positions: FloatArray, cutoff: float, cell: ArrayLike | None = None, periodic: Periodic = OPEN
) -> NDArray[np.int64]:
    """Number [n] of neighbours of every atom within a cutoff [Å]; see `exitwave.structures.neighbours`."""
    first, _, _ = neighbours(positions, cutoff, cell, periodic)
    return np.bincount(first, minlength=len(positions))


def minimum_distances(
    positions: FloatArray, numbers: NDArray[np.uint8], cell: ArrayLike | None = None, periodic: Periodic = OPEN
) -> dict[str, float]:
    """Smallest distance [Å] of every pair of elements, as ``{"Au-Au": 2.88, "Au-C": 2.41}``, symbols in order.

    Parameters
    ----------
    positions, cell, periodic
        As of `exitwave.structures.neighbours.neighbours`.
    numbers : ndarray, uint8 [n]
        Atomic numbers.

    Returns
    -------
    dict
        Pairs of which there is none, such as those of a single atom with itself in no periodic cell, are left out.
    """
    from ase.data import chemical_symbols
    from scipy.spatial import cKDTree

    lengths = np.linalg.norm(cell_rows(cell), axis=1) if cell is not None else np.zeros(3)
    own_image = min(lengths[np.asarray(periodic, dtype=bool)], default=np.inf)
    smallest = {}
    for pair in combinations_with_replacement(sorted(chemical_symbols[n] for n in np.unique(numbers)), 2):
        one, other = (positions[numbers == chemical_symbols.index(symbol)] for symbol in pair)
        same = pair[0] == pair[1]

        def nearest(points: FloatArray, to: FloatArray, skip: bool = same) -> float:
            distances = cKDTree(to).query(points, k=[2] if skip else [1])[0]
            return float(distances.min(initial=np.inf))

        # The distance within the cell bounds how far away an image may be that matters.
        bound = min(nearest(one, other), own_image) if same else nearest(one, other)
        if np.isfinite(bound):
            joint, images, origin = with_images(np.concatenate([one, other]), bound * (1 + 1e-9), cell, periodic)
            smallest["-".join(pair)] = min(bound, nearest(joint[: len(one)], images[origin >= len(one)]))
    return smallest


def rdf(
    positions: FloatArray,
    r_max: float,
    bins: int = 200,
    cell: ArrayLike | None = None,
    periodic: Periodic = OPEN,
    numbers: NDArray[np.uint8] | None = None,
    pair: tuple[int, int] | None = None,
    region: Volume | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Radial distribution function, normalised so that an ideal gas in the same region has 1 at every distance.

    The number of pairs in a bin is divided by what atoms strewn at random over the region would have there,
    ``N_A N_B / V 4π r² dr f(r)``: V is the volume of the region, and f(r), 1 where the region is periodic in all
    directions, is the mean fraction of a sphere of radius r about a point of the region that is in the region
    too. So neither a slab nor a cluster decays to 0 for want of neighbours beyond its surface.

    Parameters
    ----------
    positions, cell, periodic
        As of `exitwave.structures.neighbours.neighbours`.
    r_max : float
        Largest distance [Å].
    bins : int
        Number of bins from 0 to ``r_max``.
    numbers : ndarray, uint8 [n], optional
        Atomic numbers, needed with ``pair``.
    pair : tuple of int, optional
        Atomic numbers of the atoms in the middle and of those around them; all atoms if left out.
    region : Volume, optional
        What the atoms fill, such as the ``solid`` of a body; not needed where all directions are periodic.

    Returns
    -------
    r : ndarray [bins]
        Middles of the bins [Å].
    g : ndarray [bins]
        Radial distribution function.

    Raises
    ------
    StructureError
        If ``pair`` is given without ``numbers``, one of its elements is absent, or the region is missing or encloses
        nothing.
    """
    if pair is not None and (numbers is None or not set(pair) <= set(numbers.tolist())):
        raise StructureError(f"pair is {pair}, but there are not both elements in numbers; allowed: two that are there")
    first, second, vectors = neighbours(positions, r_max, cell, periodic)
    distances = np.linalg.norm(vectors, axis=1)
    counts = (len(positions), len(positions))
    if pair is not None and numbers is not None:
        distances = distances[(numbers[first] == pair[0]) & (numbers[second] == pair[1])]
        counts = (int((numbers == pair[0]).sum()), int((numbers == pair[1]).sum()))
    found, edges = np.histogram(distances, bins=bins, range=(0, r_max))
    r = (edges[1:] + edges[:-1]) / 2
    volume, fraction = _reference(positions, r, cell, periodic, region)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    expected = counts[0] * counts[1] / volume * shells * fraction
    return r, np.divide(found, expected, out=np.zeros(bins), where=expected > 0)


def density_profile(structure: Structure, axis: int = 2, bins: int = 50) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Density along an axis of the cell.

    Parameters
    ----------
    structure : Structure
        Atoms in their cell.
    axis : int
        0, 1 or 2.
    bins : int
        Number of bins along the cell.

    Returns
    -------
    middles : ndarray [bins]
        Middles of the bins [Å].
    number_density : ndarray [bins]
        Atoms per Å³.
    mass_density : ndarray [bins]
        Mass density [g/cm³].
    """
    from ase.data import atomic_masses

    from exitwave.structures.packing import GRAMS_PER_CM3

    edges = np.linspace(0, structure.cell[axis], bins + 1)
    volume = structure.cell.prod() / bins
    along = structure.positions[:, axis]
    atoms = np.histogram(along, edges)[0] / volume
    mass = np.histogram(along, edges, weights=atomic_masses[structure.numbers])[0] / volume * GRAMS_PER_CM3
    return (edges[1:] + edges[:-1]) / 2, atoms, mass


def local_structure(
    positions: FloatArray, cutoff: float, cell: ArrayLike | None = None, periodic: Periodic = OPEN
) -> NDArray[np.str_]:
    """Tell the crystal around every atom by common neighbour analysis: twins and faults of fcc show as hcp layers.

    Every bond is described by the number of neighbours that its ends share, the bonds among those, and the longest
    chain of these (D. Faken and H. Jonsson, Comput. Mater. Sci. 2 (1994) 279): fcc has twelve bonds 421, hcp six
    421 and six 422, bcc eight 666 and six 444. Of a compound, give one sublattice: the cations of zinc blende are
    fcc, those of wurtzite hcp.

    Parameters
    ----------
    positions, cell, periodic
        As of `exitwave.structures.neighbours.neighbours`.
    cutoff : float
        Bonds are shorter [Å]: half-way between the first and second shell, 0.854 a, in fcc and between the second
        and third, 1.207 a, in bcc.

    Returns
    -------
    ndarray, str [n]
        ``fcc``, ``hcp``, ``bcc`` or ``other``: the surface, and what is less regular.
    """
    first, _, vectors = neighbours(positions, cutoff, cell, periodic)
    number = np.bincount(first, minlength=len(positions))
    start = np.concatenate([[0], np.cumsum(number)])
    kinds = np.full(len(positions), "other", dtype="<U5")
    for coordination in (12, 14):
        atoms = np.flatnonzero(number == coordination)
        around = vectors[start[atoms, None] + np.arange(coordination)]
        bonded = np.linalg.norm(around[:, :, None] - around[:, None], axis=-1) < cutoff
        bonded[:, np.arange(coordination), np.arange(coordination)] = False
        common = bonded.sum(axis=-1)
        # Bonds that a common neighbour (last axis) has to the other common neighbours of a bond (axis 1).
        degree = bonded * (bonded.astype(np.int8) @ bonded.astype(np.int8))
        bonds, most = degree.sum(axis=-1) // 2, degree.max(axis=-1)
        signatures = {"421": (4, 2, 1), "422": (4, 2, 2), "444": (4, 4, 2), "666": (6, 6, 2)}
        count = {
            name: ((common == c) & (bonds == b) & (most == m)).sum(axis=1) for name, (c, b, m) in signatures.items()
        }
        if coordination == 12:
            kinds[atoms[count["421"] == 12]] = "fcc"
            kinds[atoms[(count["421"] == 6) & (count["422"] == 6)]] = "hcp"
        else:
            kinds[atoms[(count["666"] == 8) & (count["444"] == 6)]] = "bcc"
    return kinds


def layer_sequence(positions: FloatArray, normal: ArrayLike, in_plane: FloatArray, gap: float = 0.5) -> str:
    """Sequence of layers along a normal, as "ABCACB"; equal letters mark layers that lie atop each other.

    Parameters
    ----------
    positions : ndarray [n, 3]
        Atoms [Å] of one sublattice of a crystal whose layers are equal nets.
    normal : array_like [3]
        Normal of the layers, of any length; the sequence is read along it.
    in_plane : ndarray [2, 3]
        Rows: primitive vectors of the net [Å].
    gap : float
        Atoms further apart than this along the normal are of different layers [Å].

    Raises
    ------
    StructureError
        If there are more than 26 different layers: the net is not that of the layers.
    """
    axis = np.asarray(normal, dtype=np.float64)
    heights = positions @ (axis / np.linalg.norm(axis))
    order = np.argsort(heights)
    layers = np.split(order, np.flatnonzero(np.diff(heights[order]) > gap) + 1)
    to_net = np.linalg.pinv(in_plane)
    # The mean of the phases is that of the offsets whatever cell of the net an atom is in.
    phases = np.array([np.exp(2j * np.pi * positions[layer] @ to_net).mean(axis=0) for layer in layers])
    offsets = np.angle(phases) / (2 * np.pi)
    tolerance = 0.1 * np.linalg.norm(in_plane, axis=1).min()
    known: list[FloatArray] = []
    letters = []
    for offset in offsets:
        apart = np.array([offset - other for other in known]).reshape(-1, 2)
        apart -= np.round(apart)
        matches = np.flatnonzero(np.linalg.norm(apart @ in_plane, axis=1) < tolerance)
        if len(matches) == 0:
            known.append(offset)
        letters.append(int(matches[0]) if len(matches) else len(known) - 1)
    if len(known) > 26:
        raise StructureError(f"in_plane gives {len(known)} different layers; allowed: a net that gives 26 or fewer")
    return "".join(chr(ord("A") + letter) for letter in letters)


def misorientation_angles(first: FloatArray, second: FloatArray) -> FloatArray:
    """Angle [...] [rad], 0 to π, of the rotation between two by quaternions (x, y, z, w) [..., 4]; no symmetry used."""
    along = np.abs(np.einsum("...i,...i->...", first, second))
    return np.asarray(2 * np.arccos(np.clip(along, 0, 1)))


def haar_angle_distribution(angle: ArrayLike) -> FloatArray:
    """Probability that a rotation uniform over SO(3) has at most that angle [rad], 0 to π: (ω - sin ω) / π.

    The Haar measure of SO(3) in axis and angle (R. E. Miles, Biometrika 52 (1965) 636).
    """
    return np.asarray((np.asarray(angle) - np.sin(angle)) / np.pi)


def _reference(
    positions: FloatArray, r: FloatArray, cell: ArrayLike | None, periodic: Periodic, region: Volume | None
) -> tuple[float, FloatArray]:
    """Volume of the region [Å³], and the mean fraction of spheres of radii ``r`` about its points that is inside."""
    from scipy.stats import qmc

    rows = cell_rows(cell) if cell is not None and any(periodic) else np.eye(3)
    inverse = np.linalg.inv(rows)
    fixed = ~np.asarray(periodic, dtype=bool)
    if region is None:
        if fixed.any():
            raise StructureError(
                f"periodic is {tuple(periodic)} and there is no region; allowed: the volume that the atoms fill"
            )
        return float(abs(np.linalg.det(rows))), np.ones(len(r))
    low, high = np.zeros(3), np.ones(3)
    centre, radius = region.bounding_sphere()
    if not np.isfinite(radius):
        # Endless along the periodic directions, and somewhere near the atoms along the others.
        centre, radius = (positions.max(axis=0) + positions.min(axis=0)) / 2, float(np.ptp(positions, axis=0).max())
    reach = radius * np.linalg.norm(inverse, axis=0)
    low[fixed], high[fixed] = (centre @ inverse - reach)[fixed], (centre @ inverse + reach)[fixed]
    draws = qmc.Halton(5, scramble=False).random(_QUADRATURE)
    points = (low + draws[:, :3] * (high - low)) @ rows
    inside = region.contains(points)
    if not inside.any():
        raise StructureError("the region of the radial distribution function encloses nothing; allowed: one that does")
    volume = abs(np.linalg.det(rows)) * (high - low).prod() * inside.mean()
    polar, azimuth = 2 * draws[inside, 3] - 1, 2 * np.pi * draws[inside, 4]
    across = np.sqrt(1 - polar**2)
    directions = np.stack([across * np.cos(azimuth), across * np.sin(azimuth), polar], axis=1)
    fraction = np.array([region.contains(points[inside] + radius * directions).mean() for radius in r])
    return float(volume), fraction
