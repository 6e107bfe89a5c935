"""Surfaces: which atoms they hold, their area, and molecules bound to them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from exitwave.errors import StructureError
from exitwave.structures.body import Body, SiteRole
from exitwave.structures.transforms import axis_rotation

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]

CLOSEST_TO_LIGAND = 2.0
"""Smallest distance [Å] of atoms of a molecule to other molecules and, but for the one that binds, to the particle."""
_SHELL = 1.25
"""Neighbours are within this many distances to the nearest atom; second ones are at 1.41 in fcc, 1.63 in wurtzite."""
_UNDERCOORDINATED = 0.87
"""An atom with fewer than this share of the neighbours in the bulk is on the surface: 10 of 12, 3 of 4, but not the 11
of 12 beside a vacancy."""
_COMMON = 0.05
"""A coordination that fewer atoms than this share have is not that of the bulk."""
_ALPHA = 1.6
"""Radius of the probe of the alpha shape in nearest-neighbour distances.

It is larger than the holes of crystals, of up to 1.2 (wurtzite), and than 1.5, at which it reaches the lower, saturated
atoms of a {111} double layer of zinc blende.
"""
_BOND_TOLERANCE = 0.2
"""By how much [Å] another surface atom may be closer to the binding atom than the one it stands on."""
_TRIES = 6
"""Angles about the surface normal at which a molecule is tried."""


def surface_atoms(
    positions: FloatArray,
    numbers: NDArray[np.uint8] | None = None,
    method: Literal["coordination", "alpha_shape"] = "coordination",
) -> NDArray[np.bool_]:
    """Tell which atoms of a particle are on its surface.

    Parameters
    ----------
    positions : ndarray [n, 3]
        Positions [Å].
    numbers : ndarray, uint8 [n], optional
        Atomic numbers: the coordination in the bulk is found for each element on its own.
    method : {'coordination', 'alpha_shape'}
        Fewer neighbours than in the bulk, which the atoms beside inner defects have too and those of a single layer
        that covers another element have not; or on the alpha shape, which a ball of 1.6 neighbour distances touches
        (H. Edelsbrunner and E. P. Mücke, ACM Trans. Graph. 13 (1994) 43), at 20 times the cost.

    Returns
    -------
    ndarray, bool [n]

    Raises
    ------
    StructureError
        If the method is another one.
    """
    if method not in ("coordination", "alpha_shape"):
        raise StructureError(f"method is '{method}'; allowed: coordination, alpha_shape")
    if len(positions) < 5:
        return np.ones(len(positions), dtype=bool)
    if method == "alpha_shape":
        on_surface = np.ones(len(positions), dtype=bool)
        kept, faces = _alpha_shape(positions)
        on_surface[kept] = False
        on_surface[faces] = True
        return on_surface
    coordination = _coordination(positions, np.zeros(len(positions), np.uint8) if numbers is None else numbers)
    on_surface = np.zeros(len(positions), dtype=bool)
    for element in np.unique(numbers) if numbers is not None else [None]:
        chosen = np.ones(len(positions), dtype=bool) if element is None else numbers == element
        counts = np.bincount(coordination[chosen])
        bulk = np.flatnonzero(counts >= _COMMON * chosen.sum()).max()
        on_surface[chosen] = coordination[chosen] < _UNDERCOORDINATED * bulk
    return on_surface


def surface_area(positions: FloatArray) -> float:
    """Area of the alpha shape of a particle [Å²], through the centres of its outermost atoms; 0 of a flat sheet."""
    _, faces = _alpha_shape(positions)
    first, second, third = positions[faces[:, 0]], positions[faces[:, 1]], positions[faces[:, 2]]
    return float(np.linalg.norm(np.cross(second - first, third - first), axis=1).sum() / 2)


def surface_normals(positions: FloatArray, atoms: NDArray[np.int64]) -> FloatArray:
    """Outward unit normals [m, 3] at some atoms: away from the mean of what is within about two neighbour distances."""
    tree = cKDTree(positions)
    # Not 2, the distance of atoms in many crystals, of which rounding would pick some.
    reach = 2.1 * _nearest_distance(positions)
    away = np.array(
        [positions[atom] - positions[tree.query_ball_point(positions[atom], reach)].mean(0) for atom in atoms]
    )
    lengths = np.linalg.norm(away, axis=1, keepdims=True)
    return np.asarray(away / np.where(lengths > 0, lengths, 1.0))


def marked_surface(body: Body) -> Body:
    """The body with the role SURFACE on those of its own atoms that are on its surface.

    By coordination, so that faces of a layered crystal, whose atoms have all their bonds, do not count; and of a body
    with grain boundaries, which coordination does not tell from a surface, by the alpha shape. Vacancies and dopants
    are best made after it.
    """
    own = np.flatnonzero((body.role & SiteRole.ADSORBATE.value) == 0)
    with_boundaries = bool((body.role[own] & SiteRole.GRAIN_BOUNDARY.value).any())
    found = surface_atoms(body.positions[own], body.numbers[own], "alpha_shape" if with_boundaries else "coordination")
    role = body.role & ~np.uint8(SiteRole.SURFACE.value)
    role[own[found]] |= SiteRole.SURFACE.value
    return replace(body, role=role)


def with_ligands(body: Body, molecule: str, anchor: str, density: float, rng: np.random.Generator) -> Body:
    """The body with molecules bound atop of random surface atoms.

    Each stands upright on the surface: the binding atom at the sum of the covalent radii from the surface atom, along
    the outward normal, the rest of the molecule further out, at a random angle about the normal. A place where the
    molecule would come closer than `CLOSEST_TO_LIGAND` to anything is skipped, so that fewer than wanted may fit.

    Parameters
    ----------
    body : Body
        The particle; its surface is marked (`marked_surface`) if it is not yet.
    molecule : str
        Name in ASE's g2 set, or path of an .xyz file.
    anchor : str
        Element of the molecule that binds; the first atom of that element does.
    density : float
        Molecules wanted for each nm² of the surface (`surface_area`).
    rng : Generator
        Source of all randomness.

    Returns
    -------
    Body
        Atoms of the molecules come last and have the role ADSORBATE. Details hold ``ligand`` and ``ligands``, the
        number of molecules.

    Raises
    ------
    StructureError
        If the molecule cannot be read or has no such element.
    """
    atoms = read_molecule(molecule)
    upright, first = _upright(atoms, anchor, molecule)
    if not (body.role & SiteRole.SURFACE.value).any():
        body = marked_surface(body)
    own = (body.role & SiteRole.ADSORBATE.value) == 0
    wanted = round(density * surface_area(body.positions[own]) / 100)
    places = rng.permutation(np.flatnonzero(own & (body.role & SiteRole.SURFACE.value > 0)))
    normals = surface_normals(body.positions, places)
    bonds = _covalent_radii()[body.numbers[places]] + _covalent_radii()[atoms.numbers[first]]
    tree = cKDTree(body.positions)
    others = np.arange(len(atoms)) != first
    reach = 2 * np.linalg.norm(upright, axis=1).max() + CLOSEST_TO_LIGAND
    bound = np.empty((0, len(atoms), 3))
    for place, normal, bond in zip(places, normals, bonds, strict=True):
        if len(bound) == wanted:
            break
        turns = np.stack([axis_rotation([0, 0, 1], angle) for angle in rng.uniform(0, 360, _TRIES)])
        tried = upright @ (_onto(normal) @ turns).transpose(0, 2, 1) + body.positions[place] + bond * normal
        to_body = tree.query(tried)[0]
        # The binding atom may be near other atoms of the surface, but not nearer than to the one it is bound to.
        fits = (to_body[:, first] > bond - _BOND_TOLERANCE) & (to_body[:, others] >= CLOSEST_TO_LIGAND).all(axis=1)
        near = bound[np.linalg.norm(bound[:, first] - tried[0, first], axis=1) <= reach].reshape(-1, 3)
        apart = np.linalg.norm(tried[:, :, None] - near, axis=-1).min(axis=(1, 2), initial=np.inf)
        chosen = np.flatnonzero(fits & (apart >= CLOSEST_TO_LIGAND))
        if len(chosen):
            bound = np.concatenate([bound, tried[chosen[:1]]])
    count = len(bound) * len(atoms)
    return replace(
        body,
        positions=np.concatenate([body.positions, bound.reshape(-1, 3)]),
        numbers=np.concatenate([body.numbers, np.tile(atoms.numbers, len(bound)).astype(np.uint8)]),
        role=np.concatenate([body.role, np.full(count, SiteRole.ADSORBATE, dtype=np.uint8)]),
        grain=np.concatenate([body.grain, np.zeros(count, dtype=np.uint8)]),
        details={**body.details, "ligand": molecule, "ligands": len(bound)},
    )


@cache
def read_molecule(molecule: str) -> Atoms:
    """A molecule by its name in ASE's g2 set, or from an .xyz file.

    Raises
    ------
    StructureError
        If there is no such name or file, or the file cannot be read.
    """
    from ase.build import molecule as build
    from ase.collections import g2
    from ase.io import read

    if molecule in g2.names:
        return build(molecule)
    if not molecule.lower().endswith(".xyz") or not Path(molecule).is_file():
        raise StructureError(
            f"molecule is '{molecule}', which is neither a molecule of ASE's g2 set, such as CH3S, H3CNH2 or "
            "CH3COOH, nor an .xyz file that there is"
        )
    try:
        return read(molecule)
    except Exception as error:  # ASE's readers raise whatever the parsing runs into
        raise StructureError(
            f"molecule is '{molecule}', which cannot be read ({type(error).__name__}: {error}); allowed: an .xyz file"
        ) from error


def _upright(atoms: Atoms, anchor: str, molecule: str) -> tuple[FloatArray, int]:
    """Positions with the binding atom at the origin and the rest along +z; and the index of that atom."""
    symbols = atoms.get_chemical_symbols()
    if anchor not in symbols:
        raise StructureError(
            f"anchor is '{anchor}', which '{molecule}' does not hold; allowed: {', '.join(sorted(set(symbols)))}"
        )
    first = symbols.index(anchor)
    relative = atoms.positions - atoms.positions[first]
    rest = relative.mean(axis=0)
    length = np.linalg.norm(rest)
    return relative @ (_onto(rest / length) if length > 1e-6 else np.eye(3)), first


def _onto(direction: FloatArray) -> FloatArray:
    """A rotation [3, 3] that brings z onto a unit vector."""
    axis = np.cross([0.0, 0.0, 1.0], direction)
    length = np.linalg.norm(axis)
    if length < 1e-9:
        return np.eye(3) if direction[2] > 0 else np.diag([1.0, -1.0, -1.0])
    return axis_rotation(axis, np.degrees(np.arctan2(length, direction[2])))


def _nearest_distance(positions: FloatArray) -> float:
    """Median distance [Å] to the nearest atom."""
    return float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))


def _coordination(positions: FloatArray, numbers: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Neighbours of every atom, within a reach that goes with the nearest ones of its element."""
    tree = cKDTree(positions)
    nearest = tree.query(positions, k=2)[0][:, 1]
    reach = np.empty(len(positions))
    for element in np.unique(numbers):
        reach[numbers == element] = _SHELL * np.median(nearest[numbers == element])
    return np.asarray(tree.query_ball_point(positions, reach, return_length=True) - 1, dtype=np.int64)


