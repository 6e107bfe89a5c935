"""Multiply twinned particles of face-centred cubic elements: decahedra and icosahedra.

Five tetrahedra about an edge, or twenty about a corner, that are each other's mirror twins in {111} leave gaps of
7.4° and 1.5 sr. Here every tetrahedron takes the homogeneous strain that closes them and keeps its volume, so that
the density stays that of the crystal (compare A. Howie and L. D. Marks, Philos. Mag. A 49 (1984) 95):

* decahedron: +1.37 % along the tangent and -1.35 % along the radius of the fivefold axis, none along the axis;
  neighbours are 0.997 to 1.014 of their distance in the crystal apart;
* icosahedron: -5.0 % along the threefold axis of each tetrahedron and +2.6 % across it; neighbours are 0.976 of it
  apart along the radius and 1.026 along the tangents, the ratio 0.951 of the icosahedra of A. L. Mackay, Acta
  Crystallogr. 15 (1962) 916.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.body import Body, PlanarDefect, SiteRole, make_body
from exitwave.structures.crystal import Crystal, fill
from exitwave.structures.strain import deformed_solid
from exitwave.structures.transforms import axis_rotation
from exitwave.structures.volumes import Polyhedron, Union, Volume
from exitwave.structures.wulff import Energies, reached_faces, surface_faces, volume_and_centre

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_ON_PLANE = 1e-6
"""Atoms this near to a twin plane [Å] lie on it, and shells reach this far out of their solid."""
_CUBIC = 1e-3
"""How far edges, angles and sites of a cell may be off those of the ideal one, as fractions of its edge."""
_SITES = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])

_TWINS = np.array([[-1.0, 1, 1], [1, -1, 1]]) / np.sqrt(3)
"""Outward normals of the two twin planes of the first wedge of a decahedron, in the axes of the cell."""
_WEDGE = np.array([[1.0, 1, 0], [1, -1, 0], [0, 0, np.sqrt(2)]]) / np.sqrt(2)
"""Directions of that wedge, in the axes of the cell: the fivefold axis, the tangent and the radius (inwards)."""
_OPENING = np.sqrt(np.tan(np.pi / 5) * np.sqrt(2))
"""Stretch of a wedge along the tangent: the tangent of half its angle has to become tan 36° and is 1 / sqrt(2)."""

_SPREAD = np.cbrt((3 - np.sqrt(5)) * np.sqrt(2))
"""Stretch of a tetrahedron across its threefold axis, the tangent of whose angle to the edges that meet in the middle
has to become 3 - sqrt(5) and is 1 / sqrt(2)."""
_RADIAL = float(np.sqrt(2 / 3 * _SPREAD**-4 + 1 / 3 * _SPREAD**2))
"""Stretch of those edges."""


def decahedron(crystal: Crystal, radius: float, energies: Mapping[str, float], twin_energy: float = 0.02) -> Body:
    """Five twins about one axis, each with the shape that surface energies give.

    The modified Wulff construction of L. D. Marks, J. Cryst. Growth 61 (1983) 556: each wedge is a Wulff shape of which
    a twin plane is a face at half the energy of a twin boundary. Where {111} is a face beside the twin planes too, the
    particle has notches.

    Parameters
    ----------
    crystal : Crystal
        A face-centred cubic element in its cubic cell.
    radius : float
        Radius of a sphere of the same volume [Å].
    energies : mapping of str to float
        Relative surface energies by plane, as in `wulff.wulff_solid`.
    twin_energy : float
        Energy of a twin boundary, on the scale of ``energies``.

    Returns
    -------
    Body
        In the frame of the first grain, of which the fivefold axis is [110], about an atom in the middle of that axis.
        ``grain`` is the wedge, from 0 to 4; an atom of a twin plane belongs to one of its wedges and has the role
        ``PLANAR_DEFECT``; the ``defects`` are the five half-planes of the twins, each at the centre of its face.

    Raises
    ------
    StructureError
        If the crystal is another one, the energies describe no decahedron, or it is too small to hold one.
    """
    lattice = _face_centred_cubic(crystal, "decahedron")
    if not 0 < radius < np.inf:
        raise StructureError(f"particles.radius is {radius:g} Å; allowed: a finite number above 0")
    wedge, face = _unit_wedge(lattice, tuple(energies.items()), twin_energy)
    axes = _axes(lattice)
    # The tetrahedra are filled before they are strained.
    positions, _ = fill(lattice, wedge.scaled(radius))
    on_plane = np.abs(positions @ (_TWINS @ axes).T) < _ON_PLANE
    on_twin, on_axis = on_plane.any(axis=1), on_plane.all(axis=1)
    if on_twin.all():
        raise StructureError(
            f"particles.radius is {radius:g} Å, but a decahedron of '{crystal.name}' of that size has no atom beside "
            f"its twin planes; allowed: a larger one, such as {4 * lattice.nearest_neighbour_distance():.3g} Å"
        )
    frame = _WEDGE @ axes
    strain = frame.T @ np.diag([1, _OPENING, 1 / _OPENING]) @ frame
    turns = [axis_rotation(frame[0], 72.0 * wedge_index) for wedge_index in range(5)]
    # Every wedge has the atoms of its first twin plane, and the first one those of the axis too.
    shared = ~on_plane[:, 1]
    members = [shared | on_axis, shared, shared, shared, shared]
    normal = _TWINS[0] @ axes @ np.linalg.inv(strain)
    solid = deformed_solid(wedge.scaled(radius), strain)
    return _twinned_body(
        crystal,
        [positions[some] @ (turn @ strain).T for some, turn in zip(members, turns, strict=True)],
        [on_twin[some] for some in members],
        Union(tuple(solid.moved(turn, np.zeros(3)) for turn in turns)),
        [(turn @ normal, turn @ strain @ face * radius) for turn in turns],
    )


def icosahedron(crystal: Crystal, radius: float) -> Body:
    """Twenty twins about one atom, bounded by {111}: as many whole shells as a size holds.

    Parameters
    ----------
    crystal : Crystal
        A face-centred cubic element in its cubic cell.
    radius : float
        Radius of a sphere of the same volume [Å].

    Returns
    -------
    Body
        In the frame of the first grain, of which [111] is the threefold axis, about the central atom. ``grain`` is the
        tetrahedron, from 0 to 19; an atom of a twin plane belongs to one of those that share it and has the role
        ``PLANAR_DEFECT``; the ``defects`` are the 30 twin planes, each at the centre of its face.

    Raises
    ------
    StructureError
        If the crystal is another one, or the radius too small for the first shell.
    """
    lattice = _face_centred_cubic(crystal, "icosahedron")
    unit = _unit_icosahedron()
    step = _RADIAL * lattice.nearest_neighbour_distance()
    if not step / unit.circumradius <= radius < np.inf:
        raise StructureError(
            f"particles.radius is {radius:g} Å, but an icosahedron of '{crystal.name}' holds a shell or more; allowed: "
            f"{step / unit.circumradius:.4g} Å or more"
        )
    shells = int(np.floor((unit.circumradius * radius + _ON_PLANE) / step))
    counts = np.stack(np.meshgrid(*[np.arange(shells + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    counts = counts[counts.sum(axis=1) <= shells]
    # Corners of the face that a site lies between, as a sum: 0 is the central atom, 7 is off the twin planes.
    between = (counts > 0) @ np.array([1, 2, 4])
    corners = unit.corners @ _axes(lattice)
    centres = corners[unit.faces].mean(axis=1)
    inscribed = np.linalg.norm(centres, axis=1)
    members = [unit.owned[face][between] for face in range(len(unit.faces))]
    return _twinned_body(
        crystal,
        [counts[some] @ corners[face] * step for some, face in zip(members, unit.faces, strict=True)],
        [between[some] < 7 for some in members],
        Polyhedron(centres / inscribed[:, None], inscribed * unit.circumradius * radius),
        [
            (np.cross(corners[a], corners[b]), (corners[a] + corners[b]) / 3 * unit.circumradius * radius)
            for a, b in unit.edges
        ],
    )


def _twinned_body(
    crystal: Crystal,
    positions: list[FloatArray],
    on_twin: list[BoolArray],
    solid: Volume,
    twins: list[tuple[FloatArray, FloatArray]],
) -> Body:
    """A body of the atoms of each grain: positions [n, 3] and whether they are on twins; twins as normal and point."""
    atoms = np.concatenate(positions)
    body = make_body(atoms, np.full(len(atoms), crystal.numbers[0], dtype=np.uint8), solid, crystal.name)
    return replace(
        body,
        role=np.where(np.concatenate(on_twin), SiteRole.PLANAR_DEFECT, 0).astype(np.uint8),
        grain=np.repeat(np.arange(len(positions)), [len(grain) for grain in positions]).astype(np.uint8),
        defects=tuple(PlanarDefect("twin", normal / np.linalg.norm(normal), point) for normal, point in twins),
    )


@lru_cache(maxsize=64)
def _face_centred_cubic(crystal: Crystal, shape: str) -> Crystal:
    """The ideal lattice of a face-centred cubic element, an atom at its origin, along the axes of its cell."""
    edge = np.cbrt(abs(np.linalg.det(crystal.cell)))
    axes = crystal.cell / edge
    offsets = crystal.fractional - crystal.fractional[0]
    misfit = (offsets[:, None] - _SITES + 0.5) % 1 - 0.5
    fits = np.abs(misfit).max(axis=-1) < _CUBIC
    element = len(crystal.numbers) == 4 and np.ptp(crystal.numbers) == 0
    if not (element and fits.any(axis=0).all() and np.abs(axes @ axes.T - np.eye(3)).max() < 2 * _CUBIC):
        raise StructureError(
            f"particles.shape is {shape} for '{crystal.name}'; allowed: a face-centred cubic element, such as Au"
        )
    left, _, right = np.linalg.svd(axes)
    return Crystal(crystal.name, edge * left @ right, _SITES, crystal.numbers)


def _axes(lattice: Crystal) -> FloatArray:
    """Unit vectors of a cubic cell, as rows [3, 3]."""
    return np.asarray(lattice.cell / np.linalg.norm(lattice.cell, axis=1)[:, None], dtype=np.float64)


@lru_cache(maxsize=256)
def _unit_wedge(lattice: Crystal, energies: Energies, twin_energy: float) -> tuple[Polyhedron, FloatArray]:
    """The first wedge of a decahedron of the volume of a sphere of radius 1, not yet strained, and the centre [3] of
    its first twin face. The middle of the fivefold axis is at the origin.
    """
    axes = _axes(lattice)
    normals, distances = surface_faces(lattice, dict(energies))
    # The twin planes meet this far from the common point of the faces.
    middle = np.sqrt(3) / 2 * twin_energy * axes[2]
    normals = np.concatenate([normals, _TWINS @ axes])
    depths = np.append(distances - normals[:-2] @ middle, [0.0, 0.0])
    if not (twin_energy >= 0 and depths[:-2].min() > 0):
        raise StructureError(
            f"shape.twin_energy is {twin_energy:g}, but the lowest of shape.energies is {distances.min():g}; allowed: "
            "0 or more, and so low that the twin planes meet inside the particle"
        )
    try:
        corners = Polyhedron(normals, depths).vertices()
    except StructureError as error:
        raise StructureError(
            f"shape.energies names the planes {', '.join(plane for plane, _ in energies)}, which do not close around a "
            "decahedron; allowed: planes that do, such as 111 and 100"
        ) from error
    scale = np.cbrt(4 / 15 * np.pi / volume_and_centre(corners)[0])
    corners, depths = corners * scale, depths * scale
    reached = reached_faces(normals, depths, corners)
    face = np.unique(corners[np.abs(corners @ normals[-2]) < 1e-9].round(10), axis=0)
    return Polyhedron(normals[reached], depths[reached]), face.mean(axis=0)


@dataclass(frozen=True)
class _UnitIcosahedron:
    """An icosahedron, the first face of which has the corners of a strained tetrahedron along [110], [101] and [011].

    Attributes
    ----------
    corners : ndarray [12, 3]
        Unit vectors to its corners.
    faces : ndarray of int [20, 3]
        Corners of each face.
    edges : ndarray of int [30, 2]
        Corners of each edge.
    owned : ndarray of bool [20, 8]
        Whether the atoms between some corners of a face (first 1, second 2, third 4) belong to its grain.
    circumradius : float
        Distance of its corners when its volume is that of a sphere of radius 1.
    """

    corners: FloatArray
    faces: NDArray[np.int64]
    edges: NDArray[np.int64]
    owned: BoolArray
    circumradius: float


@cache
def _unit_icosahedron() -> _UnitIcosahedron:
    threefold = np.full((3, 3), 1 / 3)
    strain = _SPREAD * (np.eye(3) - threefold) + threefold / _SPREAD**2
    first = np.array([[1.0, 1, 0], [1, 0, 1], [0, 1, 1]]) @ strain
    first /= np.linalg.norm(first, axis=1)[:, None]
    golden = (1 + np.sqrt(5)) / 2
    signs = np.array([[0, a, b * golden] for a in (1, -1) for b in (1, -1)])
    corners = np.concatenate([np.roll(signs, shift, axis=1) for shift in range(3)]) / np.hypot(1, golden)
    # Neighbouring corners are arccos(1 / sqrt(5)) apart.
    near = corners @ corners.T > 0.4
    edges = [pair for pair in combinations(range(12), 2) if near[pair]]
    faces = [triple for triple in combinations(range(12), 3) if near[np.ix_(triple, triple)].all()]
    if np.linalg.det(corners[list(faces[0])]) * np.linalg.det(first) < 0:
        first = first[[1, 0, 2]]
    turn = np.linalg.solve(corners[list(faces[0])], first)
    seen: set[frozenset[int]] = set()
    owned = np.zeros((20, 8), dtype=bool)
    for face, triple in enumerate(faces):
        for code in range(8):
            between = frozenset(corner for bit, corner in enumerate(triple) if code >> bit & 1)
            owned[face, code] = between not in seen
            seen.add(between)
    volume = 20 / 6 * abs(np.linalg.det(first))
    return _UnitIcosahedron(
        corners @ turn, np.array(faces), np.array(edges), owned, float(np.cbrt(4 / 3 * np.pi / volume))
    )
