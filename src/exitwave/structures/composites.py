"""Bodies of more than one crystal: a core with a shell, the grains of a polycrystal, the two sides of a boundary.

Where two crystals meet, atoms are kept apart by `CLOSEST_AT_BOUNDARY` times the mean of the nearest-neighbour distances
of the two; of two atoms closer than that one is left out. Atoms nearer to one of another grain than `CONTACT` times
that mean have the role ``GRAIN_BOUNDARY``. Details hold as ``grain_rotations``, for every grain that has an atom, the
quaternion (x, y, z, w) from the frame of the body's crystal to that of the crystal of the grain, both Cartesian:
the lattice of grain i is turned by ``rotation_matrix(body.quaternion) @ rotation_matrix(grain_rotations[i])``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from exitwave.errors import StructureError
from exitwave.structures.body import Body, PlanarDefect, SiteRole, make_body
from exitwave.structures.crystal import Crystal, bounded_sphere, fill
from exitwave.structures.transforms import matrix_quaternion, random_quaternion, rotation_matrix, unit_vector
from exitwave.structures.volumes import SKIN, Volume, convex_hull, sphere

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

CLOSEST_AT_BOUNDARY = 0.85
"""Smallest distance of atoms of two crystals, as a fraction of the mean of their nearest-neighbour distances."""
CONTACT = 1.2
"""Atoms of two crystals are neighbours up to this multiple of it: between first and second neighbours of any metal."""
MOST_GRAINS = 256
"""Grains are counted in a byte."""

_GRID = 16
"""Points along each edge of the grid that tells how far a Voronoi cell reaches."""
_TRIES, _BATCH = 200, 512
"""Batches of points, and points in each, that are tried to find some inside a solid."""
_IDENTITY = [0.0, 0.0, 0.0, 1.0]


def core_shell(
    core: Body, crystal: Crystal, solid: Volume, aligned: bool, grains: int, rng: np.random.Generator
) -> Body:
    """A body with a shell of another crystal around it.

    The atoms of the core stay as they are, and none of the shell come between them. An aligned shell has its axes
    along those of the core, and its lattice is laid through the atom next to the middle of the core so that the two
    match best there: a shell of the core's own crystal continues it without a seam. A misfit is not strained away.

    Parameters
    ----------
    core : Body
        What is covered, about the origin; perfect, faulted or of several grains.
    crystal : Crystal
        Crystal of the shell.
    solid : Volume
        What core and shell fill together; a bounded volume.
    aligned : bool
        Whether the first grain of the shell has its axes along those of the core; if not it is turned at random.
    grains : int
        Grains of the shell, the Voronoi cells of random points; all but the first are turned at random.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    Body
        The atoms of the core come first. The grains of the shell follow those of the core; grains that have no atom
        are left out. Details are those of the core, with ``shell_material``, ``shell_atoms``, ``shell_grains`` (the
        number made) and ``shell_grain_rotations``.

    Raises
    ------
    StructureError
        If the shell holds no atom, the solid is unbounded, or the number of grains is not possible.
    """
    first = int(core.grain.max()) + 1
    _check_grains("shell.grains", grains, MOST_GRAINS - first)
    turn = rotation_matrix(core.quaternion)
    seeds = _points_inside(solid, core.solid, grains, rng) if grains > 1 else np.zeros((1, 3))
    rotations = np.stack([rotation_matrix(random_quaternion(rng)) for _ in range(grains)])
    origins = np.stack([rotation @ (rng.random(3) @ crystal.cell) for rotation in rotations])
    if aligned:
        rotations[0], origins[0] = turn, _matching_origin(core, crystal, turn)
    positions, numbers, grain = _grains(crystal, solid, rotations, origins, seeds)
    core_spacing, spacing = _spacing(core.positions), crystal.nearest_neighbour_distance()
    tree = cKDTree(core.positions)
    mean = spacing if np.isnan(core_spacing) else (core_spacing + spacing) / 2
    free = tree.query(positions, distance_upper_bound=CLOSEST_AT_BOUNDARY * mean)[0] >= CLOSEST_AT_BOUNDARY * mean
    free[free] = ~_within(core, positions[free])
    positions, numbers, grain = positions[free], numbers[free], grain[free]
    keep, boundary = _meet(positions, grain, spacing)
    positions, numbers, grain, boundary = positions[keep], numbers[keep], grain[keep], boundary[keep]
    if len(positions) == 0:
        raise StructureError(
            f"the shell of '{crystal.name}' holds no atom; allowed: a shell.thickness of at least the distance of its "
            f"nearest neighbours, {spacing:.3g} Å"
        )
    at_core = tree.query(positions, distance_upper_bound=CONTACT * mean)[0] <= CONTACT * mean
    covered = (
        cKDTree(positions[at_core]).query(core.positions, distance_upper_bound=CONTACT * mean)[0] <= CONTACT * mean
    )
    boundary = np.concatenate([covered, boundary | at_core])
    made, grain = np.unique(grain, return_inverse=True)
    role = np.concatenate([core.role, np.zeros(len(positions), dtype=np.uint8)])
    role[boundary] |= SiteRole.GRAIN_BOUNDARY.value
    return replace(
        core,
        positions=np.concatenate([core.positions, positions]),
        numbers=np.concatenate([core.numbers, numbers]),
        solid=solid if solid.contains(core.positions).all() else solid | core.solid,
        role=role,
        grain=np.concatenate([core.grain, (first + grain).astype(np.uint8)]),
    ).with_details(
        shell_material=crystal.name,
        shell_atoms=len(positions),
        shell_grains=len(made),
        shell_grain_rotations=[_quaternion(turn.T @ rotations[index]) for index in made],
    )


def polycrystal(crystal: Crystal, solid: Volume, grains: int, rng: np.random.Generator) -> Body:
    """A body of grains that are the Voronoi cells of random points, uniform over the solid.

    Parameters
    ----------
    crystal : Crystal
        Crystal of every grain.
    solid : Volume
        What they fill together, in the frame of the crystal; a bounded volume.
    grains : int
        Number of grains. The first is not turned, the others are turned at random; each has its lattice at random.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    Body
        Its details are ``grains``, the number made, and ``grain_rotations``. Grains without an atom, as when there
        are more of them than atoms, are left out.

    Raises
    ------
    StructureError
        If there is no atom, the solid is unbounded, or the number of grains is not possible.
    """
    _check_grains("grains", grains, MOST_GRAINS)
    seeds = _points_inside(solid, None, grains, rng)
    turns = [_IDENTITY, *(random_quaternion(rng) for _ in range(grains - 1))]
    rotations = np.stack([rotation_matrix(np.asarray(turn)) for turn in turns])
    origins = np.stack([rotation @ (rng.random(3) @ crystal.cell) for rotation in rotations])
    return _body(crystal, solid, rotations, *_grains(crystal, solid, rotations, origins, seeds))


def grain_boundary(
    crystal: Crystal,
    solid: Volume,
    normal: ArrayLike,
    rotations: tuple[ArrayLike, ArrayLike],
    point: ArrayLike = (0.0, 0.0, 0.0),
    shift: ArrayLike = (0.0, 0.0, 0.0),
) -> Body:
    """Two grains on either side of a plane.

    All macroscopic degrees of freedom of a boundary are in the two rotations, that of the plane in the normal; the
    microscopic ones are the shift of one lattice against the other and where the plane cuts them.

    Parameters
    ----------
    crystal : Crystal
        Crystal of both grains.
    solid : Volume
        What they fill together; a bounded volume.
    normal : array_like [3]
        Normal of the boundary, of any length, from the first grain to the second.
    rotations : pair of array_like [3, 3]
        Rotation matrices from the frame of the crystal to that of the body, of the two grains. An origin of either
        lattice is at ``point``, so that the rotation of a coincidence site lattice gives coincident sites.
    point : array_like [3]
        A point of the boundary [Å]; atoms on the plane are of the first grain.
    shift : array_like [3]
        Translation of the second lattice [Å].

    Returns
    -------
    Body
        The boundary is its planar defect of kind ``grain_boundary``; details as of `polycrystal`.

    Raises
    ------
    StructureError
        If either side holds no atom, or the solid is unbounded.
    """
    direction, middle = unit_vector(normal, "the normal of a grain boundary"), np.asarray(point, dtype=np.float64)
    turns = np.stack([np.asarray(rotation, dtype=np.float64) for rotation in rotations])
    origins = np.stack([middle, middle + np.asarray(shift, dtype=np.float64)])
    found = [_filled(crystal, solid, turn, origin) for turn, origin in zip(turns, origins, strict=True)]
    sides = [(positions - middle) @ direction > SKIN for positions, _ in found]
    chosen = [~sides[0], sides[1]]
    for number, side in enumerate(chosen, start=1):
        if not side.any():
            raise StructureError(
                f"grain {number} of a boundary through {middle.tolist()} holds no atom; "
                "allowed: a plane with atoms of the solid on both sides"
            )
    positions = np.concatenate([positions[side] for (positions, _), side in zip(found, chosen, strict=True)])
    numbers = np.concatenate([numbers[side] for (_, numbers), side in zip(found, chosen, strict=True)])
    grain = np.repeat([0, 1], [int(side.sum()) for side in chosen])
    body = _body(crystal, solid, turns, positions, numbers, grain)
    return replace(body, defects=(PlanarDefect("grain_boundary", direction, middle),))


def without_clashes(count: int, pairs: IntArray, rank: IntArray) -> BoolArray:
    """Which of a number of things to keep so that no two that clash are kept, the lowest rank first.

    It is what a loop over the things in the order of their ranks keeps that takes each one unless it clashes with one
    already taken.

    Parameters
    ----------
    count : int
        Number of things n.
    pairs : ndarray [m, 2]
        Indices of things that clash.
    rank : ndarray [n]
        A different number for each thing.

    Returns
    -------
    ndarray, bool [n]
        Whether each is kept.
    """
    keep = np.ones(count, dtype=bool)
    swap = rank[pairs[:, 0]] > rank[pairs[:, 1]]
    winner, loser = np.where(swap, pairs[:, 1], pairs[:, 0]), np.where(swap, pairs[:, 0], pairs[:, 1])
    while len(winner):
        beaten = np.zeros(count, dtype=bool)
        beaten[loser] = True
        # Nothing left can beat these: they are taken, and what clashes with them is not.
        keep[loser[~beaten[winner]]] = False
        open_ = keep[winner] & keep[loser]
        winner, loser = winner[open_], loser[open_]
    return keep


def _body(
    crystal: Crystal,
    solid: Volume,
    rotations: FloatArray,
    positions: FloatArray,
    numbers: NDArray[np.uint8],
    grain: IntArray,
) -> Body:
    """The body of grains that may still be too close to each other."""
    spacing = crystal.nearest_neighbour_distance()
    keep, boundary = _meet(positions, grain, spacing)
    if not keep.any():
        raise StructureError(
            f"a polycrystal of '{crystal.name}' holds no atom; allowed: a solid wider than the distance of nearest "
            f"neighbours, {spacing:.3g} Å"
        )
    made, grain = np.unique(grain[keep], return_inverse=True)
    first = rotations[made[0]]
    body = make_body(positions[keep], numbers[keep], solid, crystal.name, grains=len(made))
    return replace(
        body,
        quaternion=matrix_quaternion(first),
        role=np.where(boundary[keep], SiteRole.GRAIN_BOUNDARY.value, 0).astype(np.uint8),
        grain=grain.astype(np.uint8),
    ).with_details(grain_rotations=[_quaternion(first.T @ rotations[index]) for index in made])


def _grains(
    crystal: Crystal, solid: Volume, rotations: FloatArray, origins: FloatArray, seeds: FloatArray
) -> tuple[FloatArray, NDArray[np.uint8], IntArray]:
    """Positions, atomic numbers and grain of all atoms in the Voronoi cells of the seeds [g, 3] within the solid."""
    if len(seeds) == 1:
        positions, numbers = _filled(crystal, solid, rotations[0], origins[0])
        return positions, numbers, np.zeros(len(positions), dtype=np.int64)
    regions = [sphere(radius, seed) for radius, seed in zip(_reaches(solid, seeds), seeds, strict=True)]
    found = [_filled(crystal, *where) for where in zip(regions, rotations, origins, strict=True)]
    positions = np.concatenate([atoms for atoms, _ in found])
    numbers = np.concatenate([species for _, species in found])
    grain = np.repeat(np.arange(len(seeds)), [len(atoms) for atoms, _ in found])
    own = cKDTree(seeds).query(positions)[1] == grain
    own[own] = solid.contains(positions[own])
    return positions[own], numbers[own], grain[own]


def _filled(
    crystal: Crystal, region: Volume, rotation: FloatArray, origin: FloatArray
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Atoms inside a region, of a crystal turned by a matrix and with an origin of its lattice at a place."""
    positions, numbers = fill(crystal, region.moved(rotation.T, np.zeros(3)), origin @ rotation)
    return positions @ rotation.T, numbers


