"""Strain from lattices of diffraction patterns.

With the vectors of a lattice as columns, ``G = [g1 g2]``, and those of a reference, G0, the deformation is
``F = (G G0⁻¹)⁻ᵀ``, since reciprocal vectors shrink as a crystal grows. It is parted into a rotation and a stretch,
``F = R U`` (polar decomposition), and the strain is ``U - 1``. For small rotations that is ``(F + Fᵀ) / 2 - 1``; at
five degrees that would show a strain of -0.4 %, where there is none.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.lattice import Lattice
from exitwave.errors import LatticeError

log = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Strain:
    """Strain and rotation of one lattice, or of many.

    Attributes
    ----------
    xx, yy, xy : float or float64 [...]
        Components, along the axes of the pattern; positive is longer than the reference.
    rotation : float or float64 [...]
        From x towards y [rad].
    """

    xx: Any
    yy: Any
    xy: Any
    rotation: Any


def strain_of(vectors: FloatArray, reference: FloatArray) -> Strain:
    """Exact strain of a lattice.

    Parameters
    ----------
    vectors : float64 [..., 2, 2]
        Vectors as columns [px].
    reference : float64 [..., 2, 2]
        The same of the unstrained lattice, with the same indices.

    Returns
    -------
    Strain
        NaN where one of the lattices has no area, or the two are mirror images.
    """
    change = _change(vectors, reference)
    determinant = change[..., 0, 0] * change[..., 1, 1] - change[..., 0, 1] * change[..., 1, 0]
    determinant = np.where(determinant > 0, determinant, np.nan)
    # The inverse transpose of a matrix of two by two.
    xx, yy = change[..., 1, 1] / determinant, change[..., 0, 0] / determinant
    xy, yx = -change[..., 1, 0] / determinant, -change[..., 0, 1] / determinant
    rotation = np.arctan2(yx - xy, xx + yy)
    c, s = np.cos(rotation), np.sin(rotation)
    return Strain(c * xx + s * yx - 1, c * yy - s * xy - 1, (c * xy + s * yy + c * yx - s * xx) / 2, rotation)


def _change(vectors: FloatArray, reference: FloatArray) -> FloatArray:
    """``G G0⁻¹``, NaN where the reference has no area."""
    a, b, c, d = reference[..., 0, 0], reference[..., 0, 1], reference[..., 1, 0], reference[..., 1, 1]
    determinant = a * d - b * c
    determinant = np.where(determinant != 0, determinant, np.nan)
    inverse = np.stack([np.stack([d, -b], axis=-1), np.stack([-c, a], axis=-1)], axis=-2)
    return np.asarray(vectors @ (inverse / determinant[..., None, None]))


def mean_lattice(lattices: Sequence[Lattice]) -> Lattice:
    """Middle of many lattices of one crystal, such as those of unstrained positions: the median of each number.

    Parameters
    ----------
    lattices : sequence of Lattice
        Their vectors may be chosen differently: they are taken as those of the lattice with the median area. Those
        whose cell is another are left out, with a warning.

    Returns
    -------
    Lattice

    Raises
    ------
    LatticeError
        If there are none.
    """
    if not lattices:
        raise LatticeError("there is no lattice for a reference; allowed: at least one")
    areas = np.array([abs(np.linalg.det(lattice.vectors)) for lattice in lattices])
    model = lattices[int(np.argsort(areas)[len(areas) // 2])].vectors
    same = []
    for lattice in lattices:
        change = np.rint(np.linalg.solve(model, lattice.vectors))
        if round(abs(np.linalg.det(change))) == 1:
            same.append((lattice, lattice.vectors @ np.linalg.inv(change)))
    if len(same) < len(lattices):
        log.warning(
            "%d of %d lattices of the reference have another cell than the others: left out",
            len(lattices) - len(same),
            len(lattices),
        )
    return Lattice(
        np.median([lattice.origin for lattice, _ in same], axis=0),
        np.median([vectors for _, vectors in same], axis=0),
        float(np.median([lattice.residual for lattice, _ in same])),
        int(np.median([lattice.used for lattice, _ in same])),
    )
