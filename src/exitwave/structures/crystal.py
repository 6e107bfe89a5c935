"""Crystals from objects of other packages, symmetry or plain cells, and what a solid holds of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import ArrayLike, NDArray

from exitwave.errors import StructureError
from exitwave.structures.body import Body, make_body
from exitwave.structures.close_packed import ClosePackedStacking
from exitwave.structures.volumes import Volume

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

FloatArray = NDArray[np.float64]

_CLOSEST_ATOMS = 0.6
"""Atoms closer than this [Å] are an error of the file: the shortest bond, that of H2, has 0.74 Å."""
_MOST_TOGETHER = 32
"""Of atoms in one place: elements that share a site, and parts of it in disorder."""
LEAST_SPACING = 0.3
"""Opposite faces of a cell closer than this [Å] leave no room for an atom, and one atom thousands of neighbours."""
_SHORTEST_BOND = 0.65
"""The same as a part of the sum of two covalent radii; the shortest, those of uranyl, have 0.67."""
_DALTON = 1.66053906660
"""Atomic mass unit [g/cm³ Å³]."""
_CHUNK = 2**18
"""Most atoms looked at in one go, which bounds memory: 6 MiB of positions."""
_MARGIN = 1e-4
"""How much further than its bounding sphere a solid is looked into [Å], so that rounding loses no atom."""


@dataclass(frozen=True, eq=False)
class Crystal:
    """A perfect crystal.

    Attributes
    ----------
    name : str
        Name in the library, that of its CIF file, or what the caller calls it.
    cell : ndarray [3, 3]
        Rows: lattice vectors [Å].
    fractional : ndarray [m, 3]
        Fractional coordinates; Cartesian ones are ``fractional @ cell``.
    numbers : ndarray, uint8 [m]
        Atomic numbers.
    stacking : ClosePackedStacking or None
        The planes that planar defects lie on, where they are known.
    layers : int
        Weakly bonded layers, stacked along the third lattice vector, in one cell; 0 if the crystal is not layered.
    """

    name: str
    cell: FloatArray
    fractional: FloatArray
    numbers: NDArray[np.uint8]
    stacking: ClosePackedStacking | None = None
    layers: int = 0

    @property
    def volume(self) -> float:
        """Volume of the cell [Å³]."""
        return float(abs(np.linalg.det(self.cell)))

    def density(self) -> float:
        """Mass density [g/cm³]."""
        return float(atomic_masses[self.numbers].sum()) * _DALTON / self.volume

    def nearest_neighbour_distance(self) -> float:
        """Smallest distance of two atoms [Å]."""
        return self.nearest_neighbours()[0]

    def nearest_neighbours(self) -> tuple[float, int, int]:
        """Smallest distance of two atoms [Å], and which atoms of the cell they are."""
        from scipy.spatial import cKDTree

        # No packing is denser than the face-centred cubic one, which bounds the distance from above; an atom and its
        # own image bound it too.
        furthest = min(
            np.cbrt(np.sqrt(2) * self.volume / len(self.numbers)), np.linalg.norm(self.cell, axis=1).min()
        ) * (1 + 1e-9)
        inverse = np.linalg.inv(self.cell)
        margin = furthest * np.linalg.norm(inverse, axis=0)
        images = _grid(-np.ceil(margin), np.ceil(margin))
        inner = self.fractional - np.floor(self.fractional)
        around = (inner + images[:, None]).reshape(-1, 3)
        near = np.flatnonzero(np.all((around >= -margin - 1e-9) & (around <= 1 + margin + 1e-9), axis=1))
        distances, others = cKDTree(around[near] @ self.cell).query(inner @ self.cell, k=2)
        # The first of the two is the atom itself.
        atom = int(distances[:, 1].argmin())
        return float(distances[atom, 1]), atom, int(near[others[atom, 1]]) % len(self.numbers)


def describe_crystal(crystal: Crystal) -> str:
    """One line by which a reader knows a right crystal from a wrong one.

    Such as ``Bi6Te7, 39 atoms in 1,234 Å³, 7.9 g/cm³, nearest neighbours 2.95 Å (Bi-Te)``.
    """
    numbers, first, counts = np.unique(crystal.numbers, return_index=True, return_counts=True)
    shares = counts // np.gcd.reduce(counts)
    formula = "".join(
        chemical_symbols[numbers[i]] + (str(shares[i]) if shares[i] > 1 else "") for i in np.argsort(first)
    )
    distance, *pair = crystal.nearest_neighbours()
    bond = "-".join(chemical_symbols[crystal.numbers[atom]] for atom in pair)
    count = len(crystal.numbers)
    return (
        f"{formula}, {count:,} {'atom' if count == 1 else 'atoms'} in {crystal.volume:,.0f} Å³, "
        f"{crystal.density():.3g} g/cm³, nearest neighbours {distance:.2f} Å ({bond})"
    )


def fill(crystal: Crystal, solid: Volume, origin: ArrayLike | None = None) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Atoms of a perfect crystal inside a solid.

    Parameters
    ----------
    crystal : Crystal
        A crystal with a cell of any shape.
    solid : Volume
        A bounded volume in the Cartesian frame of the crystal.
    origin : array_like [3], optional
        Where the origin of the cell is put [Å]; (0, 0, 0) if left out.

    Returns
    -------
    positions : ndarray [n, 3]
        Positions in the frame of the solid [Å], in the order of the cells.
    numbers : ndarray, uint8 [n]
        Atomic numbers.

    Raises
    ------
    StructureError
        If the solid is unbounded.
    """
    centre, radius = bounded_sphere(solid)
    shift = np.zeros(3) if origin is None else np.asarray(origin, dtype=np.float64)
    basis = crystal.fractional @ crystal.cell
    middle = (basis.min(axis=0) + basis.max(axis=0)) / 2
    # Cells whose atoms all lie further out than the sphere are told by the middle of their atoms alone.
    reach = radius + float(np.linalg.norm(basis - middle, axis=1).max()) + _MARGIN
    positions, numbers = [np.empty((0, 3))], [np.empty(0, dtype=np.uint8)]
    for corners in _lattice_points(crystal.cell, centre - shift - middle, reach, _CHUNK // len(basis)):
        atoms = ((corners + shift)[:, None] + basis).reshape(-1, 3)
        inside = solid.contains(atoms)
        positions.append(atoms[inside])
        numbers.append(np.tile(crystal.numbers, len(corners))[inside])
    return np.concatenate(positions), np.concatenate(numbers)


def cut(crystal: Crystal, solid: Volume, rng: np.random.Generator | None = None) -> Body:
    """A body cut from a perfect crystal, in the frame of the crystal.

    Parameters
    ----------
    crystal : Crystal
        What it is cut from.
    solid : Volume
        A bounded volume.
    rng : Generator, optional
        Puts the origin of the lattice at a random place within a cell; left out, it is at (0, 0, 0).

    Raises
    ------
    StructureError
        If the solid is unbounded or holds no atom.
    """
    origin = None if rng is None else rng.random(3) @ crystal.cell
    positions, numbers = fill(crystal, solid, origin)
    require_atoms(len(positions), crystal, solid)
    return make_body(positions, numbers, solid, crystal.name)


def require_atoms(count: int, crystal: Crystal, solid: Volume) -> None:
    """Raise a StructureError if a solid cut from a crystal holds no atom."""
    if count == 0:
        raise StructureError(
            f"a solid within a sphere of radius {solid.bounding_sphere()[1]:.3g} Å, cut from '{crystal.name}', holds "
            "no atom; allowed: particles.radius of at least the distance of nearest neighbours, "
            f"{crystal.nearest_neighbour_distance():.3g} Å"
        )


def bounded_sphere(solid: Volume) -> tuple[FloatArray, float]:
    """Centre [3] and radius [Å] of a sphere around a solid; a StructureError if it is unbounded."""
    centre, radius = solid.bounding_sphere()
    if not np.isfinite(radius):
        raise StructureError(
            f"a {type(solid).__name__.lower()} without bounds cannot be filled with atoms; allowed: a volume that a "
            "sphere encloses, such as its intersection with a box"
        )
    return centre, radius


def crystal_from_ase(atoms: Atoms, name: str) -> Crystal:
    """Crystal of `ase.Atoms`.

    Raises
    ------
    StructureError
        If the cell has no volume, sites are partially occupied or unknown, or atoms coincide.
    """
    sites = list(atoms.info.get("occupancy", {}).values())
    require_full_sites(name, [sum(site.values()) for site in sites], [len(site) for site in sites])
    return checked(
        name, atoms.cell.array, atoms.get_scaled_positions(wrap=False) if atoms.cell.volume > 0 else [], atoms.numbers
    )


def crystal_from_pymatgen(structure: Structure, name: str) -> Crystal:
    """Crystal of a `pymatgen.core.Structure`; raises as `crystal_from_ase` does."""
    sites = [site.species for site in structure]
    require_full_sites(name, [species.num_atoms for species in sites], [len(species) for species in sites])
    numbers = [getattr(site.specie, "Z", 0) for site in structure]
    return checked(name, structure.lattice.matrix, structure.frac_coords, numbers)


def crystal_from_cell(name: str, cell: ArrayLike, fractional: ArrayLike, elements: Sequence[str]) -> Crystal:
    """Crystal of a plain unit cell.

    Parameters
    ----------
    name : str
        What it is called.
    cell : array_like [3, 3]
        Rows: lattice vectors [Å].
    fractional : array_like [m, 3]
        Fractional coordinates.
    elements : sequence of str [m]
        Chemical symbols.

    Raises
    ------
    StructureError
        If the cell has no volume, an element is unknown, or atoms coincide.
    """
    return checked(name, cell, fractional, [_atomic_number(name, element) for element in elements])


def crystal_from_space_group(
    name: str,
    space_group: int | str,
    cell_parameters: Sequence[float],
    sites: Mapping[str, Sequence[Sequence[float]]],
    setting: int = 1,
) -> Crystal:
    """Crystal of a space group and one representative of each occupied Wyckoff position.

    Parameters
    ----------
    name : str
        What it is called.
    space_group : int or str
        Number or Hermann-Mauguin symbol, such as 225 or "F m -3 m", of the conventional cell.
    cell_parameters : sequence of float [6]
        Lengths a, b, c [Å] and angles alpha, beta, gamma [°].
    sites : mapping
        Fractional coordinates [3] of the representatives by chemical symbol.
    setting : {1, 2}
        Choice of origin, or of axes, where International Tables list two; 2 has the origin at the inversion centre.

    Raises
    ------
    StructureError
        If the space group is unknown, two representatives share sites, or as for `crystal_from_cell`.
    """
    from ase.geometry import cellpar_to_cell
    from ase.spacegroup import Spacegroup
    from ase.spacegroup.spacegroup import SpacegroupError

    try:
        group = Spacegroup(space_group, setting)
    except SpacegroupError as error:
        raise StructureError(
            f"the crystal '{name}' has space group {space_group!r} in setting {setting}, which is not known "
            f"({error}); allowed: a number from 1 to 230 or a symbol such as 'F m -3 m'"
        ) from error
    fractional, elements = [], []
    for element, representatives in sites.items():
        for representative in representatives:
            equivalent, _ = group.equivalent_sites([representative], onduplicates="keep")
            fractional.extend(equivalent)
            elements.extend([element] * len(equivalent))
    return crystal_from_cell(name, cellpar_to_cell(cell_parameters), fractional, elements)


def checked(name: str, cell: ArrayLike, fractional: ArrayLike, numbers: Any) -> Crystal:
    """The crystal, once it is one."""
    vectors = np.asarray(cell, dtype=np.float64)
    sites = np.asarray(fractional, dtype=np.float64).reshape(-1, 3)
    if len(sites) == 0 or not abs(np.linalg.det(vectors)) >= 1e-3:
        raise StructureError(f"the crystal '{name}' has no atoms or no three-dimensional cell; both are needed")
    if not face_spacing(vectors) >= LEAST_SPACING:
        raise StructureError(
            f"the crystal '{name}' has a cell whose faces are {face_spacing(vectors):.3g} Å apart; allowed: "
            f"{LEAST_SPACING:g} Å or more"
        )
    if not np.isfinite(sites).all():
        raise StructureError(f"the crystal '{name}' has coordinates that are no numbers; allowed: finite ones")
    kinds = np.asarray(numbers)
    if ((kinds < 1) | (kinds > 118)).any():
        raise StructureError(f"the crystal '{name}' has sites of no known element; allowed: chemical elements")
    sites = sites - np.floor(sites)
    sites[sites >= 1] = 0.0  # a tiny negative number less its floor rounds to 1
    crystal = Crystal(name, vectors, sites, kinds.astype(np.uint8))
    first, second, offsets = close_pairs(name, vectors, sites, crystal.numbers)
    if len(first):
        distances = np.linalg.norm(offsets @ vectors, axis=1)
        pair = int(distances.argmin())
        one, other = (int(crystal.numbers[atoms[pair]]) for atoms in (first, second))
        raise StructureError(
            f"the crystal '{name}' has {chemical_symbols[one]} and {chemical_symbols[other]} {distances[pair]:.3g} Å "
            f"apart; allowed: {closest(one, other):.3g} Å or more, by their covalent radii"
        )
    return crystal


def face_spacing(cell: FloatArray) -> float:
    """Smallest distance [Å] between opposite faces of a cell, rows [3, 3] [Å]."""
    areas = np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    return float(abs(np.linalg.det(cell)) / areas.max())


def closest(one: int, other: int) -> float:
    """Distance [Å] below which atoms of two atomic numbers are an error of their file."""
    return max(_CLOSEST_ATOMS, _SHORTEST_BOND * float(covalent_radii[one] + covalent_radii[other]))


def close_pairs(
    name: str, cell: FloatArray, fractional: FloatArray, numbers: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Pairs of atoms that are closer than ``closest`` allows.

    Returns
    -------
    first, second : ndarray, int [n]
        The atoms; every pair is there both ways.
    offsets : ndarray [n, 3]
        From the first to the second, in fractions of the lattice vectors.

    Raises
    ------
    StructureError
        If so many are in one place that their pairs are too many to be listed.
    """
    # By cubes of 1 Å.
    _, counts = np.unique(np.floor((fractional % 1) @ cell), axis=0, return_counts=True)
    if (most := int(counts.max(initial=0))) > _MOST_TOGETHER:
        raise StructureError(f"the crystal '{name}' has {most} atoms within 1 Å; allowed: up to {_MOST_TOGETHER}")
    from scipy.spatial import cKDTree

    # No pair is further apart than twice the farthest reach.
    reach = np.maximum(_SHORTEST_BOND * covalent_radii[numbers], _CLOSEST_ATOMS / 2)
    furthest = 2.0 * float(reach.max(initial=0))
    margin = furthest * np.linalg.norm(np.linalg.inv(cell), axis=0)
    inner = fractional - np.floor(fractional)
    images = _grid(-np.ceil(margin), np.ceil(margin))
    around = inner + images[:, None]
    image, atom = np.nonzero(((around >= -margin) & (around <= 1 + margin)).all(axis=2))
    others = around[image, atom]
    pairs = cKDTree(inner @ cell).sparse_distance_matrix(cKDTree(others @ cell), furthest, output_type="ndarray")
    first, second = pairs["i"], atom[pairs["j"]]
    offsets = others[pairs["j"]] - inner[first]
    least = np.maximum(
        _CLOSEST_ATOMS, _SHORTEST_BOND * (covalent_radii[numbers[first]] + covalent_radii[numbers[second]])
    )
    itself = (first == second) & (images[image[pairs["j"]]] == 0).all(axis=1)
    kept = np.flatnonzero((pairs["v"] < least) & ~itself)
    kept = kept[np.lexsort((pairs["j"][kept], second[kept], first[kept]))]
    return first[kept], second[kept], offsets[kept]


def require_full_sites(name: str, occupancies: Sequence[float], elements: Sequence[int]) -> None:
    """Raise a StructureError unless every site holds one element, of an occupancy of 1."""
    if any(count > 1 for count in elements) or any(abs(total - 1) > 1e-3 for total in occupancies):
        raise StructureError(
            f"the crystal '{name}' has partially occupied sites (lowest occupancy {min(occupancies):g}, up to "
            f"{max(elements)} elements on a site); allowed: fully occupied sites, one element each"
        )


def _atomic_number(name: str, element: str) -> int:
    if element == "X" or element not in atomic_numbers:
        raise StructureError(
            f"the crystal '{name}' has the element '{element}'; allowed: chemical symbols such as 'Au'"
        )
    return int(atomic_numbers[element])


def _grid(low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.int64]:
    """Integer points [n, 3] from low to high, both [3] and included."""
    axes = [np.arange(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def _lattice_points(cell: FloatArray, centre: FloatArray, radius: float, chunk: int) -> Iterator[FloatArray]:
    """Lattice points [n, 3] of a cell within a sphere [Å], at least one plane and otherwise about ``chunk`` a time."""
    inverse = np.linalg.inv(cell)
    # Column i of the inverse is the reciprocal vector whose length is one over the spacing of the planes of cells.
    reach = radius * np.linalg.norm(inverse, axis=0)
    low, high = np.ceil(centre @ inverse - reach), np.floor(centre @ inverse + reach)
    step = max(1, chunk // int(max(1, np.prod(np.maximum(high - low + 1, 0)[1:]))))
    for first in range(int(low[0]), int(high[0]) + 1, step):
        last = min(first + step - 1, int(high[0]))
        points = _grid(np.array([first, low[1], low[2]]), np.array([last, high[1], high[2]])) @ cell
        offsets = points - centre
        yield points[np.einsum("ij,ij->i", offsets, offsets) <= radius**2]