def _alpha_shape(positions: FloatArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """Atoms of all tetrahedra that the probe does not fit into [k], and the triangles around them [m, 3]."""
    from scipy.spatial import Delaunay, QhullError

    nothing = np.empty(0, dtype=int), np.empty((0, 3), dtype=int)
    if len(positions) < 4:
        return nothing
    try:
        found = Delaunay(positions)
    except QhullError:  # all in one plane: every atom is on the surface
        return nothing
    # The circumsphere of a tetrahedron is where the hyperplane of its corners cuts the paraboloid that they are lifted
    # to, whose facets the hull merges: so the flat tetrahedra among the many cospherical atoms of a crystal have the
    # sphere of the hole that they are part of, and those that lie in a facet of the particle an infinite one.
    normal, height, offset = found.equations[:, :3], found.equations[:, 3], found.equations[:, 4]
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = -normal / (2 * height * found.paraboloid_scale)[:, None]
        squared = (centre**2).sum(axis=1) - (height * found.paraboloid_shift + offset) / (
            height * found.paraboloid_scale
        )
    kept = squared < (_ALPHA * _nearest_distance(positions)) ** 2
    # A neighbour of -1 is none.
    outside = np.append(~kept, True)[found.neighbors] & kept[:, None]
    corners = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])  # of the face that is opposite to each
    tetrahedron, opposite = np.nonzero(outside)
    faces = found.simplices[tetrahedron[:, None], corners[opposite]]
    return np.unique(found.simplices[kept]), faces


@cache
def _covalent_radii() -> FloatArray:
    """Covalent radii by atomic number [Å] (B. Cordero et al., Dalton Trans. (2008) 2832), as ASE has them."""
    from ase.data import covalent_radii

    return np.asarray(covalent_radii)