def _reaches(solid: Volume, seeds: FloatArray) -> FloatArray:
    """Upper bounds [g] of how far the Voronoi cells of the seeds [g, 3] reach from them within the solid [Å]."""
    centre, radius = bounded_sphere(solid)
    axis = np.linspace(-radius, radius, _GRID)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    # Every point of the sphere is this close to a point of the grid, and so nearly as close to a seed.
    margin = np.sqrt(3) / 2 * (axis[1] - axis[0])
    grid = grid[np.einsum("ij,ij->i", grid, grid) <= (radius + margin) ** 2] + centre
    distance = cdist(grid, seeds)
    near = distance <= distance.min(axis=1, keepdims=True) + 2 * margin
    return np.asarray(np.where(near, distance, 0).max(axis=0) + margin)


def _within(core: Body, points: FloatArray) -> BoolArray:
    """Which points [n, 3] are among the atoms of a core: in the holes of an open crystal, or in its vacancies."""
    inside = core.solid.contains(points)
    try:
        # Not all of the solid, whose rim, up to a plane thick, is empty and is for the shell to fill.
        inside[inside] = convex_hull(core.positions).contains(points[inside])
    except StructureError:
        return np.zeros(len(points), dtype=bool)  # so few atoms, or in a plane, that nothing is among them
    return inside


