"""An object of a scene: its atoms, the solid that they fill and how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.structures.volumes import Volume

FloatArray = NDArray[np.float64]


class SiteRole(IntFlag):
    """What an atom is beside a regular atom of its object; roles add up, and 0 is a regular atom of the interior."""

    SURFACE = 1
    DOPANT = 2
    ANTISITE = 4
    ADSORBATE = 8
    PLANAR_DEFECT = 16
    GRAIN_BOUNDARY = 32
    AMORPHOUS = 64


@dataclass(frozen=True)
class PlanarDefect:
    """A planar defect: its kind, the unit normal [3] of its plane and a point [3] of the plane [Å]."""

    kind: str
    normal: FloatArray
    point: FloatArray


@dataclass(frozen=True)
class Body:
    """One object, in a frame of its own until a scene puts it somewhere.

    Attributes
    ----------
    positions : ndarray, float64 [n, 3]
        Positions [Å].
    numbers : ndarray, uint8 [n]
        Atomic numbers.
    solid : Volume
        What the object fills: atoms of objects of lower precedence have no place in it.
    quaternion : ndarray [4]
        Rotation (x, y, z, w) from the frame of the crystal, of the first grain, to that of the body.
    role : ndarray, uint8 [n]
        Sum of `SiteRole`.
    grain : ndarray, uint8 [n]
        Domain within the object, from 0: core and shell, grains, twins of a decahedron.
    defects : tuple of PlanarDefect
        Planar defects, in the frame of the body.
    origin : ndarray [3]
        Where the origin of the body's own frame, its centre, has come to lie [Å].
    details : dict
        What was drawn and made, as JSON can hold it; ``material`` is always there.
    """

    positions: FloatArray
    numbers: NDArray[np.uint8]
    solid: Volume
    quaternion: FloatArray
    role: NDArray[np.uint8]
    grain: NDArray[np.uint8]
    defects: tuple[PlanarDefect, ...] = ()
    origin: FloatArray = field(default_factory=lambda: np.zeros(3))
    details: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)

    def moved(self, rotation: FloatArray | None = None, translation: FloatArray | None = None) -> Body:
        """The body turned by a rotation matrix [3, 3] about the origin, then shifted by a vector [3] [Å]."""
        from exitwave.structures.transforms import matrix_quaternion, rotation_matrix

        turn = np.eye(3) if rotation is None else np.asarray(rotation, dtype=np.float64)
        shift = np.zeros(3) if translation is None else np.asarray(translation, dtype=np.float64)
        quaternion = self.quaternion if rotation is None else matrix_quaternion(turn @ rotation_matrix(self.quaternion))
        return replace(
            self,
            positions=self.positions @ turn.T + shift,
            solid=self.solid.moved(turn, shift),
            quaternion=quaternion,
            origin=turn @ self.origin + shift,
            defects=tuple(PlanarDefect(d.kind, turn @ d.normal, turn @ d.point + shift) for d in self.defects),
        )

    def kept(self, keep: NDArray[np.bool_]) -> Body:
        """The body with only those atoms [n] that are to be kept."""
        return replace(
            self,
            positions=self.positions[keep],
            numbers=self.numbers[keep],
            role=self.role[keep],
            grain=self.grain[keep],
        )

    def with_details(self, **details: Any) -> Body:
        """The body with more said about it."""
        return replace(self, details={**self.details, **details})


def make_body(positions: FloatArray, numbers: NDArray[np.uint8], solid: Volume, material: str, **details: Any) -> Body:
    """A body of regular atoms in the frame of its crystal."""
    return Body(
        positions=np.asarray(positions, dtype=np.float64),
        numbers=np.asarray(numbers, dtype=np.uint8),
        solid=solid,
        quaternion=np.array([0.0, 0.0, 0.0, 1.0]),
        role=np.zeros(len(positions), dtype=np.uint8),
        grain=np.zeros(len(positions), dtype=np.uint8),
        details={"material": material, **details},
    )
