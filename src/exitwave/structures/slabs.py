"""Crystalline slabs with any face, stretched slightly to be periodic in a square cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exitwave.config.distributions import draw
from exitwave.config.structures import CrystallineSubstrate
from exitwave.errors import StructureError
from exitwave.structures.amorphous import rough_profile
from exitwave.structures.body import Body, make_body
from exitwave.structures.crystal import Crystal
from exitwave.structures.faces import CrystalFace, crystal_face, echelon
from exitwave.structures.materials import load_material
from exitwave.structures.transforms import axis_rotation, matrix_quaternion, wrap_laterally
from exitwave.structures.volumes import Polyhedron

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FURTHEST_SEARCH = 0.5
"""Strain beyond which no supercell is looked for, to tell in an error what would be needed."""


def commensurate(
    vectors: FloatArray,
    edge: float,
    angle: float,
    search: float,
    largest_strain: float,
    prefer: Literal["strain", "angle"] = "strain",
) -> tuple[IntArray, FloatArray, float, float]:
    """The supercell of a plane lattice that a small strain makes periodic in a square cell.

    The lattice is turned rigidly to an angle and then strained without rotation, so that both vectors of a supercell
    become those of the square cell. All supercells that the strain allows are compared.

    Parameters
    ----------
    vectors : ndarray [2, 2]
        Rows: vectors of the lattice [Å], of which only lengths and angle matter.
    edge : float
        Edge of the square cell [Å].
    angle : float
        Angle aimed at of the first vector to x [°].
    search : float
        How far the angle may be off [°].
    largest_strain : float
        Largest principal strain allowed.
    prefer : {'strain', 'angle'}
        Take the supercell of least strain, or the one whose angle is the nearest.

    Returns
    -------
    supercell : ndarray, int64 [2, 2]
        Rows: the vectors of the square cell along x and y, in units of those of the lattice.
    deformation : ndarray [2, 2]
        Symmetric deformation gradient that acts on the turned lattice (rows: ``v @ deformation.T``).
    angle : float
        Angle of the first vector to x before the deformation, in [0, 360) [°].
    strain : float
        Largest principal strain, without its sign.

    Raises
    ------
    StructureError
        If no supercell is within both limits.
    """
    bound = largest_strain
    while True:
        supercells, deformations, angles, strains = _supercells(vectors, edge, angle, search, bound)
        if len(strains) or bound >= _FURTHEST_SEARCH:
            break
        bound = min(1.3 * bound, _FURTHEST_SEARCH)
    # Supercells related by symmetry tie; rounding must not decide between them.
    off = np.abs(_angle_between(angles, angle)).round(6)
    keys = (off, strains.round(9)) if prefer == "strain" else (strains.round(9), off)
    if bound > largest_strain:
        # Rounded upwards, so that the limit named is one that suffices.
        reached = f"of {np.ceil(1e4 * strains.min()) / 1e4:g}" if len(strains) else f"above {bound:g}"
        lengths = " and ".join(f"{length:.4g}" for length in np.linalg.norm(vectors, axis=1))
        raise StructureError(
            f"substrate.largest_strain is {largest_strain:g}, but a lattice of vectors of {lengths} Å at an angle "
            f"in_plane of {angle:.4g} ± {search:g}° takes a strain {reached} to be periodic in a field_of_view of "
            f"{edge:g} Å; allowed: that strain, a wider in_plane_search, another in_plane or a larger field_of_view"
        )
    best = np.lexsort((*supercells.reshape(-1, 4).T, *keys))[0]
    return supercells[best], deformations[best], float(angles[best] % 360), float(strains[best])


def commensurate_at_random(
    vectors: FloatArray,
    edge: float,
    angle: float | None,
    search: float,
    largest_strain: float,
    rng: np.random.Generator,
) -> tuple[IntArray, FloatArray, float, float]:
    """As `commensurate` of least strain, about a random angle if none is given.

    Where a random angle has no supercell within the limits, the nearest angle that has one is taken.

    Raises
    ------
    StructureError
        If no supercell is within the limits, about the angle given or at all.
    """
    if angle is not None:
        return commensurate(vectors, edge, angle, search, largest_strain)
    drawn = float(rng.uniform(0, 360))
    try:
        return commensurate(vectors, edge, drawn, search, largest_strain)
    except StructureError:
        return commensurate(vectors, edge, drawn, 180.0, largest_strain, prefer="angle")


def tiled(sites: FloatArray, supercell: IntArray, edge: float) -> FloatArray:
    """Places (x, y) [k, n, 2] [Å] in [0, edge) of sites [n, 2] in each of the k unit cells of a supercell [2, 2]."""
    # In echelon form, cells of one row and column each count every cell of the supercell once.
    (p, _), (_, q) = echelon(supercell)
    cells = np.stack(np.meshgrid(np.arange(abs(p)), np.arange(abs(q)), indexing="ij"), -1).reshape(-1, 1, 2)
    places = (cells + sites) @ np.linalg.inv(supercell) * edge
    return wrap_laterally(places, edge)


def crystal_slab(block: CrystallineSubstrate, edge: float, rng: np.random.Generator) -> Body:
    """Crystalline slab of the config, laterally periodic: see `cut_slab`.

    Parameters
    ----------
    block : CrystallineSubstrate
        The substrate block of the config; what it leaves to chance is drawn here.
    edge : float
        Edge of the cell [Å].
    rng : Generator
        Source of all randomness.

    Raises
    ------
    StructureError
        If the material is not known, or there is no such slab within the limits of the block.
    """
    material = str(draw(block.material, rng))
    thickness, roughness = float(draw(block.thickness, rng)), float(draw(block.roughness, rng))
    return cut_slab(
        load_material(material),
        block.surface,
        thickness,
        edge,
        rng,
        in_plane=None if block.in_plane is None else float(draw(block.in_plane, rng)),
        in_plane_search=block.in_plane_search,
        largest_strain=block.largest_strain,
        roughness=roughness,
        roughness_length=block.roughness_length,
    )


def cut_slab(
    crystal: Crystal,
    surface: Sequence[int],
    thickness: float,
    edge: float,
    rng: np.random.Generator,
    *,
    in_plane: float | None = None,
    in_plane_search: float = 3.0,
    largest_strain: float = 0.02,
    roughness: float = 0.0,
    roughness_length: float = 30.0,
) -> Body:
    """Slab of a crystal, exactly periodic in a square cell, of as many whole layers as its thickness allows.

    Both faces are planes that cut the fewest bonds (`CrystalFace`); where several such planes differ, as in {100} of
    CeO2, the upper one is drawn among them. Faces are neither relaxed nor reconstructed, and the strain is in the
    plane alone: distances along the beam are those of the crystal.

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    surface : sequence of int [3]
        Plane (hkl) that is the face; its normal points up.
    thickness : float
        Largest thickness, between the centres of the lowest and the highest atoms [Å].
    edge : float
        Edge of the cell [Å].
    rng : Generator
        Source of all randomness: place, upper face, angle if none is given, roughness.
    in_plane : float or None
        Angle of the shortest in-plane lattice vector to x [°].
    in_plane_search : float
        How far the angle may be moved to lower the strain [°].
    largest_strain : float
        Largest principal strain allowed.
    roughness, roughness_length : float
        Root mean square and correlation length of the roughness of each face [Å].

    Returns
    -------
    Body
        x and y in [0, edge), z from 0 up, by the roughness more or less; its solid is the smooth slab, laterally
        everywhere. Its details hold the ``thickness`` made, the ``strain`` and the angle ``in_plane``.

    Raises
    ------
    StructureError
        If the thickness is below that of a layer, or no supercell is within the limits.
    """
    face = crystal_face(crystal, surface)
    supercell, _, angle, strain = commensurate_at_random(
        face.vectors, edge, in_plane, in_plane_search, largest_strain, rng
    )
    top, shift = int(rng.integers(face.layers)), rng.random(2)
    count = _layers_within(face, top, thickness, crystal.name, surface)
    _, heights, _, _ = face.stack(top + 1 - count, count)
    low, height = float(heights.min()), float(np.ptp(heights))
    faces = [rough_profile(edge, roughness, roughness_length, rng) for _ in range(2)] if roughness > 0 else []
    tallest = max((float(np.abs(profile.heights).max()) for profile in faces), default=0.0)
    more = int(np.ceil(tallest / face.repeat)) * face.layers
    sites, heights, numbers, _ = face.stack(top + 1 - count - more, count + 2 * more)

    places = tiled(sites + shift, supercell, edge)
    positions = np.empty((*places.shape[:2], 3))
    positions[..., :2], positions[..., 2] = places, heights - low
    positions, numbers = positions.reshape(-1, 3), np.tile(numbers, len(places))
    if faces:
        # Half a layer on either side, so that the mean thickness is that of the smooth slab.
        half, z = face.repeat / face.layers / 2, positions[:, 2]
        lower, upper = (profile(positions[:, :2]) for profile in faces)
        inside = (z > lower - half) & (z < height + upper + half)
        positions, numbers = positions[inside], numbers[inside]
    body = make_body(
        positions,
        numbers,
        Polyhedron(np.array([[0.0, 0, 1], [0, 0, -1]]), np.array([height, 0.0])),
        crystal.name,
        thickness=height,
        surface=[int(index) for index in surface],
        strain=strain,
        in_plane=angle,
        roughness=roughness,
    )
    return replace(body, quaternion=matrix_quaternion(axis_rotation([0, 0, 1], angle) @ face.rotation))


def _layers_within(face: CrystalFace, top: int, thickness: float, material: str, surface: Sequence[int]) -> int:
    """How many layers, from ``top`` downwards, a thickness holds."""
    most = (int(thickness / face.repeat) + 2) * face.layers
    _, heights, _, layer = face.stack(top + 1 - most, most)
    lowest = np.full(most, np.inf)
    np.minimum.at(lowest, layer, heights)
    extents = heights.max() - lowest[::-1]
    count = int((extents <= thickness + 1e-6).sum())
    if count == 0:
        raise StructureError(
            f"substrate.thickness is {thickness:g} Å, but a layer of {tuple(surface)} of {material} is "
            f"{extents[0]:.3g} Å thick; allowed: that or more"
        )
    return count


def _supercells(
    vectors: FloatArray, edge: float, angle: float, search: float, bound: float
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """All supercells within the limits: matrices [k, 2, 2], deformations [k, 2, 2], angles [k] [°], strains [k]."""
    (a, b), area = vectors, abs(np.linalg.det(vectors))
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    lattice = np.array([[lengths[0], 0], [a @ b / lengths[0], area / lengths[0]]])
    # A strain up to e leaves a vector within edge / (1 +- e) and within asin(e) of its place, and the second vector
    # within 2 e / (1 - e^2) edge of where the first, turned by a right angle, points.
    shortest, longest = edge / (1 + bound) - 1e-9, edge / (1 - bound) + 1e-9
    first = _grid(longest * np.linalg.norm(np.linalg.inv(lattice), axis=0))
    points = first @ lattice
    distances = np.hypot(*points.T)
    inside = (distances >= shortest) & (distances <= longest)
    first, points = first[inside], points[inside]
    towards = -np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    inside = np.abs(_angle_between(towards, angle)) <= search + np.degrees(np.arcsin(bound)) + 1e-6
    first, points = first[inside], points[inside]
    inverse = np.linalg.inv(lattice)
    middle = np.column_stack([-points[:, 1], points[:, 0]]) @ inverse
    around = _grid(2 * bound / (1 - bound**2) * edge * np.linalg.norm(inverse, axis=0) + 0.5)
    second = np.round(middle).astype(np.int64)[:, None] + around
    supercells = np.stack([np.broadcast_to(first[:, None], second.shape), second], axis=2).reshape(-1, 2, 2)
    supercells = supercells[np.linalg.det(supercells) > 0.5]

    # Row vectors of the supercell times the transposed gradient are those of the square cell; the polar decomposition
    # of a 2 x 2 gradient is known in closed form.
    gradients = np.swapaxes(edge * np.linalg.inv(supercells @ lattice), 1, 2)
    same, other = (gradients[:, 0, 0] + gradients[:, 1, 1]) / 2, (gradients[:, 1, 0] - gradients[:, 0, 1]) / 2
    mean = np.hypot(same, other)
    spread = np.hypot((gradients[:, 0, 0] - gradients[:, 1, 1]) / 2, (gradients[:, 1, 0] + gradients[:, 0, 1]) / 2)
    strains = np.maximum(np.abs(mean + spread - 1), np.abs(mean - spread - 1))
    angles = np.degrees(np.arctan2(other, same))
    kept = (strains <= bound) & (np.abs(_angle_between(angles, angle)) <= search + 1e-6)
    cosine, sine = (same / mean)[kept], (other / mean)[kept]
    back = np.array([[cosine, sine], [-sine, cosine]]).transpose(2, 0, 1)
    return supercells[kept], gradients[kept] @ back, angles[kept], strains[kept]


def _angle_between(first: FloatArray, second: float) -> FloatArray:
    """Difference of angles [°], in [-180, 180)."""
    return np.asarray((first - second + 180) % 360 - 180)


def _grid(reach: FloatArray) -> IntArray:
    """Integer points [n, d] up to a reach [d] to either side."""
    axes = [np.arange(-n, n + 1) for n in np.floor(reach).astype(np.int64)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
