"""Rotations, reflections, crystal orientations and periodic boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from exitwave.errors import StructureError

FloatArray = NDArray[np.float64]


def random_quaternion(rng: np.random.Generator) -> FloatArray:
    """Unit quaternion of a rotation drawn uniformly from SO(3).

    Four normal deviates point in a uniformly random direction of the 3-sphere, and the Haar measure of SO(3) is the
    uniform measure on the 3-sphere (K. Shoemake, Graphics Gems III (1992) 124).

    Returns
    -------
    ndarray [4]
        (x, y, z, w), the scalar last as in SciPy.
    """
    quaternion = rng.standard_normal(4)
    return np.asarray(quaternion / np.linalg.norm(quaternion), dtype=np.float64)


def rotation_matrix(quaternion: FloatArray) -> FloatArray:
    """Matrix [3, 3] of a unit quaternion (x, y, z, w); it turns column vectors, so rows take ``v @ matrix.T``."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def matrix_quaternion(matrix: FloatArray) -> FloatArray:
    """Unit quaternion of a rotation matrix [3, 3].

    Of an improper matrix, a reflection or an inversion, it is the quaternion of ``-matrix``: the rotation that is left
    when an inversion is taken out. For a crystal with a centre of symmetry that is the same orientation.

    Returns
    -------
    ndarray [4]
        (x, y, z, w); of the two quaternions of a rotation the one whose w is not negative.
    """
    proper = matrix if np.linalg.det(matrix) > 0 else -matrix
    return np.asarray(Rotation.from_matrix(proper).as_quat(canonical=True), dtype=np.float64)


def euler_matrix(sequence: str, angles: float | Sequence[float]) -> FloatArray:
    """Rotation matrix [3, 3] of Euler angles.

    Parameters
    ----------
    sequence : str
        One to three axes, as SciPy has them: capitals (``"ZXZ"``) turn about the axes that turn along, small letters
        (``"zxz"``) about those that stay.
    angles : float or sequence of float
        One angle for each axis [°].

    Raises
    ------
    StructureError
        If the sequence is not one of axes, or the angles are not as many.
    """
    try:
        return np.asarray(Rotation.from_euler(sequence, angles, degrees=True).as_matrix(), dtype=np.float64)
    except ValueError as error:
        raise StructureError(
            f"the Euler angles are {angles} about '{sequence}'; allowed: an angle for each of one to three axes, "
            "such as 'ZXZ' or 'xyz', no axis twice in a row"
        ) from error


def axis_rotation(axis: ArrayLike, angle: float) -> FloatArray:
    """Matrix [3, 3] of the right-handed rotation by an angle [°] about an axis [3] of any length.

    Raises
    ------
    StructureError
        If the axis is zero.
    """
    turn = np.radians(angle) * unit_vector(axis, "the axis of a rotation")
    return np.asarray(Rotation.from_rotvec(turn).as_matrix(), dtype=np.float64)


def reflection_matrix(normal: ArrayLike) -> FloatArray:
    """Matrix [3, 3] of the reflection across the plane through the origin with a normal [3] of any length.

    Raises
    ------
    StructureError
        If the normal is zero.
    """
    direction = unit_vector(normal, "the normal of a mirror plane")
    return np.asarray(np.eye(3) - 2 * np.outer(direction, direction))


def unit_vector(vector: ArrayLike, name: str = "a direction") -> FloatArray:
    """A vector [3] brought to length 1; ``name`` is what an error calls it.

    Raises
    ------
    StructureError
        If the vector is zero or not finite.
    """
    array = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(array))
    if not 0 < length < np.inf:
        raise StructureError(f"{name} is {array.tolist()}; allowed: a finite vector that is not zero")
    return np.asarray(array / length)