def _points_inside(solid: Volume, hollow: Volume | None, number: int, rng: np.random.Generator) -> FloatArray:
    """Random points [number, 3], uniform over a solid without its hollow [Å]."""
    centre, radius = bounded_sphere(solid)
    found, missing = [np.empty((0, 3))], number
    for _ in range(_TRIES):
        points = centre + radius * rng.uniform(-1, 1, (_BATCH, 3))
        inside = solid.contains(points)
        if hollow is not None:
            inside &= ~hollow.contains(points)
        found.append(points[inside][:missing])
        missing -= len(found[-1])
        if missing == 0:
            return np.concatenate(found)
    raise StructureError(
        f"grains is {number}, but the solid is too thin to find as many points inside; "
        "allowed: fewer grains, or a thicker solid or shell"
    )


def _meet(positions: FloatArray, grain: IntArray, spacing: float) -> tuple[BoolArray, BoolArray]:
    """Which atoms [n] to keep so that grains are not too close, and which are then at a boundary."""
    boundary = np.zeros(len(positions), dtype=bool)
    if len(positions) == 0 or (grain == grain[0]).all():
        return ~boundary, boundary
    pairs = cKDTree(positions).query_pairs(CONTACT * spacing, output_type="ndarray")
    pairs = pairs[grain[pairs[:, 0]] != grain[pairs[:, 1]]]
    separation = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    clashing = pairs[separation < CLOSEST_AT_BOUNDARY * spacing]
    # To lose few atoms, those that clash with fewest are kept first.
    clashes = np.bincount(clashing.ravel(), minlength=len(positions))
    rank = np.empty(len(positions), dtype=np.int64)
    rank[np.argsort(clashes, kind="stable")] = np.arange(len(positions))
    keep = without_clashes(len(positions), clashing, rank)
    boundary[pairs[keep[pairs].all(axis=1)]] = True
    return keep, boundary


