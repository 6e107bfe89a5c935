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
"""Smallest distance [Å] of the atoms of a molecule, but the one that binds, to the particle and to other molecules."""
_SHELL = 1.25
"""Neighbours are within this many distances to the nearest atom; second ones are at 1.41 in fcc, 1.63 in wurtzite."""
_UNDERCOORDINATED = 0.87
"""An atom with fewer than this share of the neighbours in the bulk is on the surface: 10 of 12, 3 of 4, but not the 11
of 12 beside a vacancy."""
_COMMON = 0.05
"""A coordination that fewer atoms than this share have is not that of the bulk."""
_ALPHA = 1.5
"""Radius of the probe of the alpha shape in nearest-neighbour distances: larger than any hole of a crystal."""
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
        Fewer neighbours than in the bulk; or on the alpha shape, what a ball of 1.5 neighbour distances can touch
        (H. Edelsbrunner and E. P. Mücke, ACM Trans. Graph. 13 (1994) 43), which sees no inner defects.

    Returns
    -------
    ndarray, bool [n]
    """
    if len(positions) < 5:
        return np.ones(len(positions), dtype=bool)
    if method == "alpha_shape":
        on_surface = np.ones(len(positions), dtype=bool)
        kept, faces = _alpha_shape(positions)
        on_surface[kept] = False
        on_surface[faces] = True
        return on_surface
    coordination = _coordination(positions)
    on_surface = np.zeros(len(positions), dtype=bool)
    for element in np.unique(numbers) if numbers is not None else [None]:
        chosen = np.ones(len(positions), dtype=bool) if element is None else numbers == element
        counts = np.bincount(coordination[chosen])
        bulk = np.flatnonzero(counts >= _COMMON * chosen.sum()).max()
        on_surface[chosen] = coordination[chosen] < _UNDERCOORDINATED * bulk
    return on_surface


def surface_area(positions: FloatArray) -> float:
    """Area of the alpha shape of a particle [Å²], through the centres of its outermost atoms."""
    _, faces = _alpha_shape(positions)
    first, second, third = positions[faces[:, 0]], positions[faces[:, 1]], positions[faces[:, 2]]
    return float(np.linalg.norm(np.cross(second - first, third - first), axis=1).sum() / 2)


def surface_normals(positions: FloatArray, atoms: NDArray[np.int64]) -> FloatArray:
    """Outward unit normals [m, 3] at some atoms: away from the mean of what is within two neighbour distances."""
    tree = cKDTree(positions)
    reach = 2 * _nearest_distance(positions)
    away = np.array(
        [positions[atom] - positions[tree.query_ball_point(positions[atom], reach)].mean(0) for atom in atoms]
    )
    lengths = np.linalg.norm(away, axis=1, keepdims=True)
    return np.asarray(away / np.where(lengths > 0, lengths, 1.0))


def marked_surface(body: Body) -> Body:
    """The body with the role SURFACE on those of its own atoms that are on its surface, by coordination."""
    own = np.flatnonzero((body.role & SiteRole.ADSORBATE.value) == 0)
    role = body.role & ~np.uint8(SiteRole.SURFACE.value)
    role[own[surface_atoms(body.positions[own], body.numbers[own])]] |= SiteRole.SURFACE.value
    return replace(body, role=role)


def with_ligands(body: Body, molecule: str, anchor: str, density: float, rng: np.random.Generator) -> Body:
    """The body with molecules bound atop of random surface atoms.

    Each stands upright on the surface: the binding atom at the sum of the covalent radii from the surface atom, along
    the outward normal, the rest of the molecule further out, at a random angle about the normal. A place where the
    molecule would come closer than `CLOSEST_TO_LIGAND` to anything is skipped, so that fewer than wanted may fit.

    Parameters
    ----------
    body : Body
        The bare particle.
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
        Its details hold ``ligand`` and ``ligands``, the number of molecules.

    Raises
    ------
    StructureError
        If the molecule cannot be read or has no such element.
    """
    atoms = read_molecule(molecule)
    upright, first = _upright(atoms, anchor, molecule)
    surface = np.flatnonzero(surface_atoms(body.positions, body.numbers))
    wanted = round(density * surface_area(body.positions) / 100) if len(body) > 4 else 0
    places = rng.permutation(surface)
    normals = surface_normals(body.positions, places)
    bonds = _covalent_radii()[body.numbers[places]] + _covalent_radii()[atoms.numbers[first]]
    tree = cKDTree(body.positions)
    others = np.arange(len(atoms)) != first
    bound = np.empty((0, len(atoms), 3))
    for place, normal, bond in zip(places, normals, bonds, strict=True):
        if len(bound) == wanted:
            break
        turns = np.stack([axis_rotation([0, 0, 1], angle) for angle in rng.uniform(0, 360, _TRIES)])
        tried = upright @ (_onto(normal) @ turns).transpose(0, 2, 1) + body.positions[place] + bond * normal
        to_body = tree.query(tried)[0]
        # The binding atom may be near other atoms of the surface, but not nearer than to the one it is bound to.
        fits = (to_body[:, first] > bond - _BOND_TOLERANCE) & (to_body[:, others] >= CLOSEST_TO_LIGAND).all(axis=1)
        apart = np.linalg.norm(tried[:, :, None] - bound.reshape(-1, 3), axis=-1).min(axis=(1, 2), initial=np.inf)
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
            f"ligands.molecule is '{molecule}', which is neither a molecule of ASE's g2 set, such as CH3S, CH3NH2 or "
            "CH3COOH, nor an .xyz file that there is"
        )
    try:
        return read(molecule)
    except Exception as error:  # ASE's readers raise whatever the parsing runs into
        raise StructureError(
            f"ligands.molecule is '{molecule}', which cannot be read ({type(error).__name__}: {error}); allowed: an "
            ".xyz file"
        ) from error


def _upright(atoms: Atoms, anchor: str, molecule: str) -> tuple[FloatArray, int]:
    """Positions with the binding atom at the origin and the rest along +z; and the index of that atom."""
    symbols = atoms.get_chemical_symbols()
    if anchor not in symbols:
        raise StructureError(
            f"ligands.anchor is '{anchor}', which '{molecule}' does not hold; allowed: "
            f"{', '.join(sorted(set(symbols)))}"
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


def _coordination(positions: FloatArray) -> NDArray[np.int64]:
    """Neighbours of every atom, within a reach that goes with its own nearest one."""
    tree = cKDTree(positions)
    reach = _SHELL * np.median(tree.query(positions, k=2)[0][:, 1])
    pairs = tree.query_pairs(reach, output_type="ndarray")
    return np.bincount(pairs.ravel(), minlength=len(positions))


def _alpha_shape(positions: FloatArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """Atoms of all tetrahedra that the probe does not fit into [k], and the triangles around them [m, 3]."""
    from scipy.spatial import Delaunay, QhullError

    try:
        simplices = Delaunay(positions).simplices
    except QhullError:  # all in one plane: every atom is on the surface
        return np.empty(0, dtype=int), np.empty((0, 3), dtype=int)
    corner = positions[simplices[:, 0]]
    edges = positions[simplices[:, 1:]] - corner[:, None]
    volume = np.linalg.det(edges)
    flat = np.abs(volume) < 1e-9
    squares = np.einsum("ijk,ijk->ij", edges, edges)
    crosses = np.stack([np.cross(edges[:, (i + 1) % 3], edges[:, (i + 2) % 3]) for i in range(3)], axis=1)
    centre = np.einsum("ij,ijk->ik", squares, crosses)
    radius = np.linalg.norm(centre, axis=1) / np.where(flat, 1.0, np.abs(2 * volume))
    kept = simplices[~flat & (radius < _ALPHA * _nearest_distance(positions))]
    faces = np.sort(np.concatenate([kept[:, [1, 2, 3]], kept[:, [0, 2, 3]], kept[:, [0, 1, 3]], kept[:, [0, 1, 2]]]))
    unique, counts = np.unique(faces, axis=0, return_counts=True)
    return np.unique(kept), unique[counts == 1]


@cache
def _covalent_radii() -> FloatArray:
    """Covalent radii by atomic number [Å] (B. Cordero et al., Dalton Trans. (2008) 2832), as ASE has them."""
    from ase.data import covalent_radii

    return np.asarray(covalent_radii)