def orient(
    cell: FloatArray,
    zone_axis: ArrayLike | None = None,
    facet: ArrayLike | None = None,
    in_plane: float = 0.0,
    tilt: float = 0.0,
    tilt_towards: float = 0.0,
    in_plane_direction: ArrayLike | None = None,
) -> FloatArray:
    """Rotation that brings a crystal into a wanted orientation to the beam, which runs along +z.

    Parameters
    ----------
    cell : ndarray [3, 3]
        Rows: lattice vectors [Å].
    zone_axis, facet : array_like [3], optional
        Direction [uvw], or plane (hkl) by its normal, that is brought onto +z; one of the two.
    in_plane : float
        Angle of the in-plane direction to x, counted from x to y [°].
    tilt, tilt_towards : float
        At the end the zone axis or normal is tilted off the beam by ``tilt`` [°], towards the azimuth
        ``tilt_towards`` [°], counted from x to y.
    in_plane_direction : array_like [3], optional
        Direction [uvw] whose projection is the in-plane direction. By default it is the cell vector at the greatest
        angle to the beam, the first of a, b and c if there are several.

    Returns
    -------
    ndarray [3, 3]
        Rotation matrix, from the Cartesian frame of the crystal to that of the cell of the scene.

    Raises
    ------
    StructureError
        If both or none of ``zone_axis`` and ``facet`` are given, or a direction is zero, or ``in_plane_direction`` is
        along the beam.
    """
    if zone_axis is not None and facet is None:
        upwards = unit_vector(np.asarray(zone_axis, dtype=np.float64) @ cell, "zone_axis")
    elif facet is not None and zone_axis is None:
        upwards = unit_vector(np.linalg.inv(cell) @ np.asarray(facet, dtype=np.float64), "the normal of facet")
    else:
        raise StructureError("zone_axis and facet are both given or both left out; allowed: one of the two")
    if in_plane_direction is None:
        across = cell / np.linalg.norm(cell, axis=1)[:, None]
        across = across - np.outer(across @ upwards, upwards)
        # Rounded, so that the first of several at equal angles is taken and not the one that rounding favours.
        reference = across[np.argmax(np.linalg.norm(across, axis=1).round(6))]
    else:
        direction = unit_vector(np.asarray(in_plane_direction, dtype=np.float64) @ cell, "in_plane_direction")
        reference = direction - (direction @ upwards) * upwards
        if np.linalg.norm(reference) < 1e-6:
            raise StructureError(
                f"in_plane_direction is {np.asarray(in_plane_direction).tolist()}, which is along the beam; "
                "allowed: a direction that is not"
            )
    x = reference / np.linalg.norm(reference)
    onto_axes = np.stack([x, np.cross(upwards, x), upwards])
    azimuth = np.radians(tilt_towards)
    tilting = axis_rotation([-np.sin(azimuth), np.cos(azimuth), 0], tilt)
    return np.asarray(tilting @ axis_rotation([0, 0, 1], in_plane) @ onto_axes)


def nearest_zone_axis(cell: FloatArray, rotation: FloatArray, highest: int = 3) -> tuple[tuple[int, int, int], float]:
    """Low-index crystal direction nearest to the beam.

    Parameters
    ----------
    cell : ndarray [3, 3]
        Rows: lattice vectors [Å].
    rotation : ndarray [3, 3]
        Rotation matrix from the Cartesian frame of the crystal to that of the scene, whose +z the beam runs along.
    highest : int
        Largest absolute value of an index.

    Returns
    -------
    tuple of int
        Indices [uvw] without a common divisor, of a direction along +z rather than against it; of several equally near
        the one with the smallest sum of absolute indices. Equivalent directions are not merged.
    float
        Its angle to the beam [°].
    """
    indices = _low_index_directions(highest)
    directions = indices @ cell
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    along = directions @ rotation[2]
    best = int(np.argmax(along > along.max() - 1e-9))
    u, v, w = indices[best].tolist()
    across = np.linalg.norm(np.cross(directions[best], rotation[2]))
    return (u, v, w), float(np.degrees(np.arctan2(across, along[best])))


@cache
def _low_index_directions(highest: int) -> NDArray[np.int64]:
    """Coprime index triples [n, 3] up to an absolute value, by ascending sum of absolute indices."""
    span = np.arange(highest, -highest - 1, -1)
    triples: NDArray[np.int64] = np.stack(np.meshgrid(span, span, span, indexing="ij"), -1).reshape(-1, 3)
    triples = triples[np.gcd.reduce(triples, axis=1) == 1]
    triples = triples[np.argsort(np.abs(triples).sum(axis=1), kind="stable")]
    triples.setflags(write=False)
    return triples


def wrap_laterally(positions: FloatArray, field_of_view: float) -> FloatArray:
    """Positions [..., 3] with x and y [Å] brought into [0, field_of_view)."""
    wrapped = positions.copy()
    lateral = np.mod(wrapped[..., :2], field_of_view)
    # The remainder of a tiny negative number rounds to the modulus itself.
    lateral[lateral >= field_of_view] = 0.0
    wrapped[..., :2] = lateral
    return wrapped


def lateral_distances(first: FloatArray, second: FloatArray, field_of_view: float) -> FloatArray:
    """Distances [Å] in the periodic plane between points [..., 2] and [..., 2], to the nearest image."""
    difference = first - second
    difference = difference - field_of_view * np.round(difference / field_of_view)
    return np.asarray(np.hypot(difference[..., 0], difference[..., 1]))