def _matching_origin(core: Body, crystal: Crystal, turn: FloatArray) -> FloatArray:
    """Origin of the shell's lattice [Å] that puts a site, the best of all, on the atom next to the middle of the core.

    The best site is the one about which the sites of the shell are nearest to the core's atoms, in the mean square;
    among equals the one where most are of the core's elements, as in a rock salt whose sublattices look alike.
    """
    if len(core) == 1:
        return np.asarray(core.positions[0] - turn @ (crystal.fractional[0] @ crystal.cell))
    middle = core.positions[np.argmin(np.linalg.norm(core.positions - core.positions.mean(axis=0), axis=1))]
    offsets = (core.positions - middle) @ turn
    near = np.linalg.norm(offsets, axis=1) < 2.1 * _spacing(core.positions)
    places, species = offsets[near] @ np.linalg.inv(crystal.cell), core.numbers[near]
    scores = []
    for site in crystal.fractional:
        difference = (places + site)[:, None] - crystal.fractional
        vectors = (difference - np.round(difference)) @ crystal.cell
        squares = np.einsum("kmi,kmi->km", vectors, vectors)
        nearest = squares.argmin(axis=1)
        unlike = np.count_nonzero(crystal.numbers[nearest] != species)
        # Rounded, since equals differ by rounding errors.
        scores.append((round(float(squares.min(axis=1).mean()), 6), unlike))
    best = min(range(len(scores)), key=scores.__getitem__)
    return np.asarray(middle - turn @ (crystal.fractional[best] @ crystal.cell))


def _spacing(positions: FloatArray) -> float:
    """Distance of nearest neighbours [Å], the median over the atoms; not a number for a single atom."""
    if len(positions) == 1:
        return float("nan")
    return float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))


def _quaternion(matrix: FloatArray) -> list[float]:
    return [float(part) for part in matrix_quaternion(matrix)]


def _check_grains(key: str, grains: int, most: int) -> None:
    if not 1 <= grains <= most:
        raise StructureError(f"{key} is {grains}; allowed: 1 to {most}")
