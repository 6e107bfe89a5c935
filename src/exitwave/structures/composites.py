"""Bodies of more than one crystal: grains, bicrystals, cores and shells.

Where two crystals meet, their atoms would come too close. Those of the later one give way: an atom goes if it is
closer to an atom of an earlier crystal than `CLOSEST` of the distance of nearest neighbours. Nothing relaxes, so that
boundaries and misfitting interfaces are less dense than real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from exitwave.errors import StructureError
from exitwave.structures.body import Body, SiteRole, make_body
from exitwave.structures.crystal import Crystal, fill, require_atoms
from exitwave.structures.transforms import matrix_quaternion, random_quaternion, rotation_matrix
from exitwave.structures.volumes import Volume, half_space

FloatArray = NDArray[np.float64]

CLOSEST = 0.85
"""Smallest distance of atoms of two crystals, as a fraction of the smaller distance of nearest neighbours."""
_NEIGHBOURS = 1.2
"""Atoms within this many nearest-neighbour distances of another crystal are on its boundary."""


def polycrystal(crystal: Crystal, solid: Volume, grains: int, rng: np.random.Generator) -> Body:
    """Grains that fill a solid: the Voronoi cells of random points, with random orientations.

    The first grain keeps the orientation of the crystal, the others are turned by rotations uniform over SO(3).

    Parameters
    ----------
    crystal : Crystal
        What all grains are cut from.
    solid : Volume
        A bounded volume.
    grains : int
        Number of grains.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    Body
        ``grain`` counts the grains that hold atoms, as do the details: ``grains`` and ``grain_rotations``, the
        quaternion (x, y, z, w) of each relative to the first.

    Raises
    ------
    StructureError
        If the solid holds fewer atoms than there are to be grains.
    """
    origin = rng.random(3) @ crystal.cell
    seeds = _seeds(crystal, solid, origin, grains, "grains", rng)
    rotations = [np.eye(3), *[rotation_matrix(random_quaternion(rng)) for _ in range(grains - 1)]]
    pieces = _voronoi_pieces(crystal, solid, seeds, rotations, [origin, *_origins(crystal, grains - 1, rng)])
    body = _joined(pieces, solid, CLOSEST * crystal.nearest_neighbour_distance(), crystal.nearest_neighbour_distance())
    return _numbered(body, [crystal.name] * grains, rotations)


def bicrystal(
    crystal: Crystal,
    solid: Volume,
    normal: FloatArray,
    first: FloatArray,
    second: FloatArray,
    origins: tuple[FloatArray, FloatArray] | None = None,
) -> Body:
    """Two grains that meet in a plane through the origin.

    Parameters
    ----------
    crystal : Crystal
        What both are cut from.
    solid : Volume
        A bounded volume that the plane cuts.
    normal : ndarray [3]
        Normal of the plane, of any length; the first grain is on its negative side.
    first, second : ndarray [3, 3]
        Rotations from the frame of the crystal to that of the body. A tilt boundary has the axis of
        ``second @ first.T`` in the plane, a twist boundary along the normal.
    origins : pair of ndarray [3], optional
        Where the origins of the two lattices are put [Å], to shift one against the other; both (0, 0, 0) if left out.

    Returns
    -------
    Body
        As of `polycrystal`; the boundary is among the ``defects``.

    Raises
    ------
    StructureError
        If one of the two sides holds no atom.
    """
    from exitwave.structures.body import PlanarDefect

    below = half_space(normal)
    pieces = []
    for side, rotation, origin in zip((below, ~below), (first, second), origins or (np.zeros(3),) * 2, strict=True):
        pieces.append(_turned_fill(crystal, solid & side, rotation, origin))
        require_atoms(len(pieces[-1][0]), crystal, solid & side)
    distance = crystal.nearest_neighbour_distance()
    body = _numbered(_joined(pieces, solid, CLOSEST * distance, distance), [crystal.name] * 2, [first, second])
    unit = np.asarray(normal, dtype=np.float64) / np.linalg.norm(normal)
    return replace(
        body, quaternion=matrix_quaternion(first), defects=(PlanarDefect("grain_boundary", unit, np.zeros(3)),)
    )


def core_shell(
    core: Body,
    core_crystal: Crystal,
    shell_crystal: Crystal,
    solid: Volume,
    *,
    aligned: bool,
    grains: int,
    rng: np.random.Generator,
) -> Body:
    """A shell of another crystal around a core.

    An aligned shell has the axes of the core, and a site of the shell's crystal lies on a site of the core's near its
    middle: cube on cube in cubic crystals. With a misfit the two drift apart from there; no strain makes them fit
    (`exitwave.structures.strain.strained_crystal` can, before).

    Parameters
    ----------
    core : Body
        In the frame of its crystal.
    core_crystal, shell_crystal : Crystal
        What core and shell are cut from.
    solid : Volume
        Outer shape of the whole.
    aligned : bool
        Whether the first grain of the shell has the axes of the core; or else it is turned at random.
    grains : int
        Grains of the shell; all but the first are turned at random.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    Body
        The core keeps its grains, roles and defects; grains of the shell are counted on from it. The details hold
        ``grains`` of the shell and ``grain_rotations`` of all relative to the core.

    Raises
    ------
    StructureError
        If the shell holds fewer atoms than there are to be grains.
    """
    origin = _matching_origin(core, core_crystal, shell_crystal) if aligned else rng.random(3) @ shell_crystal.cell
    region = solid - core.solid
    seeds = _seeds(shell_crystal, region, origin, grains, "shell.grains", rng)
    turned = grains - 1 if aligned else grains
    rotations = [np.eye(3)] * (grains - turned) + [rotation_matrix(random_quaternion(rng)) for _ in range(turned)]
    pieces = _voronoi_pieces(
        shell_crystal, region, seeds, rotations, [origin, *_origins(shell_crystal, grains - 1, rng)]
    )
    nearest = [crystal.nearest_neighbour_distance() for crystal in (core_crystal, shell_crystal)]
    body = _joined([(core.positions, core.numbers), *pieces], solid, CLOSEST * min(nearest), max(nearest))
    count = int(core.grain.max(initial=0)) + 1
    # What the core's atoms were before stays with them: they come first, and none gives way.
    grain, role = body.grain + (count - 1), body.role.copy()
    grain[: len(core)] = core.grain
    role[: len(core)] |= core.role
    return replace(
        body,
        grain=grain.astype(np.uint8),
        role=role,
        defects=core.defects,
        details={
            **core.details,
            "grains": len(np.unique(body.grain)) - 1,
            "grain_rotations": [
                *core.details.get("grain_rotations", [[0.0, 0.0, 0.0, 1.0]] * count),
                *[matrix_quaternion(rotation).tolist() for rotation in rotations],
            ],
        },
    )


def _seeds(
    crystal: Crystal, solid: Volume, origin: FloatArray, count: int, key: str, rng: np.random.Generator
) -> FloatArray:
    """Random atoms of the first grain, as if it filled the solid: middles of the grains [count, 3]."""
    atoms, _ = fill(crystal, solid, origin)
    require_atoms(len(atoms), crystal, solid)
    if count > len(atoms):
        raise StructureError(
            f"{key} is {count} in a solid of '{crystal.name}' that holds {len(atoms)} atoms; allowed: at most as many"
        )
    return atoms[rng.choice(len(atoms), size=count, replace=False)]


def _origins(crystal: Crystal, count: int, rng: np.random.Generator) -> FloatArray:
    """Random origins of lattices [count, 3]."""
    return np.asarray(rng.random((count, 3)) @ crystal.cell, dtype=np.float64)


Piece = tuple[FloatArray, NDArray[np.uint8]]
"""Positions and atomic numbers of one crystal."""


def _voronoi_pieces(
    crystal: Crystal,
    solid: Volume,
    seeds: FloatArray,
    rotations: Sequence[FloatArray],
    origins: Sequence[FloatArray],
) -> list[Piece]:
    """The atoms of every grain: those of its lattice that are nearer to its seed than to any other."""
    tree = cKDTree(seeds)
    pieces = []
    for number, (rotation, origin) in enumerate(zip(rotations, origins, strict=True)):
        positions, numbers = _turned_fill(crystal, solid, rotation, origin)
        own = tree.query(positions)[1] == number if len(positions) else np.empty(0, dtype=bool)
        pieces.append((positions[own], numbers[own]))
    return pieces


def _turned_fill(crystal: Crystal, solid: Volume, rotation: FloatArray, origin: FloatArray) -> Piece:
    """Atoms of a turned crystal inside a solid."""
    positions, numbers = fill(crystal, solid.moved(rotation.T, np.zeros(3)), origin)
    return positions @ rotation.T, numbers


def _joined(pieces: Sequence[Piece], solid: Volume, closest: float, neighbour: float) -> Body:
    """One body of crystals, the earlier of which keep their atoms; ``grain`` is the number of the crystal."""
    positions = np.concatenate([piece[0] for piece in pieces])
    numbers = np.concatenate([piece[1] for piece in pieces])
    grain = np.repeat(np.arange(len(pieces)), [len(piece[0]) for piece in pieces])
    pairs = cKDTree(positions).query_pairs(_NEIGHBOURS * neighbour, output_type="ndarray")
    # Atoms are in the order of their grains, so that the second of a pair is of the later one.
    pairs = np.sort(pairs[grain[pairs[:, 0]] != grain[pairs[:, 1]]], axis=1)
    close = pairs[np.linalg.norm(np.subtract(*positions[pairs.T]), axis=1) < closest]
    close = close[np.argsort(grain[close[:, 1]], kind="stable")]
    keep = np.ones(len(positions), dtype=bool)
    for part in np.split(close, np.searchsorted(grain[close[:, 1]], np.arange(1, len(pieces)))):
        # An atom that has given way itself is in nobody's way.
        keep[part[keep[part[:, 0]], 1]] = False
    role = np.zeros(len(positions), dtype=np.uint8)
    role[pairs[keep[pairs].all(axis=1)].ravel()] = SiteRole.GRAIN_BOUNDARY
    body = make_body(positions, numbers, solid, "")
    return replace(body, grain=grain.astype(np.uint8), role=role).kept(keep)


def _numbered(body: Body, materials: Sequence[str], rotations: Sequence[FloatArray]) -> Body:
    """The body with its grains counted without gaps, and their rotations relative to the first among its details."""
    held, grain = np.unique(body.grain, return_inverse=True)
    relative = [rotations[held[0]].T @ rotations[number] for number in held]
    return replace(
        body,
        grain=grain.astype(np.uint8),
        details={
            "material": materials[0],
            "grains": len(held),
            "grain_rotations": [matrix_quaternion(rotation).tolist() for rotation in relative],
        },
    )


def _matching_origin(core: Body, core_crystal: Crystal, shell_crystal: Crystal) -> FloatArray:
    """Origin of the shell's lattice that puts its first site on such a site of the core, the nearest to the middle."""
    first = np.flatnonzero((core.numbers == core_crystal.numbers[0]) & (core.grain == 0))
    if not len(first):
        return np.zeros(3)
    middle = np.linalg.norm(core.positions[first] - core.positions.mean(axis=0), axis=1).argmin()
    return np.asarray(core.positions[first[middle]] - shell_crystal.fractional[0] @ shell_crystal.cell)
