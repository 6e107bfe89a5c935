"""Rotations and periodic boundaries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
